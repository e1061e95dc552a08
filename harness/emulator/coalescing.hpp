// How a warp's accesses fall on memory: sectors of global memory, wavefronts of shared memory.
#pragma once

#include <cstdint>

#include "harness/emulator/program.hpp"

namespace wkv::emulator {

inline constexpr uint32_t kSectorBytes = 32;
inline constexpr uint32_t kBanks = 32;
inline constexpr uint32_t kBankBytes = 4;

// The distinct sectors that the lanes' accesses of that many bytes touch.
uint32_t count_sectors(const uint64_t* addresses, Mask lanes, uint32_t bytes);

struct Wavefronts {
  uint32_t count = 0, conflicts = 0;
};

// 8 to 32 bits: one wavefront for all lanes if no two touch different words of a bank; 64 bits: by half warps; 128
// bits: by quarter warps.
Wavefronts count_wavefronts(const uint64_t* addresses, Mask lanes, uint32_t bytes);

}  // namespace wkv::emulator
