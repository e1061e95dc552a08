// PTX's integer and bit-field instructions on single values, for the cases in which C++ has no operator of the same
// meaning. Names follow the instructions.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace wkv::emulator {

template <class T>
constexpr int kBits = 8 * static_cast<int>(sizeof(T));

// Shifts by the width or more give 0, or for a signed right shift the sign everywhere.
template <class T>
constexpr T shift_left(T a, uint32_t by) {
  return by >= kBits<T> ? T{0} : static_cast<T>(static_cast<std::make_unsigned_t<T>>(a) << by);
}
template <class T>
constexpr T shift_right(T a, uint32_t by) {
  const uint32_t most = std::is_signed_v<T> ? kBits<T> - 1 : kBits<T>;
  if (by >= most) return std::is_signed_v<T> ? static_cast<T>(a >> (kBits<T> - 1)) : T{0};
  return static_cast<T>(a >> by);
}

template <class T>
constexpr T multiply_high(T a, T b) {
  using Wide = std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>;
  return static_cast<T>((static_cast<Wide>(a) * static_cast<Wide>(b)) >> kBits<T>);
}

// The low 24 bits of each, and bits 31:0 (low) or 47:16 (high) of the product.
template <class T>
constexpr T multiply24(T a, T b, bool high) {
  using Wide = std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>;
  const auto low24 = [](T x) { return static_cast<Wide>(static_cast<T>(static_cast<uint32_t>(x) << 8) >> 8); };
  const Wide product = low24(a) * low24(b);
  return static_cast<T>(high ? product >> 16 : product);
}

template <class T>
constexpr T absolute_difference(T a, T b) {
  using Unsigned = std::make_unsigned_t<T>;
  const auto x = static_cast<Unsigned>(a), y = static_cast<Unsigned>(b);
  return static_cast<T>(a < b ? y - x : x - y);
}

constexpr int32_t add_saturated(int32_t a, int32_t b) {
  return static_cast<int32_t>(std::clamp<int64_t>(int64_t{a} + b, INT32_MIN, INT32_MAX));
}
constexpr int32_t subtract_saturated(int32_t a, int32_t b) {
  return static_cast<int32_t>(std::clamp<int64_t>(int64_t{a} - b, INT32_MIN, INT32_MAX));
}

// add.cc, addc: sum and carry out. sub.cc, subc: difference and borrow out.
template <class T>
struct WithCarry {
  T value;
  bool carry;
};
template <class T>
constexpr WithCarry<T> add_with_carry(T a, T b, bool carry) {
  static_assert(std::is_unsigned_v<T>);
  const T sum = static_cast<T>(a + b);
  const T total = static_cast<T>(sum + carry);
  return {total, sum < a || total < sum};
}
template <class T>
constexpr WithCarry<T> subtract_with_borrow(T a, T b, bool borrow) {
  static_assert(std::is_unsigned_v<T>);
  const T difference = static_cast<T>(a - b);
  return {static_cast<T>(difference - borrow), a < b || (difference == 0 && borrow)};
}

// Four byte products added to c; two products of half words of a and bytes of b, the lower pair or the upper.
template <class A, class B>
constexpr uint32_t dot4(uint32_t a, uint32_t b, uint32_t c) {
  for (int i = 0; i < 4; ++i) {
    c += static_cast<uint32_t>(static_cast<A>(a >> (8 * i)) * static_cast<B>(b >> (8 * i)));
  }
  return c;
}
template <class A, class B>
constexpr uint32_t dot2(uint32_t a, uint32_t b, uint32_t c, bool upper_bytes) {
  for (int i = 0; i < 2; ++i) {
    const int byte = i + (upper_bytes ? 2 : 0);
    c += static_cast<uint32_t>(int32_t{static_cast<A>(a >> (16 * i))} * static_cast<B>(b >> (8 * byte)));
  }
  return c;
}

// Bytes 0 to 3 are a's, 4 to 7 b's. The plain mode takes a selector nibble for each result byte, whose top bit asks
// for the byte's sign in all 8 bits; the others take selectors from the two low bits of c.
enum class PermuteMode { plain, f4e, b4e, rc8, ecl, ecr, rc16 };
constexpr uint32_t permute_selectors(PermuteMode mode, uint32_t c) {
  const uint32_t n = c & 3;
  const auto nibbles = [](auto&& nibble) {
    uint32_t all = 0;
    for (uint32_t i = 0; i < 4; ++i) all |= static_cast<uint32_t>(nibble(i)) << (4 * i);
    return all;
  };
  switch (mode) {
    case PermuteMode::f4e:
      return nibbles([n](uint32_t i) { return n + i; });
    case PermuteMode::b4e:
      return nibbles([n](uint32_t i) { return (n - i) & 7; });
    case PermuteMode::rc8:
      return nibbles([n](uint32_t) { return n; });
    case PermuteMode::ecl:
      return nibbles([n](uint32_t i) { return std::max(n, i); });
    case PermuteMode::ecr:
      return nibbles([n](uint32_t i) { return std::min(n, i); });
    case PermuteMode::rc16:
      return nibbles([n](uint32_t i) { return (n & 1) * 2 + (i & 1); });
    case PermuteMode::plain:
      break;
  }
  return c;
}
constexpr uint32_t permute(uint32_t a, uint32_t b, uint32_t selectors) {
  const uint64_t bytes = uint64_t{b} << 32 | a;
  uint32_t d = 0;
  for (uint32_t i = 0; i < 4; ++i) {
    const uint32_t selector = selectors >> (4 * i);
    const auto byte = static_cast<uint8_t>(bytes >> (8 * (selector & 7)));
    const uint32_t sign = byte & 0x80 ? 0xff : 0;
    d |= (selector & 8 ? sign : byte) << (8 * i);
  }
  return d;
}

