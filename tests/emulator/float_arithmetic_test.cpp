#include "harness/emulator/float_arithmetic.hpp"

#include <catch2/catch.hpp>
#include <cfenv>
#include <random>
#include <vector>

#include "harness/emulator/double_rounding.hpp"
#include "tests/emulator/bits.hpp"

using namespace wkv::emulator;

namespace {

struct HostMode {
  explicit HostMode(int mode) { std::fesetround(mode); }
  ~HostMode() { std::fesetround(FE_TONEAREST); }
};

template <class T>
struct Operands {
  volatile T a, b, c;
};

// What the host's own arithmetic gives in the mode; volatile keeps it from being done at compile time or moved.
template <class T>
std::vector<T> on_host(int mode, Operands<T>& x) {
  const HostMode host(mode);
  const volatile T results[] = {x.a + x.b, x.a - x.b,        x.a * x.b, std::fma(T{x.a}, T{x.b}, T{x.c}),
                                x.a / x.b, std::sqrt(T{x.a})};
  return {std::begin(results), std::end(results)};
}

template <Rounding kRounding>
void compare_with_host(int mode) {
  std::mt19937_64 random(mode);
  for (int i = 0; i < 200000; ++i) {
    Operands<float> x{test::any_float(random), test::any_float(random), test::any_float(random)};
    if (i % 8 == 0) x.c = -static_cast<float>(static_cast<double>(x.a) * x.b);  // cancels but for the product's rest
    const float a = x.a, b = x.b, c = x.c;
    const float ours[] = {add<kRounding>(a, b),      subtract<kRounding>(a, b),
                          multiply<kRounding>(a, b), fused_multiply_add<kRounding>(a, b, c),
                          divide<kRounding>(a, b),   square_root<kRounding>(a)};
    const std::vector<float> host = on_host(mode, x);
    for (size_t operation = 0; operation < host.size(); ++operation) {
      if (!test::same(ours[operation], host[operation])) {
        CAPTURE(operation, test::bits_of(a), test::bits_of(b), test::bits_of(c), ours[operation], host[operation]);
        FAIL();
      }
      if (ours[operation] != ours[operation] && test::bits_of(ours[operation]) != 0x7fffffff) FAIL("NaN bits");
    }
  }
}

}  // namespace

TEST_CASE("fp32 arithmetic agrees with IEEE 754 hardware in each rounding mode") {
  compare_with_host<Rounding::rn>(FE_TONEAREST);
  compare_with_host<Rounding::rz>(FE_TOWARDZERO);
  compare_with_host<Rounding::rm>(FE_DOWNWARD);
  compare_with_host<Rounding::rp>(FE_UPWARD);
  SUCCEED();
}

TEST_CASE("fp64 arithmetic rounds in the direction asked for and leaves the host's mode alone") {
  // 1/3, a product and a sum of which fp64 holds only a part; the exact results from 128-bit arithmetic.
  using Wide = __float128;
  std::array<double, 32> a, b, c{}, d;
  std::mt19937_64 random(4);
  for (size_t i = 0; i < 32; ++i) {
    a[i] = test::from_bits<double>((random() >> 12) | 0x3ff0000000000000) * (i % 2 ? 1 : -1);
    b[i] = test::from_bits<double>((random() >> 12) | 0x3fe0000000000000);
    c[i] = a[i] * b[i] * -0.75;
  }
  const auto check = [&](DoubleOperation operation, const auto& exact) {
    for (const Rounding rounding : {Rounding::rn, Rounding::rz, Rounding::rm, Rounding::rp}) {
      evaluate(operation, rounding, d, a, b, c);
      for (size_t i = 0; i < 32; ++i) {
        // exact(i) has the sign of (exact - value) for a value: the result must be the nearest on its side.
        CAPTURE(static_cast<int>(operation), static_cast<int>(rounding), i, d[i]);
        const double up = std::nextafter(d[i], INFINITY), down = std::nextafter(d[i], -INFINITY);
        const bool towards_zero_is_down = d[i] > 0;
        if (rounding == Rounding::rm || (rounding == Rounding::rz && towards_zero_is_down)) {
          CHECK((exact(i, d[i]) >= 0 && exact(i, up) < 0));
        } else if (rounding == Rounding::rp || rounding == Rounding::rz) {
          CHECK((exact(i, d[i]) <= 0 && exact(i, down) > 0));
        } else {
          CHECK((exact(i, (Wide{d[i]} + Wide{up}) / 2) <= 0 && exact(i, (Wide{d[i]} + Wide{down}) / 2) >= 0));
        }
      }
    }
  };
  check(DoubleOperation::add, [&](size_t i, Wide value) { return Wide{a[i]} + b[i] - value; });
  check(DoubleOperation::subtract, [&](size_t i, Wide value) { return Wide{a[i]} - b[i] - value; });
  check(DoubleOperation::multiply, [&](size_t i, Wide value) { return Wide{a[i]} * b[i] - value; });
  check(DoubleOperation::fused_multiply_add, [&](size_t i, Wide value) { return Wide{a[i]} * b[i] + c[i] - value; });
  check(DoubleOperation::divide, [&](size_t i, Wide value) { return Wide{a[i]} - value * b[i]; });
  for (double& x : a) x = std::abs(x);
  check(DoubleOperation::square_root, [&](size_t i, Wide value) { return Wide{a[i]} - value * value; });
  CHECK(std::fegetround() == FE_TONEAREST);
}

