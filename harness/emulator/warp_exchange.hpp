// What the lanes of a warp exchange: shfl, vote, match, redux, elect. Lanes outside the masks keep out of everything.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace wkv::emulator {

constexpr uint32_t kWarpSize = 32;
using LaneMask = uint32_t;
using Words = std::array<uint32_t, kWarpSize>;

enum class ShuffleMode { up, down, bfly, idx };

// Which lane each lane reads, and where that is within the segment's bounds (shfl's predicate; elsewhere a lane reads
// itself). b and c are the instruction's operands: the offset or lane, and the clamp value with the segment mask.
struct ShuffleSource {
  uint32_t lane;
  bool in_range;
};
constexpr ShuffleSource shuffle_source(ShuffleMode mode, uint32_t lane, uint32_t b, uint32_t c) {
  const uint32_t offset = b & 31, clamp = c & 31, segment = c >> 8 & 31;
  const uint32_t most = (lane & segment) | (clamp & ~segment), least = lane & segment;
  int32_t from = 0;
  switch (mode) {
    case ShuffleMode::up:
      from = static_cast<int32_t>(lane) - static_cast<int32_t>(offset);
      break;
    case ShuffleMode::down:
      from = static_cast<int32_t>(lane + offset);
      break;
    case ShuffleMode::bfly:
      from = static_cast<int32_t>(lane ^ offset);
      break;
    case ShuffleMode::idx:
      from = static_cast<int32_t>(least | (offset & ~segment));
      break;
  }
  const bool in_range =
      mode == ShuffleMode::up ? from >= static_cast<int32_t>(most) : from <= static_cast<int32_t>(most);
  return {in_range ? static_cast<uint32_t>(from) : lane, in_range};
}

struct ShuffleResult {
  LaneMask in_range = 0;
  LaneMask undefined = 0;  // lanes that read one which does not take part
};
ShuffleResult shuffle(ShuffleMode mode, Words& d, const Words& a, const Words& b, const Words& c, LaneMask active);

// match.any: the lanes with the same value as each lane. match.all: `active` if all values are the same, else 0.
template <class T>
Words match_any(const std::array<T, kWarpSize>& a, LaneMask active) {
  Words d{};
  for (LaneMask left = active; left != 0; left &= left - 1) {
    const auto lane = static_cast<size_t>(std::countr_zero(left));
    for (uint32_t other = 0; other < kWarpSize; ++other) {
      d[lane] |= LaneMask{(active >> other & 1) && a[other] == a[lane]} << other;
    }
  }
  return d;
}
template <class T>
LaneMask match_all(const std::array<T, kWarpSize>& a, LaneMask active) {
  if (active == 0) return 0;
  const T first = a[static_cast<size_t>(std::countr_zero(active))];
  for (uint32_t lane = 0; lane < kWarpSize; ++lane) {
    if ((active >> lane & 1) && !(a[lane] == first)) return 0;
  }
  return active;
}

enum class Reduction { add, min_signed, max_signed, min_unsigned, max_unsigned, bit_and, bit_or, bit_xor };
uint32_t reduce(Reduction reduction, const Words& a, LaneMask active);

constexpr bool vote_all(LaneMask predicate, LaneMask active) { return (predicate & active) == active; }
constexpr bool vote_any(LaneMask predicate, LaneMask active) { return (predicate & active) != 0; }
constexpr bool vote_uni(LaneMask predicate, LaneMask active) {
  return vote_all(predicate, active) || !vote_any(predicate, active);
}
constexpr LaneMask vote_ballot(LaneMask predicate, LaneMask active) { return predicate & active; }

// elect.sync: the lowest lane, always the same one.
constexpr uint32_t elect(LaneMask active) { return static_cast<uint32_t>(std::countr_zero(active)); }

}  // namespace wkv::emulator
