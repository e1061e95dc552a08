// A block: its warps take turns, meet at barriers and share memory. A worker has one and runs its blocks in it.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "harness/emulator/async_copies.hpp"
#include "harness/emulator/context.hpp"
#include "harness/emulator/shared.hpp"
#include "harness/emulator/warp_state.hpp"

namespace wkv::emulator {

inline constexpr uint32_t kBarriers = 16;

class Block {
 public:
  explicit Block(const Grid& grid);

  // Becomes that block of the grid.
  void start(uint64_t index);
  // Lets each warp run for a while. False once the block has ended or cannot go on; then warps are left.
  bool advance();
  uint32_t live_warps() const;

  const Grid& grid() const { return grid_; }
  uint64_t index() const { return index_; }
  const std::array<uint32_t, 3>& coordinates() const { return coordinates_; }
  std::array<uint32_t, 3> thread(uint32_t warp, uint32_t lane) const;
  uint32_t warp_count() const { return static_cast<uint32_t>(warps_.size()); }
  SharedMemory& shared() { return shared_; }
  AsyncCopies& copies() { return copies_; }
  OpCount* counts(uint32_t function) { return counts_[function].data(); }
  Counters& counters() { return counters_; }
  FindingLog& log() { return log_; }
  const std::map<uint64_t, std::string>& printed() const { return printed_; }  // by block

  // For handlers. What a barrier does with the threads' predicates.
  enum class Reduction : uint8_t { none, all, any, count };
  // A warp's lanes at a barrier for that many warps (0: all of the block) that wait there, or only tell of their
  // arrival.
  void arrive(Context& context, const Op& op, Mask lanes, uint32_t barrier, uint32_t warps, bool waits);
  void contribute(uint32_t barrier, Mask lanes, Mask predicate);
  void warp_changed();  // lanes have left; barriers may be complete now
  void abort() { abort_ = true; }
  bool aborted() const { return abort_; }
  void print(std::string_view text) { printed_[index_] += text; }

  // Adds to the counters what has been counted by operation.
  void sum_up();

 private:
  struct Barrier {
    uint32_t expected = 0;  // warps; 0: all that live
    uint32_t arrived = 0;   // a bit for each warp
    uint32_t arrivals = 0;  // without waiting they may be from the same warp
    Clocks clocks{};
    bool all = true, any = false;
    uint32_t count = 0;
  };

  bool turn();
  void try_complete(uint32_t barrier);
  void complete(uint32_t barrier);
  bool recover();

  const Grid& grid_;
  uint64_t index_ = 0;
  std::array<uint32_t, 3> coordinates_{};
  std::vector<Warp> warps_;
  SharedMemory shared_;
  AsyncCopies copies_;
  std::array<Barrier, kBarriers> barriers_;
  std::vector<std::vector<OpCount>> counts_;
  Counters counters_;
  FindingLog log_;
  std::map<uint64_t, std::string> printed_;
  Context context_;
  uint64_t budget_ = 0;  // of instructions
  bool abort_ = false;
};

}  // namespace wkv::emulator
