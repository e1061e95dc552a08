// cvt between the number types of PTX: what is exact, rounded, clamped, and what becomes of NaN. The formats' own
// rounding is in float_format.hpp; .ftz, .sat and .relu of floating-point results in float_arithmetic.hpp.
#pragma once

#include <cmath>
#include <limits>

#include "harness/emulator/float_arithmetic.hpp"

namespace wkv::emulator {

// Integer to integer: the low bits, or with .sat the nearest value that the target has.
template <class To, class From>
constexpr To convert_integer(From value) {
  return static_cast<To>(value);
}
template <class To, class From>
constexpr To convert_integer_saturated(From value) {
  using Wide = __int128;
  const Wide low = std::numeric_limits<To>::min(), high = std::numeric_limits<To>::max();
  return static_cast<To>(std::clamp(static_cast<Wide>(value), low, high));
}

// Integer to float in any rounding mode.
template <class To, Rounding kRounding, class From>
constexpr To integer_to_float(From value) {
  const bool negative = value < 0;
  const uint64_t bits = static_cast<uint64_t>(value);  // sign extended
  return round_integer<To, kRounding>(negative, negative ? ~bits + 1 : bits);
}

// .rni, .rzi, .rmi, .rpi: an integer of the same type; the sign stays on a zero, NaN stays NaN.
template <Rounding kRounding>
inline double round_to_integral(double value) {
  if constexpr (kRounding == Rounding::rz) return std::trunc(value);
  if constexpr (kRounding == Rounding::rm) return std::floor(value);
  if constexpr (kRounding == Rounding::rp) return std::ceil(value);
  return std::nearbyint(value);
}

// Float to integer: rounded, then clamped to the target's range. NaN gives 0, except from fp64 or to 64 bits, where it
// gives the target's sign bit alone (PTX ISA, cvt).
template <class To, Rounding kRounding, class From>
inline To float_to_integer(From value) {
  static_assert(std::is_integral_v<To>);
  constexpr bool kNanIsSignBit = std::is_same_v<From, double> || sizeof(To) == 8;
  constexpr To kNan = kNanIsSignBit ? static_cast<To>(uint64_t{1} << (8 * sizeof(To) - 1)) : To{0};
  constexpr To kLow = std::numeric_limits<To>::min(), kHigh = std::numeric_limits<To>::max();
  // Both bounds are exact: a power of two or zero, and the power of two above the greatest value.
  constexpr double kFrom = static_cast<double>(kLow);
  constexpr double kUntil = 2.0 * static_cast<double>(To{1} << (8 * sizeof(To) - 2)) * (std::is_signed_v<To> ? 1 : 2);
  const double wide = widen_to_double(value);
  if (is_nan(wide)) return kNan;
  const double rounded = round_to_integral<kRounding>(wide);
  if (rounded <= kFrom) return kLow;
  if (rounded >= kUntil) return kHigh;
  return static_cast<To>(rounded);
}

// Float to float where the target is narrower: rounded. .satfinite: what would be infinite, infinities included,
// becomes the greatest finite value.
template <class To, Rounding kRounding, class From>
constexpr To narrow(From value, bool satfinite = false) {
  const To rounded = round_to<To, kRounding>(value);
  using F = Format<To>;
  using Bits = typename F::Bits;
  const auto magnitude = static_cast<Bits>(std::bit_cast<Bits>(rounded) & static_cast<Bits>(F::nan << F::low_zeros));
  const bool overflowed = magnitude == static_cast<Bits>(F::infinity << F::low_zeros) && value == value;
  return satfinite && overflowed ? from_bits<To>(value < 0, F::max_finite) : rounded;
}

// Any two float types, from the narrower to the wider exactly. fp32's NaN becomes an fp64 NaN of the same sign and
// leading bits.
template <class To, Rounding kRounding, class From>
inline To convert_float(From value) {
  if constexpr (std::is_same_v<To, From>) {
    return value;
  } else if constexpr (std::is_same_v<To, double>) {
    return widen_to_double(value);
  } else if constexpr (std::is_same_v<To, float> && !std::is_same_v<From, double>) {
    return widen(value);
  } else if constexpr (std::is_same_v<From, double>) {
    return narrow<To, kRounding>(value);
  } else {
    return narrow<To, kRounding>(widen(value));
  }
}

}  // namespace wkv::emulator
