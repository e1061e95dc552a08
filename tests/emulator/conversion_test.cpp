#include "harness/emulator/conversion.hpp"

#include <catch2/catch.hpp>
#include <random>

#include "tests/emulator/bits.hpp"

using namespace wkv::emulator;

namespace {

constexpr Rounding rn = Rounding::rn, rz = Rounding::rz, rm = Rounding::rm, rp = Rounding::rp;

// Rounding by hand: the integers around the value, and which one each mode takes.
long double integral(Rounding rounding, long double value) {
  const long double down = std::floor(value), up = std::ceil(value);
  if (rounding == rm) return down;
  if (rounding == rp) return up;
  if (rounding == rz) return value < 0 ? up : down;
  if (value - down != up - value) return value - down < up - value ? down : up;
  return std::fmod(down, 2.0L) == 0 ? down : up;
}

template <class To, Rounding kRounding, class From>
void check_against_definition(From value) {
  const long double wanted = integral(kRounding, static_cast<long double>(value));
  const long double low = std::numeric_limits<To>::min(), high = std::numeric_limits<To>::max();
  const To expected = wanted < low    ? std::numeric_limits<To>::min()
                      : wanted > high ? std::numeric_limits<To>::max()
                                      : static_cast<To>(wanted);
  if (float_to_integer<To, kRounding>(value) != expected) {
    CAPTURE(value, sizeof(To), std::is_signed_v<To>, kRounding);
    FAIL();
  }
}

}  // namespace

TEMPLATE_TEST_CASE("cvt: float to integer rounds, then clamps", "", int8_t, uint8_t, int16_t, uint16_t, int32_t,
                   uint32_t, int64_t, uint64_t) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 100000; ++i) {
    // Magnitudes from a quarter to 2^66, with halves and integers often.
    double value = std::ldexp(static_cast<double>(random() >> 11), -55 + static_cast<int>(random() % 70));
    if (i % 4 == 0) value = std::floor(2 * value) / 2;
    if (random() & 1) value = -value;
    check_against_definition<TestType, rn>(value);
    check_against_definition<TestType, rz>(value);
    check_against_definition<TestType, rm>(value);
    check_against_definition<TestType, rp>(value);
    check_against_definition<TestType, rn>(static_cast<float>(value));
    check_against_definition<TestType, rz>(static_cast<float>(value));
  }
  CHECK(float_to_integer<TestType, rz>(INFINITY) == std::numeric_limits<TestType>::max());
  CHECK(float_to_integer<TestType, rz>(-INFINITY) == std::numeric_limits<TestType>::min());
}

TEST_CASE("cvt: what an integer makes of NaN") {
  const float nan = std::nanf("");
  CHECK(float_to_integer<int32_t, rz>(nan) == 0);
  CHECK(float_to_integer<uint32_t, rz>(nan) == 0);
  CHECK(float_to_integer<int16_t, rn>(F16{0x7e00}) == 0);
  CHECK(float_to_integer<int64_t, rz>(nan) == INT64_MIN);
  CHECK(float_to_integer<uint64_t, rz>(nan) == uint64_t{1} << 63);
  CHECK(float_to_integer<int32_t, rz>(std::nan("")) == INT32_MIN);
  CHECK(float_to_integer<uint32_t, rz>(std::nan("")) == 0x80000000u);
  CHECK(float_to_integer<int64_t, rz>(F16{0x7e00}) == INT64_MIN);
}

TEST_CASE("cvt: fp16 and bf16 to integers, every value") {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const F16 half{static_cast<uint16_t>(bits)};
    const BF16 brain{static_cast<uint16_t>(bits)};
    const double h = widen(half), b = widen(brain);
    const auto clamped = [](double value) {
      return std::isnan(value) ? 0 : std::clamp(std::trunc(value), -32768.0, 32767.0);
    };
    if (float_to_integer<int16_t, rz>(half) != clamped(h)) FAIL(bits);
    if (float_to_integer<int16_t, rz>(brain) != clamped(b)) FAIL(bits);
  }
  SUCCEED();
}

TEST_CASE("cvt: integer to integer wraps, or clamps with .sat") {
  CHECK(convert_integer<uint8_t>(int32_t{-1}) == 255);
  CHECK(convert_integer<int64_t>(int32_t{-5}) == -5);
  CHECK(convert_integer<uint64_t>(int32_t{-1}) == ~uint64_t{0});
  CHECK(convert_integer_saturated<uint8_t>(int32_t{-1}) == 0);
  CHECK(convert_integer_saturated<int8_t>(int32_t{200}) == 127);
  CHECK(convert_integer_saturated<int8_t>(int64_t{-1} << 40) == -128);
  CHECK(convert_integer_saturated<int32_t>(~uint64_t{0}) == INT32_MAX);
  CHECK(convert_integer_saturated<uint64_t>(int64_t{-1}) == 0);
}

