// Copies from global to shared memory that threads have begun and that have not arrived: they do so only when waited
// for.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "harness/emulator/context.hpp"

namespace wkv::emulator {

class AsyncCopies {
 public:
  void start(uint32_t warps);

  // The bytes are read at once, as an in-order machine may.
  void begin(Context& context, const Op& op, uint32_t lane, uint64_t shared_address, const std::byte* values,
             uint32_t bytes);
  void commit(const Context& context, Mask lanes);
  // All but the latest committed groups of each lane arrive.
  void wait_groups(Context& context, Mask lanes, uint32_t latest);
  void wait_all(Context& context, Mask lanes);  // committed or not

  // Copies whose end an mbarrier tells. What a lane has begun so far arrives, with one arrival, when somebody looks at
  // the barrier; a bulk copy when it does as well, with its bytes.
  void track(const Context& context, uint32_t lane, uint32_t barrier);
  void begin_bulk(Context& context, const Op& op, uint32_t lane, uint64_t shared_address, const std::byte* values,
                  uint32_t bytes, uint32_t barrier);
  struct Arrivals {
    uint32_t count = 0, bytes = 0;
  };
  Arrivals arrive_at(Context& context, uint32_t barrier);

  // At the end of a block: whether a lane has left copies behind.
  bool any_pending() const;

 private:
  struct Copy {
    uint32_t address;
    uint8_t lane, bytes;
    uint32_t group;  // kNone: of no group
    uint64_t number;
    std::array<std::byte, 16> values;
  };
  struct Tracked {  // copies of a lane with numbers in [first, end)
    uint32_t lane, barrier;
    uint64_t first, end;
    Arrivals arrivals;
  };
  struct Warp {
    std::vector<Copy> copies;  // oldest first
    std::vector<Tracked> tracked;
    uint64_t begun = 0;
    std::array<uint32_t, kLanes> groups{};  // committed by each lane
  };
  template <class Arrives>
  void arrive(Context& context, uint32_t warp, const Arrives& arrives);

  std::vector<Warp> warps_;
};

}  // namespace wkv::emulator
