#include "harness/emulator/float_format.hpp"

#include <catch2/catch.hpp>
#include <cfenv>
#include <cmath>
#include <random>

#include "tests/emulator/bits.hpp"

using namespace wkv::emulator;

namespace {

// The value of a bit pattern from the definition of the format, with no shared code.
template <class T>
double value_of(uint32_t magnitude) {
  using F = Format<T>;
  const int field = static_cast<int>(magnitude >> F::fraction_bits);
  const auto fraction = static_cast<double>(magnitude & ((1u << F::fraction_bits) - 1));
  const double one = std::ldexp(1.0, F::fraction_bits);
  return field == 0 ? std::ldexp(fraction / one, F::min_exponent) : std::ldexp(1 + fraction / one, field - F::bias);
}

template <class T>
uint64_t magnitude_of(T value) {
  return (value.bits >> Format<T>::low_zeros) & Format<T>::nan;
}

template <class T, Rounding kRounding>
void check_between(uint32_t lower, bool negative) {
  const double below = value_of<T>(lower), above = value_of<T>(lower + 1), middle = (below + above) / 2;
  const double sign = negative ? -1 : 1;
  const auto rounded = [&](double magnitude) { return magnitude_of(round_to<T, kRounding>(sign * magnitude)); };
  const bool outwards = (kRounding == Rounding::rp && !negative) || (kRounding == Rounding::rm && negative);
  const bool nearest = kRounding == Rounding::rn || kRounding == Rounding::rna;
  const uint32_t tie = kRounding == Rounding::rna ? lower + 1 : lower + (lower & 1);
  const bool right = rounded(below) == lower && rounded(middle) == (nearest ? tie : lower + outwards) &&
                     rounded(std::nextafter(middle, 0)) == (nearest ? lower : lower + outwards) &&
                     rounded(std::nextafter(middle, INFINITY)) == (nearest ? lower + 1 : lower + outwards);
  if (!right) {
    CAPTURE(lower, negative, kRounding);
    FAIL();
  }
}

template <class T>
void check_all_values() {
  for (uint32_t lower = 0; lower < Format<T>::max_finite; ++lower) {
    for (const bool negative : {false, true}) {
      check_between<T, Rounding::rn>(lower, negative);
      check_between<T, Rounding::rna>(lower, negative);
      check_between<T, Rounding::rz>(lower, negative);
      check_between<T, Rounding::rm>(lower, negative);
      check_between<T, Rounding::rp>(lower, negative);
    }
    if (widen(from_bits<T>(false, lower)) != value_of<T>(lower)) FAIL("widen " << lower);
    if (widen(from_bits<T>(true, lower)) != -value_of<T>(lower)) FAIL("widen -" << lower);
  }
}

}  // namespace

TEMPLATE_TEST_CASE("formats: all values and all midpoints between them, in every rounding mode", "", F16, BF16, TF32,
                   E4M3, E5M2) {
  check_all_values<TestType>();
  SUCCEED();
}

TEMPLATE_TEST_CASE("formats: fp32 and fp64 round to the same", "", F16, BF16, TF32, E4M3, E5M2) {
  std::mt19937 random(1);
  for (int i = 0; i < 200000; ++i) {
    const auto value = std::bit_cast<float>(static_cast<uint32_t>(random()));
    const bool same = round_to<TestType>(value).bits == round_to<TestType>(static_cast<double>(value)).bits &&
                      round_to<TestType, Rounding::rp>(value).bits ==
                          round_to<TestType, Rounding::rp>(static_cast<double>(value)).bits;
    if (!same) FAIL(value);
  }
  SUCCEED();
}

TEST_CASE("formats: overflow is infinite or the greatest value by rounding mode") {
  CHECK(round_to<F16>(65519.0f).bits == 0x7bff);
  CHECK(round_to<F16>(65520.0f).bits == 0x7c00);
  CHECK(round_to<F16>(-65520.0f).bits == 0xfc00);
  CHECK(round_to<F16, Rounding::rz>(1e9f).bits == 0x7bff);
  CHECK(round_to<F16, Rounding::rm>(1e9f).bits == 0x7bff);
  CHECK(round_to<F16, Rounding::rm>(-1e9f).bits == 0xfc00);
  CHECK(round_to<F16, Rounding::rp>(1e9f).bits == 0x7c00);
  CHECK(round_to<F16, Rounding::rp>(-1e9f).bits == 0xfbff);
  CHECK(round_to<F16, Rounding::rz>(INFINITY).bits == 0x7c00);
  CHECK(round_to<BF16>(3.4e38f).bits == 0x7f80);
  CHECK(round_to<BF16, Rounding::rz>(3.4e38f).bits == 0x7f7f);
  CHECK(round_to<E4M3>(464.0f).bits == 0x7e);
  CHECK(round_to<E4M3>(465.0f).bits == 0x7f);
  CHECK(round_to<E5M2>(61440.0f).bits == 0x7c);
}

