#include "harness/emulator/special_functions.hpp"

#include <catch2/catch.hpp>

#include "tests/emulator/bits.hpp"

using namespace wkv::emulator;

namespace {

// The largest error in units in the last place of the exact result, over every 997th fp32 in [from, to].
template <class Function, class Exact>
double largest_error(float from, float to, const Function& function, const Exact& exact) {
  double largest = 0;
  for (uint32_t bits = test::bits_of(from); bits <= test::bits_of(to); bits += 997) {
    for (const float x : {test::from_bits<float>(bits), -test::from_bits<float>(bits)}) {
      const long double wanted = exact(static_cast<long double>(x));
      if (!(std::abs(wanted) < 0x1p128L)) continue;
      const double ulp = std::ldexp(1.0, std::max(std::ilogb(wanted == 0 ? 1e-300L : wanted), -126) - 23);
      largest = std::max(largest, static_cast<double>(std::abs(function(x) - wanted)) / ulp);
    }
  }
  return largest;
}

constexpr float kInfinity = std::numeric_limits<float>::infinity();

}  // namespace

TEST_CASE("ex2, lg2 and the others are within 0.501 units in the last place") {
  using L = long double;
  CHECK(largest_error(1e-30f, 127.99f, exp2_approximate, [](L x) { return std::exp2(x); }) < 0.501);
  CHECK(largest_error(100.f, 150.f, exp2_approximate, [](L x) { return std::exp2(x); }) < 0.501);
  CHECK(largest_error(1e-45f, 3e38f, log2_approximate, [](L x) { return x > 0 ? std::log2(x) : (L)INFINITY; }) < 0.501);
  CHECK(largest_error(1e-45f, 3e38f, reciprocal, [](L x) { return 1 / x; }) < 0.501);
  CHECK(largest_error(1e-45f, 3e38f, reciprocal_square_root,
                      [](L x) { return x > 0 ? 1 / std::sqrt(x) : (L)INFINITY; }) < 0.501);
  CHECK(largest_error(1e-10f, 1e6f, sine, [](L x) { return std::sin(x); }) < 0.501);
  CHECK(largest_error(1e-10f, 1e6f, cosine, [](L x) { return std::cos(x); }) < 0.501);
  CHECK(largest_error(1e-30f, 20.f, tanh_approximate, [](L x) { return std::tanh(x); }) < 0.501);
}

TEST_CASE("the tables of special values in the PTX ISA") {
  struct Row {
    const char* name;
    float (*function)(float);
    float minus_infinity, minus_zero, plus_zero, plus_infinity;
  };
  const float nan = std::nanf("");
  for (const Row& row :
       {Row{"rcp", reciprocal, -0.0f, -kInfinity, kInfinity, 0.0f},
        Row{"rsqrt", reciprocal_square_root, nan, -kInfinity, kInfinity, 0.0f},
        Row{"sqrt", square_root<Rounding::rn>, nan, -0.0f, 0.0f, kInfinity},
        Row{"ex2", exp2_approximate, 0.0f, 1.0f, 1.0f, kInfinity},
        Row{"lg2", log2_approximate, nan, -kInfinity, -kInfinity, kInfinity}, Row{"sin", sine, nan, -0.0f, 0.0f, nan},
        Row{"cos", cosine, nan, 1.0f, 1.0f, nan}, Row{"tanh", tanh_approximate, -1.0f, -0.0f, 0.0f, 1.0f}}) {
    CAPTURE(row.name);
    CHECK(test::same(row.function(-kInfinity), row.minus_infinity));
    CHECK(test::same(row.function(-0.0f), row.minus_zero));
    CHECK(test::same(row.function(0.0f), row.plus_zero));
    CHECK(test::same(row.function(kInfinity), row.plus_infinity));
    CHECK(test::bits_of(row.function(-std::nanf("1"))) == 0x7fffffff);
  }
  CHECK(std::isnan(log2_approximate(-1.0f)));
  CHECK(std::isnan(reciprocal_square_root(-1.0f)));
  CHECK(exp2_approximate(-149.0f) == 0x1p-149f);
  CHECK(exp2_approximate(-151.0f) == 0);
  CHECK(exp2_approximate(128.0f) == kInfinity);
  CHECK(log2_approximate(0x1p-149f) == -149);
  for (int n = -149; n < 128; ++n) {
    CHECK(exp2_approximate(static_cast<float>(n)) == std::ldexp(1.0f, n));
    CHECK(log2_approximate(std::ldexp(1.0f, n)) == static_cast<float>(n));
  }
}

TEST_CASE("with .ftz a subnormal operand counts as zero") {
  const float subnormal = -1e-40f;
  CHECK(reciprocal(flush(subnormal)) == -kInfinity);
  CHECK(reciprocal_square_root(flush(-subnormal)) == kInfinity);
  CHECK(log2_approximate(flush(-subnormal)) == -kInfinity);
  CHECK(exp2_approximate(flush(subnormal)) == 1);
  CHECK(test::bits_of(sine(flush(subnormal))) == 0x80000000);
  CHECK(test::bits_of(flush(reciprocal(-0x1p127f))) == 0x80000000);
  CHECK(test::bits_of(flush(exp2_approximate(-127.0f))) == 0);
}

TEST_CASE("div.approx gives 0 or NaN for a divisor above 2^126") {
  CHECK(divide_approximate(0x1p127f, 0x1p126f) == 2);
  CHECK(divide_approximate(0x1p127f, 0x1.8p126f) == 0);
  CHECK(test::bits_of(divide_approximate(-1.0f, 0x1p127f)) == 0x80000000);
  CHECK(std::isnan(divide_approximate(kInfinity, 0x1p127f)));
  CHECK(divide_approximate(1.0f, kInfinity) == 0);
  CHECK(divide_approximate(1.0f, 0.0f) == kInfinity);
  CHECK(divide_approximate(7.0f, 2.0f) == 3.5f);
}

TEST_CASE("the fp64 approximations see and give 32 bits") {
  CHECK(reciprocal_approximate(3.0) == Approx(1 / 3.0).epsilon(0x1p-20));
  CHECK((test::bits_of(reciprocal_approximate(3.0)) & 0xffffffff) == 0);
  CHECK(reciprocal_approximate(test::from_bits<double>(0x40080000ffffffff)) == reciprocal_approximate(3.0));
  CHECK(reciprocal_approximate(-1e-310) == -INFINITY);
  CHECK(reciprocal_approximate(INFINITY) == 0);
  CHECK(reciprocal_square_root_approximate(4.0) == 0.5);
  CHECK(std::isnan(reciprocal_square_root_approximate(-4.0)));
  CHECK(reciprocal_square_root_approximate(1e-310) == INFINITY);
}
