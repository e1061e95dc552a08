// 16-bit arithmetic, conversions and the CUDA math library, as nvcc compiles them.
#include <cmath>
#include <functional>
#include <random>

#include "harness/emulator/conversion.hpp"
#include "tests/emulator/kernels.hpp"

using namespace wkv::emulator;
using test::Device;
using test::for_each_architecture;

namespace {

constexpr int kCount = 256;

// Pairs of halves with zeros, ties, subnormals, infinities and NaN among them.
template <class T>
std::vector<uint32_t> any_pairs(uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint32_t> pairs(kCount);
  for (uint32_t& pair : pairs) {
    const auto half = [&]() -> uint32_t {
      const uint32_t draw = static_cast<uint32_t>(random());
      if (draw % 16 == 0) return static_cast<uint32_t>(Format<T>::infinity) + draw / 16 % 2;
      if (draw % 16 == 1) return draw >> 16 & 0x8003;
      return round_to<T>(static_cast<float>(static_cast<int>(draw >> 8 & 0xfff) - 2048) / 256).bits;
    };
    pair = half() << 16 | half();
  }
  return pairs;
}

template <class T>
T truth(bool value) {
  return round_to<T>(value ? 1.0f : 0.0f);
}

template <class T>
void check_pairs(const Module& module, std::string_view entry) {
  const auto a = any_pairs<T>(1), b = any_pairs<T>(2), c = any_pairs<T>(3);
  Device device;
  const uint64_t at_a = device.put(a), at_b = device.put(b), at_c = device.put(c),
                 out = device.room_for<uint32_t>(14 * kCount);
  device.run(module, entry, 2, 128, at_a, at_b, at_c, out, int{kCount});
  const auto got = device.get<uint32_t>(out, 14 * kCount);
  const MinMax min{}, max{.maximum = true}, max_nan{.maximum = true, .propagate_nan = true};
  const std::vector<std::pair<const char*, std::function<T(T, T, T)>>> operations = {
      {"hadd2", [](T x, T y, T) { return add(x, y); }},
      {"hsub2", [](T x, T y, T) { return subtract(x, y); }},
      {"hmul2", [](T x, T y, T) { return multiply(x, y); }},
      {"hfma2", [](T x, T y, T z) { return fused_multiply_add(x, y, z); }},
      {"hmin2", [&](T x, T y, T) { return min_max(min, x, y); }},
      {"hmax2", [&](T x, T y, T) { return min_max(max, x, y); }},
      {"hneg2", [](T x, T, T) { return negate(x); }},
      {"habs2", [](T, T y, T) { return absolute(y); }},
      {"hfma2_relu", [](T x, T y, T z) { return relu(fused_multiply_add(x, y, z)); }},
      {"hmax2_nan", [&](T x, T y, T) { return min_max(max_nan, x, y); }},
      {"heq2", [](T x, T y, T) { return truth<T>(widen(x) == widen(y)); }},
      {"hlt2", [](T x, T y, T) { return truth<T>(widen(x) < widen(y)); }},
      {"hmul2_sat", [](T x, T y, T) { return saturate(multiply(x, y)); }},
      // nvcc leaves it to the assembler whether to contract these two instructions; the emulator does not.
      {"x + y * z", [](T x, T y, T z) { return add(x, multiply(y, z)); }}};
  for (size_t operation = 0; operation < operations.size(); ++operation) {
    for (size_t i = 0; i < kCount; ++i) {
      for (const int shift : {0, 16}) {
        const auto half = [&](uint32_t pair) { return T{static_cast<uint16_t>(pair >> shift)}; };
        const T expected = operations[operation].second(half(a[i]), half(b[i]), half(c[i]));
        const T result = half(got[operation * kCount + i]);
        if (result.bits == expected.bits || (is_nan(result) && is_nan(expected))) continue;
        CAPTURE(entry, operations[operation].first, half(a[i]).bits, half(b[i]).bits, half(c[i]).bits, result.bits,
                expected.bits);
        FAIL_CHECK();
      }
    }
  }
}

}  // namespace