TEST_CASE("cvt: integer to float, all 16-bit integers to fp16 in every mode") {
  for (int32_t value = -32768; value < 65536; ++value) {
    const auto wide = static_cast<float>(value);
    if (integer_to_float<F16, rn>(value).bits != round_to<F16, rn>(wide).bits) FAIL(value);
    if (integer_to_float<F16, rz>(value).bits != round_to<F16, rz>(wide).bits) FAIL(value);
    if (integer_to_float<F16, rm>(value).bits != round_to<F16, rm>(wide).bits) FAIL(value);
    if (integer_to_float<F16, rp>(value).bits != round_to<F16, rp>(wide).bits) FAIL(value);
  }
  CHECK(integer_to_float<float, rn>(INT64_MIN) == -0x1p63f);
  CHECK(integer_to_float<float, rz>(uint32_t{0xffffffff}) == 0x1.fffffep31f);
  CHECK(integer_to_float<float, rp>(uint32_t{0xffffffff}) == 0x1p32f);
  CHECK(integer_to_float<double, rn>(uint32_t{0xffffffff}) == 4294967295.0);
  CHECK(test::bits_of(integer_to_float<float, rm>(0)) == 0);
}

TEST_CASE("cvt: to an integral float keeps sign, infinity and NaN") {
  CHECK(round_to_integral<rn>(2.5) == 2);
  CHECK(round_to_integral<rn>(-3.5) == -4);
  CHECK(round_to_integral<rz>(-3.5) == -3);
  CHECK(round_to_integral<rm>(-3.5) == -4);
  CHECK(round_to_integral<rp>(3.25) == 4);
  CHECK(test::bits_of(round_to_integral<rn>(-0.25)) == test::bits_of(-0.0));
  CHECK(std::isinf(round_to_integral<rz>(INFINITY)));
  CHECK(std::isnan(round_to_integral<rz>(std::nan(""))));
}

TEST_CASE("cvt: .satfinite clamps what would be infinite and leaves NaN") {
  CHECK(narrow<E4M3, rn>(1000.0f, true).bits == 0x7e);
  CHECK(narrow<E4M3, rn>(-INFINITY, true).bits == 0xfe);
  CHECK(narrow<E4M3, rn>(448.0f, true).bits == 0x7e);
  CHECK(narrow<E4M3, rn>(std::nanf(""), true).bits == 0x7f);
  CHECK(narrow<E5M2, rn>(INFINITY, true).bits == 0x7b);
  CHECK(narrow<F16, rn>(1e6f, true).bits == 0x7bff);
  CHECK(narrow<F16, rn>(1e6f, false).bits == 0x7c00);
  CHECK(narrow<BF16, rz>(-INFINITY, true).bits == 0xff7f);
  CHECK(narrow<TF32, Rounding::rna>(INFINITY, true).bits == 0x7f7fe000);
  CHECK(narrow<F16, rn>(std::nanf(""), true).bits == 0x7fff);
}

TEST_CASE("cvt: float to float") {
  CHECK(convert_float<float, rn>(1.0 + 0x1p-24) == 1.0f);
  CHECK(convert_float<float, rp>(1.0 + 0x1p-24) == 1.0f + 0x1p-23f);
  CHECK(convert_float<double, rn>(0.1f) == static_cast<double>(0.1f));
  CHECK(convert_float<double, rn>(F16{0x0001}) == 0x1p-24);
  CHECK(convert_float<F16, rn>(1.0 + 0x1p-11 + 0x1p-40).bits == 0x3c01);  // not by way of fp32, which would tie
  CHECK(convert_float<BF16, rn>(F16{0x3c01}).bits == 0x3f80);
  CHECK(convert_float<F16, rz>(BF16{0x7f00}).bits == 0x7bff);
  // The ISA's example for .rna: ties go away from zero.
  CHECK(convert_float<TF32, Rounding::rna>(1.0f + 0x1p-11f).bits == 0x3f802000);
  CHECK(convert_float<TF32, rn>(1.0f + 0x1p-11f).bits == 0x3f800000);
}
