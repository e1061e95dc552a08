// Conversions of the 16-bit element types.
#include "harness/dtype.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

namespace wkv {

TEST_CASE("dtype: every fp16 number converts to fp32 and back unchanged") {
  for (uint32_t bits = 0; bits < 0x10000u; ++bits) {
    Float16 half;
    half.bits = static_cast<uint16_t>(bits);
    const auto value = static_cast<float>(half);
    const int exponent = static_cast<int>(bits >> 10 & 31), mantissa = static_cast<int>(bits & 1023);
    if (exponent == 31 && mantissa != 0) {
      REQUIRE(std::isnan(value));
      REQUIRE(std::isnan(static_cast<float>(Float16(value))));
      continue;
    }
    const double magnitude = exponent == 31  ? std::numeric_limits<double>::infinity()
                             : exponent == 0 ? std::ldexp(mantissa, -24)
                                             : std::ldexp(1024 + mantissa, exponent - 25);
    REQUIRE(static_cast<double>(value) == (bits & 0x8000u ? -magnitude : magnitude));
    REQUIRE(Float16(value).bits == half.bits);
  }
}

TEST_CASE("dtype: conversion to fp16 rounds to nearest even") {
  const auto rounded = [](double value) { return static_cast<float>(Float16(static_cast<float>(value))); };
  CHECK(rounded(1 + 0x1p-11) == 1.0f);            // halfway, down to even
  CHECK(rounded(1 + 0x3p-11) == 1.0f + 0x1p-9f);  // halfway, up to even
  CHECK(rounded(1 + 0x1.01p-11) == 1.0f + 0x1p-10f);
  CHECK(rounded(65519.99) == 65504.0f);
  CHECK(std::isinf(rounded(65520)));
  CHECK(rounded(0x1p-25) == 0.0f);        // half of the smallest one, down to even
  CHECK(rounded(0x1.8p-24) == 0x1p-23f);  // halfway between denormals, up to even
  CHECK(rounded(-0x1.001p-25) == -0x1p-24f);
  CHECK(rounded(0x1.ffep-15) == 0x1p-14f);  // the largest denormal's upper half becomes normal
  CHECK(std::signbit(rounded(-1e-30)));
}

}  // namespace wkv