TEST_CASE("kernels: arithmetic on __half2 and __nv_bfloat162") {
  for_each_architecture("half_arithmetic", [](const Module& module) {
    check_pairs<F16>(module, "half2_operations");
    check_pairs<BF16>(module, "bfloat162_operations");
  });
}

TEST_CASE("kernels: conversions") {
  for_each_architecture("half_arithmetic", [](const Module& module) {
    std::vector<float> in = {0.0f,  -0.0f, 1.0f, -1.5f, 2.5f,     65519.0f, 65520.0f,
                             1e-8f, -3e9f, 5e9f, 1e20f, INFINITY, 448.5f,   0x1p-24f};
    std::mt19937 random(7);
    while (in.size() < kCount) in.push_back(std::ldexp(static_cast<float>(random()), -static_cast<int>(random() % 60)));
    Device device;
    const uint64_t at = device.put(in), out = device.room_for<uint32_t>(16 * kCount);
    device.run(module, "conversions", 2, 128, at, out, int{kCount});
    const auto got = device.get<uint32_t>(out, 16 * kCount);
    constexpr Rounding rn = Rounding::rn, rz = Rounding::rz, rm = Rounding::rm;
    for (size_t i = 0; i < kCount; ++i) {
      const float x = in[i];
      const F16 h = round_to<F16>(x);
      const auto wide = static_cast<uint64_t>(float_to_integer<int64_t, rm>(x));
      const uint32_t expected[] = {h.bits,
                                   round_to<F16, rz>(x).bits,
                                   round_to<BF16>(x).bits,
                                   round_to<BF16, rz>(x).bits,
                                   std::bit_cast<uint32_t>(widen(h)),
                                   std::bit_cast<uint32_t>(widen(round_to<BF16>(x))),
                                   static_cast<uint32_t>(float_to_integer<int32_t, rn>(h)),
                                   static_cast<uint32_t>(float_to_integer<int32_t, rz>(x)),
                                   float_to_integer<uint32_t, rn>(x),
                                   static_cast<uint32_t>(wide),
                                   static_cast<uint32_t>(wide >> 32),
                                   uint32_t{round_to<F16>(-x).bits} << 16 | h.bits,
                                   narrow<E4M3, rn>(x, true).bits,
                                   narrow<E5M2, rn>(x, true).bits,
                                   round_to<F16>(static_cast<double>(x)).bits,
                                   add(h, integer_to_float<F16, rn>(static_cast<int>(i))).bits};
      for (size_t k = 0; k < std::size(expected); ++k) {
        CAPTURE(x, k);
        CHECK(got[k * kCount + i] == expected[k]);
      }
    }
  });
}

namespace {

struct Function {
  const char* name;
  std::function<double(double)> exact;
  double tolerance;  // relative to the larger of the result and `scale`
  double scale = 0;
};

template <class T>
void check_functions(const Module& module, std::string_view entry, const std::vector<T>& in,
                     const std::vector<Function>& functions) {
  const auto count = static_cast<int>(in.size());
  Device device;
  const uint64_t at = device.put(in), out = device.room_for<T>(in.size() * functions.size());
  device.run(module, entry, (in.size() + 127) / 128, 128, at, out, count);
  const auto got = device.get<T>(out, in.size() * functions.size());
  for (size_t k = 0; k < functions.size(); ++k) {
    for (size_t i = 0; i < in.size(); ++i) {
      const double expected = functions[k].exact(static_cast<double>(in[i]));
      const auto result = static_cast<double>(got[k * in.size() + i]);
      const double allowed = functions[k].tolerance * std::max(std::abs(expected), functions[k].scale);
      if (std::abs(result - expected) <= allowed || result == expected) continue;
      CAPTURE(functions[k].name, in[i], result, expected, allowed);
      FAIL_CHECK();
    }
  }
}

template <class T>
std::vector<T> arguments() {
  std::mt19937 random(11);
  std::uniform_real_distribution<double> uniform(-8, 8);
  std::vector<T> values = {T{0}, T{1}, T{-1}, T{0.5}};
  while (values.size() < 200) values.push_back(static_cast<T>(uniform(random)));
  return values;
}

}  // namespace

