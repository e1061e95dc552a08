// Comparing floating-point results bit by bit, any NaN being as good as another unless said otherwise.
#pragma once

#include <bit>
#include <cstdint>
#include <random>
#include <type_traits>

namespace test {

template <class T, class Bits>
T from_bits(Bits bits) {
  return std::bit_cast<T>(bits);
}

template <class T>
auto bits_of(T value) {
  return std::bit_cast<std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>>(value);
}

template <class T>
bool same(T a, T b) {
  return bits_of(a) == bits_of(b) || (a != a && b != b);
}

// Any fp32, with zeros, subnormals, infinities, NaN and neighbours of one often enough to matter.
inline float any_float(std::mt19937_64& random) {
  constexpr uint32_t kSpecial[] = {0,          1,          0x007fffff, 0x00800000, 0x3f800000,
                                   0x3f7fffff, 0x7f7fffff, 0x7f800000, 0x7fc00001};
  const auto draw = static_cast<uint32_t>(random());
  switch (random() % 4) {
    case 0:
      return from_bits<float>((draw & 0x80000000u) | kSpecial[random() % std::size(kSpecial)]);
    case 1:  // near one, so that sums cancel and products meet
      return from_bits<float>((draw & 0x807fffffu) | (120 + static_cast<uint32_t>(random() % 16)) << 23);
    default:
      return from_bits<float>(draw);
  }
}

}  // namespace test
