// How a warp's accesses fall on memory: sectors of global memory, wavefronts of shared memory.
#pragma once

#include <cstdint>

#include "harness/emulator/program.hpp"

namespace wkv::emulator {

inline constexpr uint32_t kSectorBytes = 32;
inline constexpr uint32_t kBanks = 32;
inline constexpr uint32_t kBankBytes = 4;

// What most accesses are, and what can then be done for all lanes at once.
enum class Pattern : uint8_t {
  same,        // all lanes at one address
  contiguous,  // all 32 lanes, one behind the other
  any
};

// The addresses at which lanes of a warp access that many bytes each.
struct Accesses {
  Accesses(const uint64_t* addresses, Mask lanes, uint32_t bytes);

  const uint64_t* addresses;
  Mask lanes;
  uint32_t bytes;
  Pattern pattern;

  uint64_t first() const { return addresses[first_lane(lanes)]; }
  // Leaves only some of the lanes. False if none are left.
  bool keep(Mask some);
};

// The distinct sectors that the lanes touch.
uint32_t count_sectors(const Accesses& accesses);

struct Wavefronts {
  uint32_t count = 0, conflicts = 0;
};

// 8 to 32 bits: one wavefront for all lanes if no two touch different words of a bank; 64 bits: by half warps; 128
// bits: by quarter warps.
Wavefronts count_wavefronts(const Accesses& accesses);

}  // namespace wkv::emulator