TEST_CASE("fp16 arithmetic is correctly rounded") {
  // Every fp16 is a multiple of 2^-24 and a product one of 2^-48, so that sums of them are exact in 128 bits.
  const auto fixed = [](F16 x) { return static_cast<__int128>(std::ldexp(static_cast<double>(widen(x)), 24)); };
  const auto nearest = [](__int128 exact) {  // in units of 2^-48, by bisection over all finite magnitudes
    const __int128 magnitude = exact < 0 ? -exact : exact;
    const auto unit = [](uint32_t bits) {  // 0x7c00 stands for 2^16, where rounding to infinity begins counting
      const uint32_t field = bits >> 10, fraction = bits & 0x3ff;
      return field == 0 ? static_cast<__int128>(fraction) << 24
                        : static_cast<__int128>(fraction + 1024) << (24 + field - 1);
    };
    uint32_t low = 0, high = 0x7c00;
    while (high - low > 1) {
      const uint32_t middle = (low + high) / 2;
      (unit(middle) <= magnitude ? low : high) = middle;
    }
    if (magnitude >= unit(0x7c00)) return uint32_t{0x7c00};
    const __int128 twice = 2 * magnitude, both = unit(low) + unit(high);
    return twice < both || (twice == both && low % 2 == 0) ? low : high;
  };
  std::mt19937_64 random(5);
  const auto finite = [&] {
    const auto bits = static_cast<uint16_t>(random());
    return F16{static_cast<uint16_t>((bits & 0x7c00) == 0x7c00 ? bits ^ 0x4000 : bits)};
  };
  for (int i = 0; i < 300000; ++i) {
    const F16 a = finite(), b = finite(), c = finite();
    const __int128 product = fixed(a) * fixed(b);
    const bool right = (fused_multiply_add(a, b, c).bits & 0x7fff) == nearest(product + (fixed(c) << 24)) &&
                       (multiply(a, b).bits & 0x7fff) == nearest(product) &&
                       (add(a, b).bits & 0x7fff) == nearest((fixed(a) + fixed(b)) << 24) &&
                       (subtract(a, b).bits & 0x7fff) == nearest((fixed(a) - fixed(b)) << 24);
    if (!right) {
      CAPTURE(a.bits, b.bits, c.bits);
      FAIL();
    }
    const double sign = widen_to_double(a) * widen_to_double(b) + widen_to_double(c);
    if (sign != 0 && std::signbit(sign) != std::signbit(widen(fused_multiply_add(a, b, c)))) FAIL("sign");
  }
  SUCCEED();
}