TEST_CASE("kernels: the math library in fp32") {
  constexpr double kUlp = 0x1p-23;
  const auto positive = [](double x) { return static_cast<double>(std::abs(static_cast<float>(x)) + 0.001f); };
  for_each_architecture("math_functions", [&](const Module& module) {
    check_functions<float>(
        module, "float_functions", arguments<float>(),
        {{"expf", [](double x) { return std::exp(x); }, 2 * kUlp},
         {"exp2f", [](double x) { return std::exp2(x); }, 2 * kUlp},
         {"logf", [&](double x) { return std::log(positive(x)); }, kUlp, 0.1},
         {"log1pf", [&](double x) { return std::log1p(positive(x)); }, 2 * kUlp},
         {"sinf", [](double x) { return std::sin(x); }, 2 * kUlp},
         {"cosf", [](double x) { return std::cos(x); }, 2 * kUlp, 1e-3},
         {"tanf", [](double x) { return std::tan(x); }, 4 * kUlp},
         {"tanhf", [](double x) { return std::tanh(x); }, 2 * kUlp},
         {"powf", [&](double x) { return std::pow(positive(x), static_cast<double>(1.7f)); }, 9 * kUlp},
         {"sqrtf", [&](double x) { return std::sqrt(positive(x)); }, kUlp / 2},
         {"rsqrtf", [&](double x) { return 1 / std::sqrt(positive(x)); }, 2 * kUlp},
         {"cbrtf", [](double x) { return std::cbrt(x); }, kUlp},
         {"erff", [](double x) { return std::erf(x); }, 2 * kUlp},
         {"atan2f", [](double x) { return std::atan2(x, 2.0); }, 3 * kUlp},
         {"asinf", [](double x) { return std::asin(static_cast<double>(static_cast<float>(x) / 100)); }, 2 * kUlp},
         {"fmodf", [](double x) { return std::fmod(x, static_cast<double>(0.7f)); }, 0},
         {"roundf", [](double x) { return std::round(x); }, 0},
         {"division", [](double x) { return static_cast<double>(static_cast<float>(x) / 3.7f); }, 0},
         {"hypotf", [](double x) { return std::hypot(x, 3.0); }, 3 * kUlp},
         {"lgammaf", [&](double x) { return std::lgamma(positive(x)); }, 6 * kUlp, 1},
         {"expm1f", [](double x) { return std::expm1(x); }, 2 * kUlp},
         {"sinhf", [](double x) { return std::sinh(x); }, 3 * kUlp},
         {"ldexpf", [](double x) { return std::ldexp(x, 3); }, 0},
         {"remainderf", [](double x) { return std::remainder(x, static_cast<double>(1.3f)); }, 0}});
    check_functions<float>(
        module, "fast_functions", arguments<float>(),
        {{"__expf", [](double x) { return std::exp(x); }, 8 * kUlp},
         {"__logf", [&](double x) { return std::log(positive(x)); }, 2 * kUlp, 1},
         {"__sinf", [](double x) { return std::sin(x); }, 4 * kUlp, 1},
         {"__cosf", [](double x) { return std::cos(x); }, 4 * kUlp, 1},
         {"__powf", [&](double x) { return std::pow(positive(x), static_cast<double>(1.7f)); }, 16 * kUlp},
         {"__fdividef", [](double x) { return x / 3; }, 2 * kUlp},
         {"__frcp_rn", [](double x) { return static_cast<double>(1 / static_cast<float>(x)); }, 0},
         {"__fsqrt_rz",
          [&](double x) { return static_cast<double>(square_root<Rounding::rz>(static_cast<float>(positive(x)))); }, 0},
         {"__fmaf_ru", [](double x) { return static_cast<double>(round_to<float, Rounding::rp>(x * x + 1)); }, 0},
         {"__saturatef", [](double x) { return std::min(std::max(x, 0.0), 1.0); }, 0}});
  });
}