// Bit by bit the truth table `table`, looked up at 4 a + 2 b + c.
constexpr uint32_t logic3(uint32_t a, uint32_t b, uint32_t c, uint32_t table) {
  uint32_t d = 0;
  for (uint32_t row = 0; row < 8; ++row) {
    const uint32_t here = (row & 4 ? a : ~a) & (row & 2 ? b : ~b) & (row & 1 ? c : ~c);
    d |= table >> row & 1 ? here : 0;
  }
  return d;
}

// shf: the upper word of b:a shifted left, the lower one of it shifted right.
constexpr uint32_t funnel_amount(uint32_t c, bool clamp) { return clamp ? std::min(c, 32u) : c & 31; }
constexpr uint32_t funnel_left(uint32_t a, uint32_t b, uint32_t by) {
  return static_cast<uint32_t>((uint64_t{b} << 32 | a) << by >> 32);
}
constexpr uint32_t funnel_right(uint32_t a, uint32_t b, uint32_t by) {
  return static_cast<uint32_t>((uint64_t{b} << 32 | a) >> by);
}

// Ones from bit 0 to length - 1, all ones from the width on.
template <class T>
constexpr T low_mask(uint32_t length) {
  static_assert(std::is_unsigned_v<T>);
  return length >= kBits<T> ? static_cast<T>(~T{0}) : static_cast<T>((T{1} << length) - 1);
}

// Position and length count from their low 8 bits. A signed field is extended by its top bit, or by a's where the field
// sticks out; a field of length 0 is 0.
template <class T>
constexpr T extract_field(T a, uint32_t position, uint32_t length) {
  using Unsigned = std::make_unsigned_t<T>;
  position &= 0xff;
  length &= 0xff;
  const auto field =
      static_cast<Unsigned>(shift_right(static_cast<Unsigned>(a), position) & low_mask<Unsigned>(length));
  if (std::is_unsigned_v<T> || length == 0) return static_cast<T>(field);
  const uint32_t sign_at = std::min<uint32_t>(position + length - 1, kBits<T> - 1);
  const bool negative = static_cast<Unsigned>(a) >> sign_at & 1;
  const uint32_t inside = position >= kBits<T> ? 0 : std::min<uint32_t>(length, kBits<T> - position);
  return static_cast<T>(negative ? field | static_cast<Unsigned>(~low_mask<Unsigned>(inside)) : field);
}
template <class T>
constexpr T insert_field(T field, T into, uint32_t position, uint32_t length) {
  const T mask = shift_left(low_mask<T>(length & 0xff), position & 0xff);
  return static_cast<T>((into & ~mask) | (shift_left(field, position & 0xff) & mask));
}

// The highest bit that differs from the sign (a one for unsigned types), or all ones; as a shift amount on demand.
template <class T>
constexpr uint32_t find_leading(T a, bool shift_amount) {
  using Unsigned = std::make_unsigned_t<T>;
  const auto bits = static_cast<Unsigned>(a < 0 ? ~a : a);
  if (bits == 0) return 0xffffffffu;
  const auto zeros = static_cast<uint32_t>(std::countl_zero(bits));
  return shift_amount ? zeros : kBits<T> - 1 - zeros;
}

template <class T>
constexpr T reverse_bits(T a) {
  static_assert(std::is_unsigned_v<T>);
  T d = 0;
  for (int i = 0; i < kBits<T>; ++i) d = static_cast<T>(d << 1 | (a >> i & 1));
  return d;
}

// The position of the |offset|-th one bit from base on, upwards for positive offsets; offset 0 asks for base itself.
constexpr uint32_t find_nth_set(uint32_t mask, uint32_t base, int32_t offset) {
  const int step = offset > 0 ? 1 : -1;
  int64_t missing = offset == 0 ? 0 : std::abs(int64_t{offset}) - 1;
  for (int64_t at = base; at >= 0 && at < 32; at += step) {
    if (mask >> at & 1 && missing-- == 0) return static_cast<uint32_t>(at);
    if (offset == 0) break;
  }
  return 0xffffffffu;
}

// szext: the low b bits of a, sign extended for signed types. bmsk: b ones from bit a on.
template <class T>
constexpr T extend_low_bits(T a, uint32_t b, bool clamp) {
  const uint32_t length = clamp ? std::min(b, 32u) : b & 31;
  if (length == 0) return 0;
  const uint32_t unused = 32 - length;
  return static_cast<T>(static_cast<T>(static_cast<uint32_t>(a) << unused) >> unused);
}
constexpr uint32_t bit_mask(uint32_t a, uint32_t b, bool clamp) {
  if (!clamp) {
    a &= 31;
    b &= 31;
  }
  return shift_left(low_mask<uint32_t>(b), a);
}

}  // namespace wkv::emulator
