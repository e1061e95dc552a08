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
  // At the end of a block: whether a lane has left copies behind.
  bool any_pending() const;

 private:
  struct Copy {
    uint32_t address;
    uint8_t lane, bytes;
    uint32_t group;
    std::array<std::byte, 16> values;
  };
  struct Warp {
    std::vector<Copy> copies;               // oldest first
    std::array<uint32_t, kLanes> groups{};  // committed by each lane
  };
  template <class Arrives>
  void arrive(Context& context, const Arrives& arrives);

  std::vector<Warp> warps_;
};

}  // namespace wkv::emulator