TEST_CASE("kernels: the math library in fp64") {
  constexpr double kUlp = 0x1p-52;
  const auto positive = [](double x) { return std::abs(x) + 0.001; };
  for_each_architecture("math_functions", [&](const Module& module) {
    check_functions<double>(module, "double_functions", arguments<double>(),
                            {{"exp", [](double x) { return std::exp(x); }, 2 * kUlp},
                             {"log", [&](double x) { return std::log(positive(x)); }, 2 * kUlp, 0.1},
                             {"sin", [](double x) { return std::sin(x); }, 2 * kUlp},
                             {"cos", [](double x) { return std::cos(x); }, 2 * kUlp},
                             {"tanh", [](double x) { return std::tanh(x); }, 2 * kUlp},
                             {"pow", [&](double x) { return std::pow(positive(x), 1.7); }, 3 * kUlp},
                             {"sqrt", [&](double x) { return std::sqrt(positive(x)); }, 0},
                             {"rsqrt", [&](double x) { return 1 / std::sqrt(positive(x)); }, 2 * kUlp},
                             {"cbrt", [](double x) { return std::cbrt(x); }, 2 * kUlp},
                             {"erf", [](double x) { return std::erf(x); }, 3 * kUlp},
                             {"division", [](double x) { return x / 3.7; }, 0},
                             {"fmod", [](double x) { return std::fmod(x, 0.7); }, 0},
                             {"atan2", [](double x) { return std::atan2(x, 2.0); }, 3 * kUlp},
                             {"__ddiv_rd", [](double x) { return x / 3; }, kUlp},
                             {"__dadd_ru", [](double x) { return x + 1; }, kUlp},
                             {"rint", [](double x) { return std::nearbyint(x); }, 0},
                             {"exp2", [](double x) { return std::exp2(x); }, 2 * kUlp},
                             {"floor", [](double x) { return std::floor(x); }, 0}});
  });
}

TEST_CASE("kernels: fp16 functions") {
  for_each_architecture("half_arithmetic", [](const Module& module) {
    std::vector<F16> in;
    for (int i = -128; i < 128; ++i) in.push_back(round_to<F16>(static_cast<float>(i) / 16));
    Device device;
    const uint64_t at = device.put(in), out = device.room_for<float>(10 * kCount);
    device.run(module, "half_functions", 2, 128, at, out, int{kCount});
    const auto got = device.get<float>(out, 10 * kCount);
    for (size_t i = 0; i < kCount; ++i) {
      const double x = widen(in[i]), positive = std::abs(x);
      const double expected[] = {std::exp(x),       std::sqrt(positive), 1 / x, std::exp2(x),        std::tanh(x),
                                 std::nearbyint(x), std::log(positive),  x / 3, x > 0.5 ? 1.0 : 0.0, 0.0};
      for (size_t k = 0; k < std::size(expected); ++k) {
        CAPTURE(x, k);
        const double result = got[k * kCount + i];
        CHECK((result == expected[k] || std::abs(result - expected[k]) <= 0x1p-10 * std::abs(expected[k]) + 0x1p-24));
      }
    }
  });
}