TEST_CASE("bf16 fma rounds once") {
  // 1.0078125^2 = 1 + 2^-6 + 2^-14; with c = 2^-7 * (1 - 2^-7): the product alone lies just above a tie.
  const BF16 x = round_to<BF16>(1 + 0x1p-7f);
  CHECK(widen(fused_multiply_add(x, x, round_to<BF16>(0x1p-8f))) == 1 + 0x1p-6f + 0x1p-7f);   // just above a tie: up
  CHECK(widen(fused_multiply_add(x, x, round_to<BF16>(0x1p-8f - 0x1p-14f))) == 1 + 0x1p-6f);  // the tie: to even
  CHECK(widen(fused_multiply_add(x, x, round_to<BF16>(0.0f))) == 1 + 0x1p-6f);
  // Beyond fp64's 53 bits: the tiny c decides a tie of the product's sum.
  const BF16 tiny = round_to<BF16>(0x1p-120f), half_ulp = round_to<BF16>(0x1p-8f);
  CHECK(widen(add(round_to<BF16>(1.0f), half_ulp)) == 1.0f);
  CHECK(widen(fused_multiply_add(round_to<BF16>(1 + 0x1p-7f), round_to<BF16>(0x1p119f),
                                 negate(round_to<BF16>(0x1p119f)))) == 0x1p112f);
  CHECK(widen(multiply(tiny, tiny)) == 0.0f);
  std::mt19937_64 random(6);
  for (int i = 0; i < 200000; ++i) {
    const auto draw = [&] {  // exponents within 2^8 of one, so that 128-bit floats hold everything
      const auto bits = static_cast<uint16_t>(random());
      return BF16{static_cast<uint16_t>((bits & 0x807f) | (123 + random() % 9) << 7)};
    };
    const BF16 a = draw(), b = draw(), c = draw();
    const __float128 exact = __float128{widen(a)} * widen(b) + widen(c);
    const BF16 got = fused_multiply_add(a, b, c);
    const auto distance = [&](BF16 value) {
      const __float128 difference = exact - widen(value);
      return difference < 0 ? -difference : difference;
    };
    const BF16 next{static_cast<uint16_t>(got.bits + 1)}, previous{static_cast<uint16_t>(got.bits - 1)};
    const bool nearest = exact == 0 ? got.bits == 0
                                    : distance(got) <= distance(next) && distance(got) <= distance(previous) &&
                                          (got.bits % 2 == 0 || distance(got) < distance(next)) &&
                                          (got.bits % 2 == 0 || distance(got) < distance(previous));
    if (!nearest) {
      CAPTURE(a.bits, b.bits, c.bits, got.bits);
      FAIL();
    }
  }
}

TEST_CASE("16-bit NaN results are canonical and infinities follow IEEE 754") {
  const F16 infinity{0x7c00}, one{0x3c00}, nan{0xfe01};
  CHECK(add(infinity, negate(infinity)).bits == 0x7fff);
  CHECK(multiply(infinity, F16{0}).bits == 0x7fff);
  CHECK(fused_multiply_add(nan, one, one).bits == 0x7fff);
  CHECK(fused_multiply_add(infinity, one, one).bits == 0x7c00);
  CHECK(add(BF16{0x7f80}, BF16{0xff80}).bits == 0x7fff);
  CHECK(add(F16{0x7bff}, F16{0x7bff}).bits == 0x7c00);
}

TEST_CASE("modifiers: ftz, sat and relu") {
  CHECK(test::bits_of(flush(-1e-40f)) == 0x80000000);
  CHECK(flush(0x1p-126f) == 0x1p-126f);
  CHECK(std::isnan(flush(std::nanf(""))));
  CHECK(flush(F16{0x83ff}).bits == 0x8000);
  CHECK(flush(F16{0x0400}).bits == 0x0400);
  CHECK(flush(BF16{0x007f}).bits == 0);
  CHECK(flush(-4e-320) == 0);
  CHECK(test::bits_of(saturate(-0.0f)) == 0);
  CHECK(test::bits_of(saturate(std::nanf(""))) == 0);
  CHECK(saturate(1.5f) == 1);
  CHECK(saturate(-INFINITY) == 0);
  CHECK(saturate(0.25f) == 0.25f);
  CHECK(saturate(F16{0x7e00}).bits == 0);
  CHECK(saturate(round_to<F16>(3.0f)).bits == 0x3c00);
  CHECK(relu(F16{0xbc00}).bits == 0);
  CHECK(relu(F16{0xfe00}).bits == 0x7fff);
  CHECK(relu(BF16{0x8000}).bits == 0);
  CHECK(relu(BF16{0x4000}).bits == 0x4000);
}

