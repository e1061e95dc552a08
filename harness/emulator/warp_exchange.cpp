#include "harness/emulator/warp_exchange.hpp"

#include <algorithm>

namespace wkv::emulator {
namespace {

uint32_t combine(Reduction reduction, uint32_t a, uint32_t b) {
  const auto x = static_cast<int32_t>(a), y = static_cast<int32_t>(b);
  switch (reduction) {
    case Reduction::add:
      return a + b;
    case Reduction::min_signed:
      return static_cast<uint32_t>(std::min(x, y));
    case Reduction::max_signed:
      return static_cast<uint32_t>(std::max(x, y));
    case Reduction::min_unsigned:
      return std::min(a, b);
    case Reduction::max_unsigned:
      return std::max(a, b);
    case Reduction::bit_and:
      return a & b;
    case Reduction::bit_or:
      return a | b;
    case Reduction::bit_xor:
      return a ^ b;
  }
  return 0;
}

template <ShuffleMode kMode>
ShuffleResult shuffle_as(Words& d, const Words& a, const Words& b, const Words& c, LaneMask active) {
  ShuffleResult result;
  Words read;
  for (uint32_t lane = 0; lane < kWarpSize; ++lane) {
    const ShuffleSource source = shuffle_source(kMode, lane, b[lane], c[lane]);
    read[lane] = a[source.lane];
    result.in_range |= LaneMask{source.in_range} << lane;
    result.undefined |= (~active >> source.lane & 1) << lane;
  }
  for (uint32_t lane = 0; lane < kWarpSize; ++lane) d[lane] = active >> lane & 1 ? read[lane] : d[lane];
  result.in_range &= active;
  result.undefined &= active;
  return result;
}

}  // namespace

ShuffleResult shuffle(ShuffleMode mode, Words& d, const Words& a, const Words& b, const Words& c, LaneMask active) {
  switch (mode) {
    case ShuffleMode::up:
      return shuffle_as<ShuffleMode::up>(d, a, b, c, active);
    case ShuffleMode::down:
      return shuffle_as<ShuffleMode::down>(d, a, b, c, active);
    case ShuffleMode::bfly:
      return shuffle_as<ShuffleMode::bfly>(d, a, b, c, active);
    default:
      return shuffle_as<ShuffleMode::idx>(d, a, b, c, active);
  }
}

uint32_t reduce(Reduction reduction, const Words& a, LaneMask active) {
  uint32_t total = 0;
  for (LaneMask left = active; left != 0; left &= left - 1) {
    const uint32_t value = a[static_cast<size_t>(std::countr_zero(left))];
    total = left == active ? value : combine(reduction, total, value);
  }
  return total;
}

}  // namespace wkv::emulator
