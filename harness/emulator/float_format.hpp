// The floating-point formats of PTX as bit patterns, and correct rounding into them from fp32, fp64 and integers.
// Everything is branch-free where it can be, so that loops over a warp's lanes vectorise.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <type_traits>

namespace wkv::emulator {

// PTX's .rn (nearest, ties to even), .rna (nearest, ties away from zero), .rz (to zero), .rm (down), .rp (up).
enum class Rounding { rn, rna, rz, rm, rp };

struct F16 {
  using Bits = uint16_t;
  uint16_t bits = 0;
};
struct BF16 {
  using Bits = uint16_t;
  uint16_t bits = 0;
};
struct TF32 {  // an fp32 whose low 13 bits count for nothing; they are written as zeros
  using Bits = uint32_t;
  uint32_t bits = 0;
};
struct E4M3 {  // no infinities; one NaN for each sign
  using Bits = uint8_t;
  uint8_t bits = 0;
};
struct E5M2 {
  using Bits = uint8_t;
  uint8_t bits = 0;
};

namespace detail {
// infinity is what an overflow gives: for E4M3, which has none, the NaN.
template <class BitsType, int kExponentBits, int kFractionBits>
struct IeeeLayout {
  using Bits = BitsType;
  static constexpr int exponent_bits = kExponentBits, fraction_bits = kFractionBits;
  static constexpr int bias = (1 << (kExponentBits - 1)) - 1, min_exponent = 1 - bias;
  static constexpr int low_zeros = 0;  // unused bits of the pattern below the fraction
  static constexpr uint64_t infinity = ((uint64_t{1} << kExponentBits) - 1) << kFractionBits;
  static constexpr uint64_t max_finite = infinity - 1;
  static constexpr uint64_t nan = (uint64_t{1} << (kExponentBits + kFractionBits)) - 1;
};
}  // namespace detail

template <class T>
struct Format;
template <>
struct Format<F16> : detail::IeeeLayout<uint16_t, 5, 10> {};
template <>
struct Format<BF16> : detail::IeeeLayout<uint16_t, 8, 7> {};
template <>
struct Format<TF32> : detail::IeeeLayout<uint32_t, 8, 10> {
  static constexpr int low_zeros = 13;
};
template <>
struct Format<E4M3> : detail::IeeeLayout<uint8_t, 4, 3> {
  static constexpr uint64_t infinity = 0x7f, max_finite = 0x7e, nan = 0x7f;
};
template <>
struct Format<E5M2> : detail::IeeeLayout<uint8_t, 5, 2> {};
template <>
struct Format<float> : detail::IeeeLayout<uint32_t, 8, 23> {};
template <>
struct Format<double> : detail::IeeeLayout<uint64_t, 11, 52> {};

// A value from sign and magnitude bits, the latter without low_zeros.
template <class T>
constexpr T from_bits(bool negative, uint64_t magnitude) {
  using F = Format<T>;
  const auto bits = static_cast<typename F::Bits>(
      (uint64_t{negative} << (F::exponent_bits + F::fraction_bits) | magnitude) << F::low_zeros);
  return std::bit_cast<T>(bits);
}

// What PTX writes for a NaN result: all ones below the sign.
template <class T>
constexpr T canonical_nan() {
  if constexpr (std::is_same_v<T, float>) return std::bit_cast<float>(0x7fffffffu);
  if constexpr (std::is_same_v<T, TF32>) return TF32{0x7fffffffu};
  return from_bits<T>(false, Format<T>::nan);
}

// The magnitude bits, in format To, of significand * 2^(exponent - kTop) rounded. The significand is below
// 2^(kTop + 1), and at least 2^kTop unless the exponent is To's smallest or lower; kTop leaves two bits to round.
// negative is 0 or 1. Everything is of one width and without bool, which lets compilers vectorise it.
template <class To, Rounding kRounding, int kTop, class Word>
constexpr Word round_magnitude(Word negative, Word significand, std::make_signed_t<Word> exponent) {
  using F = Format<To>;
  using Signed = std::make_signed_t<Word>;
  static_assert(kTop >= F::fraction_bits + 2 && kTop + 2 < static_cast<int>(8 * sizeof(Word)));
  static_assert(F::infinity == F::max_finite + 1);
  constexpr Signed kMin = F::min_exponent;
  const Signed below = std::max<Signed>(0, kMin - exponent);
  const Signed lost = std::min<Signed>(kTop - F::fraction_bits + below, kTop + 2);  // then all is less than a half
  const Word kept = significand >> lost;
  const Word unit = Word{1} << lost, half = unit >> 1;
  const Word rest = significand & (unit - 1);
  Word up = 0;
  if constexpr (kRounding == Rounding::rn) up = rest + (kept & 1) > half ? 1 : 0;
  if constexpr (kRounding == Rounding::rna) up = rest >= half ? 1 : 0;
  if constexpr (kRounding == Rounding::rm) up = rest != 0 ? negative : 0;
  if constexpr (kRounding == Rounding::rp) up = rest != 0 ? 1 - negative : 0;
  const Word above = static_cast<Word>(std::max(exponent, kMin) - kMin);
  const Word magnitude = (above << F::fraction_bits) + kept + up;
  Word overflow = static_cast<Word>(F::infinity);
  if constexpr (kRounding == Rounding::rz) overflow = static_cast<Word>(F::max_finite);
  if constexpr (kRounding == Rounding::rm) overflow = static_cast<Word>(F::max_finite) + negative;
  if constexpr (kRounding == Rounding::rp) overflow = static_cast<Word>(F::infinity) - negative;
  return static_cast<Signed>(magnitude) > static_cast<Signed>(F::max_finite) ? overflow : magnitude;
}

// A float or double rounded to a format with a smaller fraction. NaN becomes the canonical NaN.
template <class To, Rounding kRounding = Rounding::rn, class From>
constexpr To round_to(From value) {
  using S = Format<From>;
  using F = Format<To>;
  using Word = typename S::Bits;
  using Signed = std::make_signed_t<Word>;
  const Word bits = std::bit_cast<Word>(value);
  const Word negative = bits >> (8 * sizeof(Word) - 1);
  const auto magnitude = static_cast<Signed>(bits & static_cast<Word>(S::nan));
  const Signed field = magnitude >> S::fraction_bits;
  const Word implicit = field != 0 ? Word{1} << S::fraction_bits : 0;
  const Word significand = (static_cast<Word>(magnitude) & ((Word{1} << S::fraction_bits) - 1)) | implicit;
  const Signed exponent = std::max<Signed>(field, 1) - S::bias;
  const Word finite = round_magnitude<To, kRounding, S::fraction_bits + 2>(negative, significand << 2, exponent);
  constexpr auto kInfinity = static_cast<Signed>(S::infinity);
  const Word rounded = magnitude >= kInfinity ? static_cast<Word>(F::infinity) : finite;
  const Word result = (negative << (F::exponent_bits + F::fraction_bits) | rounded) << F::low_zeros;
  constexpr auto kNan = static_cast<Word>(std::bit_cast<typename F::Bits>(canonical_nan<To>()));
  return std::bit_cast<To>(static_cast<typename F::Bits>(magnitude > kInfinity ? kNan : result));
}

// An integer of up to 64 bits, as sign and magnitude, rounded to a format.
template <class To, Rounding kRounding = Rounding::rn>
constexpr To round_integer(bool negative, uint64_t magnitude) {
  if (magnitude == 0) return from_bits<To>(false, 0);
  const int zeros = std::countl_zero(magnitude);
  const uint64_t normalised = magnitude << zeros;
  constexpr int kTop = 61;
  const uint64_t significand = (normalised >> 2) | ((normalised & 3) != 0);
  return from_bits<To>(negative, round_magnitude<To, kRounding, kTop>(uint64_t{negative}, significand, 63 - zeros));
}

// Exactly the same value in fp32. A NaN stays one; that of bf16 and tf32 keeps its bits.
inline float widen(float value) { return value; }
inline float widen(BF16 value) { return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16); }
inline float widen(TF32 value) { return std::bit_cast<float>(value.bits & ~0x1fffu); }
template <class T>
requires(sizeof(T) <= 2) inline float widen(T value) {
  using F = Format<T>;
  constexpr int kWidth = F::exponent_bits + F::fraction_bits;
  const uint32_t magnitude = value.bits & ((1u << kWidth) - 1);
  const uint32_t sign = static_cast<uint32_t>(value.bits >> kWidth) << 31;
  // The fraction at fp32's place under an exponent that is too small by the difference of the biases; a subnormal
  // becomes an fp32 subnormal of the same fraction, which the multiplication normalises.
  constexpr float kRebias = std::bit_cast<float>(static_cast<uint32_t>(127 + 127 - F::bias) << 23);
  const float scaled = std::bit_cast<float>(magnitude << (23 - F::fraction_bits)) * kRebias;
  uint32_t bits = std::bit_cast<uint32_t>(scaled);
  if constexpr (F::infinity != F::nan) bits = magnitude == F::infinity ? 0x7f800000u : bits;
  const uint32_t nan_from = F::infinity == F::nan ? F::nan : F::infinity + 1;
  return std::bit_cast<float>(magnitude >= nan_from ? 0x7fffffffu : bits | sign);
}

template <class T>
inline double widen_to_double(T value) {
  if constexpr (std::is_same_v<T, double>) {
    return value;
  } else {
    return static_cast<double>(widen(value));
  }
}

}  // namespace wkv::emulator