TEST_CASE("formats: NaN, infinity and zero") {
  CHECK(round_to<F16>(-std::nanf("5")).bits == 0x7fff);
  CHECK(round_to<BF16>(std::nan("5")).bits == 0x7fff);
  CHECK(round_to<TF32>(std::nanf("")).bits == 0x7fffffff);
  CHECK(round_to<E4M3>(std::nanf("")).bits == 0x7f);
  CHECK(round_to<E5M2>(std::nanf("")).bits == 0x7f);
  CHECK(std::bit_cast<uint32_t>(round_to<float>(std::nan("3"))) == 0x7fffffff);
  CHECK(round_to<F16>(-0.0f).bits == 0x8000);
  CHECK(widen(F16{0x7c00}) == INFINITY);
  CHECK(widen(F16{0xfc00}) == -INFINITY);
  CHECK(std::bit_cast<uint32_t>(widen(F16{0xfe01})) == 0x7fffffff);
  CHECK(std::bit_cast<uint32_t>(widen(BF16{0xffc1})) == 0xffc10000);
  CHECK(std::isnan(widen(E4M3{0xff})));
  CHECK(widen(E4M3{0xfe}) == -448);
  CHECK(widen(E5M2{0x7c}) == INFINITY);
  CHECK(std::isnan(widen(E5M2{0x7d})));
  CHECK(widen(TF32{0x3f801fff}) == 1.0f);
}

TEST_CASE("formats: fp64 to fp32 in the four IEEE modes as the host does it") {
  std::mt19937_64 random(2);
  for (int i = 0; i < 300000; ++i) {
    // Exponents around fp32's range, its subnormals included.
    const volatile double value = std::ldexp(test::from_bits<double>((random() >> 12) | 0x3ff0000000000000),
                                             static_cast<int>(random() % 320) - 170) *
                                  (random() & 1 ? -1 : 1);
    const auto host = [&](int mode) {
      std::fesetround(mode);
      const volatile float rounded = static_cast<float>(value);
      std::fesetround(FE_TONEAREST);
      return rounded;
    };
    const double x = value;
    if (!(test::same(round_to<float>(x), host(FE_TONEAREST)) &&
          test::same(round_to<float, Rounding::rz>(x), host(FE_TOWARDZERO)) &&
          test::same(round_to<float, Rounding::rm>(x), host(FE_DOWNWARD)) &&
          test::same(round_to<float, Rounding::rp>(x), host(FE_UPWARD)))) {
      FAIL(x);
    }
  }
  SUCCEED();
}

TEST_CASE("formats: 64-bit integers to fp32 and fp64 in the four IEEE modes as the host does it") {
  std::mt19937_64 random(3);
  for (int i = 0; i < 200000; ++i) {
    const volatile auto value = static_cast<int64_t>(random()) >> (random() % 64);
    const bool negative = value < 0;
    const uint64_t magnitude = negative ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
    const auto agrees = [&]<Rounding kRounding>(int mode) {
      std::fesetround(mode);
      const volatile float single = static_cast<float>(value);
      const volatile double wide = static_cast<double>(value);
      std::fesetround(FE_TONEAREST);
      return test::same(round_integer<float, kRounding>(negative, magnitude), static_cast<float>(single)) &&
             test::same(round_integer<double, kRounding>(negative, magnitude), static_cast<double>(wide));
    };
    if (!(agrees.operator()<Rounding::rn>(FE_TONEAREST) && agrees.operator()<Rounding::rz>(FE_TOWARDZERO) &&
          agrees.operator()<Rounding::rm>(FE_DOWNWARD) && agrees.operator()<Rounding::rp>(FE_UPWARD))) {
      FAIL(static_cast<int64_t>(value));
    }
  }
  CHECK(round_integer<F16>(false, 2049).bits == round_to<F16>(2048.0f).bits);
  CHECK(round_integer<F16>(true, 65520).bits == 0xfc00);
  CHECK(round_integer<BF16>(false, ~uint64_t{0}).bits == round_to<BF16>(0x1p64f).bits);
}