TEST_CASE("kernels: integer intrinsics") {
  for_each_architecture("math_functions", [](const Module& module) {
    std::mt19937 random(13);
    std::vector<uint32_t> in = {0, 1, 0x80000000u, 0x7fffffff, 0xffffffffu};
    while (in.size() < kCount) in.push_back(static_cast<uint32_t>(random()) >> random() % 32);
    Device device;
    const uint64_t at = device.put(in), out = device.room_for<uint32_t>(24 * kCount);
    device.run(module, "integer_functions", 2, 128, at, out, int{kCount});
    const auto got = device.get<uint32_t>(out, 24 * kCount);
    for (size_t i = 0; i < kCount; ++i) {
      const uint32_t x = in[i], y = in[(i + 1) % kCount];
      const auto sx = static_cast<int32_t>(x), sy = static_cast<int32_t>(y);
      const uint64_t wide = uint64_t{x} << 32 | y;
      const auto byte = [](uint32_t word, int k) { return word >> (8 * k) & 0xff; };
      uint32_t reversed = 0, added = 0, differences = 0;
      int32_t dot = 7;
      for (int k = 0; k < 32; ++k) reversed |= (x >> k & 1) << (31 - k);
      for (int k = 0; k < 4; ++k) {
        added |= ((byte(x, k) + byte(y, k)) & 0xff) << (8 * k);
        differences |= (byte(x, k) > byte(y, k) ? byte(x, k) - byte(y, k) : byte(y, k) - byte(x, k)) << (8 * k);
        dot += static_cast<int8_t>(byte(x, k)) * static_cast<int8_t>(byte(y, k));
      }
      const auto larger = [](uint32_t p, uint32_t q) {
        return static_cast<uint32_t>(static_cast<int16_t>(p) > static_cast<int16_t>(q) ? p & 0xffff : q & 0xffff);
      };
      const int64_t quotient = int64_t{sx} / (sy | 1);
      const uint32_t expected[] = {
          x / (y | 1),
          x % (y | 1),
          static_cast<uint32_t>(quotient),
          static_cast<uint32_t>(sx % 7),
          static_cast<uint32_t>(uint64_t{x} * y >> 32),
          static_cast<uint32_t>(int64_t{sx} * sy >> 32),
          static_cast<uint32_t>(std::countl_zero(x)),
          static_cast<uint32_t>(std::popcount(x)),
          reversed,
          x ? static_cast<uint32_t>(std::countr_zero(x)) + 1 : 0,
          byte(y, 1) << 24 | byte(x, 1) << 16 | byte(y, 0) << 8 | byte(x, 0),
          static_cast<uint32_t>((uint64_t{y} << 32 | x) << 9 >> 32),
          5 + static_cast<uint32_t>(sx > sy ? x - y : y - x),
          static_cast<uint32_t>(dot),
          added,
          larger(x >> 16, y >> 16) << 16 | larger(x, y),
          differences,
          static_cast<uint32_t>(std::popcount(wide) + std::countl_zero(wide | 1)),
          static_cast<uint32_t>(wide / 1000000007),
          static_cast<uint32_t>(static_cast<unsigned __int128>(wide) * wide >> 64),
          static_cast<uint32_t>((int64_t{sx} + sy) >> 1),
          (sx < 0 ? 0 - x : x) + std::min(x, y) + static_cast<uint32_t>(std::max(sx, sy)),
          static_cast<uint32_t>(int64_t{static_cast<int32_t>(x << 8) >> 8} * (static_cast<int32_t>(y << 8) >> 8)),
          ~(x ^ y)};
      for (size_t k = 0; k < std::size(expected); ++k) {
        CAPTURE(x, y, k);
        CHECK(got[k * kCount + i] == expected[k]);
      }
    }
  });
}

TEST_CASE("kernels: 128-bit integers") {
  for_each_architecture("wide_integers", [](const Module& module) {
    using Wide = unsigned __int128;
    std::mt19937_64 random(9);
    std::vector<uint64_t> in(4 * 64);
    for (uint64_t& word : in) word = random() >> random() % 64;
    for (size_t i = 0; i < 32; ++i) in[4 * i + 2] = 0;  // half of the divisors are of 64 bits
    for (size_t i = 0; i < 64; ++i) in[4 * i + 3] |= 1;
    Device device;
    const uint64_t at_in = device.put(in), out = device.room_for<uint64_t>(8 * 64);
    device.run(module, "wide_integers", 1, 64, at_in, out);
    const auto got = device.get<uint64_t>(out, 8 * 64);
    const auto wide = [](const uint64_t* words) { return Wide{words[0]} << 64 | words[1]; };
    for (size_t i = 0; i < 64; ++i) {
      const Wide a = wide(&in[4 * i]), b = wide(&in[4 * i + 2]), results[] = {a / b, a % b, a * b, a - b};
      for (size_t k = 0; k < 4; ++k) CHECK((wide(&got[8 * i + 2 * k]) == results[k]));
    }
  });
}
