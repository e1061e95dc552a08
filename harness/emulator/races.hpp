// Finds two threads of a block that access the same shared memory, one of them writing, with nothing between that
// orders them. After FastTrack (Flanagan and Freund, 2009): every warp has a clock that goes on at each
// synchronisation, and knows up to which clock of each other warp it is ordered behind; each granule of memory keeps
// who wrote it last and who has read it since (of a warp that others have read after, not which lanes). Lanes of one
// warp are ordered by bar.warp.sync only, as PTX says; but for a write after reads an exchange between all lanes (shfl,
// vote, match, redux) will do, since a warp's reads are issued before it: NVIDIA's own libraries count on that.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "harness/emulator/program.hpp"

namespace wkv::emulator {

inline constexpr uint32_t kMaxWarps = 32;  // of a block
using Clocks = std::array<uint32_t, kMaxWarps>;

class Races {
 public:
  // For a new block. The granule is the smallest unit in which the kernel accesses shared memory.
  void start(uint32_t shared_bytes, uint32_t granule, uint32_t warps);

  // What a warp did before is ordered before what another does that acquires the same clocks later.
  void release(uint32_t warp, Clocks& clocks);
  void acquire(uint32_t warp, const Clocks& clocks);
  void sync_lanes(uint32_t warp, Mask lanes);  // bar.warp.sync
  void exchange(uint32_t warp) { ++warps_[warp].exchanges; }

  struct Access {
    uint32_t warp;
    Mask lanes;        // more than one where they access the same place in the same instruction
    bool synchronous;  // atomic or volatile: no race with others of that kind
  };
  struct Conflict {
    bool found = false;
    uint32_t warp = 0, lane = 0;  // the earlier access
    bool wrote = false;
  };
  // Checks and records. The address is an offset in shared memory, in bounds.
  Conflict read(uint32_t address, uint32_t bytes, const Access& access);
  Conflict write(uint32_t address, uint32_t bytes, const Access& access);

 private:
  struct Granule {
    uint32_t write_clock = 0, read_clock = 0;
    uint32_t read_warps = 0;  // a bit for each that has read at read_clock, its own; mostly the clocks are the same
    Mask read_lanes = 0;      // of the last of them
    uint16_t exchanges = 0;   // of that warp until then
    uint16_t readers = 0;     // index + 1 of a table of clocks, where others that are not ordered have read
    uint8_t read_warp = 0;    // the last
    uint8_t write_warp = 0, write_lane = 0;
    bool write_synchronous = false;
  };
  struct Warp {
    Clocks seen{};           // its own is its present clock
    uint32_t all_lanes = 0;  // the clock after the last synchronisation of all lanes
    uint16_t exchanges = 0;  // between all its lanes
    uint32_t floor = 0;      // every lane of the warp is ordered behind what any warp did up to this clock
    std::array<Clocks, kLanes> pairs{};
    bool has_pairs = false;
  };

  void raise_floor(uint32_t warp);
  bool ordered_lanes(const Warp& warp, Mask earlier, Mask later, uint32_t clock, uint32_t* culprit) const;
  Conflict after_write(const Granule& granule, const Access& access) const;
  Conflict after_reads(const Granule& granule, const Access& access) const;
  void record_read(Granule& granule, const Access& access);
  void forget_readers(Granule& granule);

  uint32_t granule_ = 4;
  uint32_t warp_count_ = 0;
  uint32_t base_ = 0;  // clocks up to it are of blocks before
  std::vector<Granule> granules_;
  std::array<Warp, kMaxWarps> warps_;
  std::vector<Clocks> tables_;
  std::vector<uint16_t> free_tables_;
};

}  // namespace wkv::emulator