TEST_CASE("min and max: NaN, signed zeros and xorsign.abs") {
  const float nan = std::nanf("7");
  const MinMax min{}, max{.maximum = true}, min_nan{.propagate_nan = true},
      max_nan{.maximum = true, .propagate_nan = true}, max_xorsign{.maximum = true, .xorsign_abs = true};
  CHECK(min_max(min, 1.0f, nan) == 1);
  CHECK(min_max(max, nan, 1.0f) == 1);
  CHECK(test::bits_of(min_max(min, nan, nan)) == 0x7fffffff);
  CHECK(test::bits_of(min_max(max_nan, 1.0f, nan)) == 0x7fffffff);
  CHECK(std::isnan(min_max(min_nan, nan, 1.0f)));
  CHECK(test::bits_of(min_max(min, 0.0f, -0.0f)) == 0x80000000);
  CHECK(test::bits_of(min_max(min, -0.0f, 0.0f)) == 0x80000000);
  CHECK(test::bits_of(min_max(max, 0.0f, -0.0f)) == 0);
  CHECK(test::bits_of(min_max(max, -0.0f, 0.0f)) == 0);
  CHECK(min_max(max_xorsign, -3.0f, 2.0f) == -3);
  CHECK(min_max(max_xorsign, -3.0f, -5.0f) == 5);
  CHECK(min_max(MinMax{.xorsign_abs = true}, -3.0f, 2.0f) == -2);
  CHECK(min_max(min, -2.0, 3.0) == -2);
  CHECK(min_max(max, F16{0xc000}, F16{0x3c00}).bits == 0x3c00);
  CHECK(min_max(min, F16{0x7e00}, F16{0x3c00}).bits == 0x3c00);
  CHECK(min_max(min_nan, BF16{0x7fc0}, BF16{0x3f80}).bits == 0x7fff);
  CHECK(min_max(min, BF16{0x0000}, BF16{0x8000}).bits == 0x8000);
}

TEST_CASE("comparisons: ordered ones fail and unordered ones hold on NaN") {
  using enum Comparison;
  const float quiet = std::nanf("");
  for (const Comparison ordered : {eq, ne, lt, le, gt, ge, num}) CHECK_FALSE(compare(ordered, 1.0f, quiet));
  for (const Comparison unordered : {equ, neu, ltu, leu, gtu, geu, nan}) CHECK(compare(unordered, quiet, 1.0f));
  struct Case {
    Comparison comparison;
    bool less, equal, greater;
  };
  for (const Case& expected :
       {Case{eq, 0, 1, 0}, Case{ne, 1, 0, 1}, Case{lt, 1, 0, 0}, Case{le, 1, 1, 0}, Case{gt, 0, 0, 1},
        Case{ge, 0, 1, 1}, Case{equ, 0, 1, 0}, Case{neu, 1, 0, 1}, Case{ltu, 1, 0, 0}, Case{leu, 1, 1, 0},
        Case{gtu, 0, 0, 1}, Case{geu, 0, 1, 1}, Case{num, 1, 1, 1}, Case{nan, 0, 0, 0}}) {
    CAPTURE(static_cast<int>(expected.comparison));
    CHECK(compare(expected.comparison, -1.0, 2.0) == expected.less);
    CHECK(compare(expected.comparison, 0.0f, -0.0f) == expected.equal);
    CHECK(compare(expected.comparison, 3u, 2u) == expected.greater);
  }
  CHECK(compare(lt, -1, 1));
  CHECK_FALSE(compare(lt, 0xffffffffu, 1u));
}

TEST_CASE("sign operations and testp") {
  CHECK(copy_sign(-1.0f, 2.0f) == -2);
  CHECK(copy_sign(1.0, -2.0) == 2);
  CHECK(negate(F16{0x7e00}).bits == 0xfe00);
  CHECK(absolute(BF16{0xff80}).bits == 0x7f80);
  using enum FloatProperty;
  struct Case {
    float value;
    bool finite, infinite, number, normal, subnormal;
  };
  for (const Case& expected : {Case{0.0f, 1, 0, 1, 1, 0}, Case{-1.5f, 1, 0, 1, 1, 0}, Case{1e-40f, 1, 0, 1, 0, 1},
                               Case{-INFINITY, 0, 1, 1, 0, 0}, Case{std::nanf(""), 0, 0, 0, 0, 0}}) {
    CAPTURE(expected.value);
    CHECK(has_property(finite, expected.value) == expected.finite);
    CHECK(has_property(infinite, expected.value) == expected.infinite);
    CHECK(has_property(number, expected.value) == expected.number);
    CHECK(has_property(notanumber, expected.value) == !expected.number);
    CHECK(has_property(normal, expected.value) == expected.normal);
    CHECK(has_property(subnormal, expected.value) == expected.subnormal);
  }
  CHECK(has_property(subnormal, 4e-320));
}
