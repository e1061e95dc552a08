#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tests/simd_math_test.cpp"
#include "kernels/simd_targets.hpp"
//
#include <hwy/foreach_target.h>
//
#include "kernels/simd_math-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace wkv::kernels::HWY_NAMESPACE {
namespace {

// Any number of values, in place.
template <class Function>
void for_all(std::vector<float>& values, const Function& function) {
  const size_t count = values.size();
  values.resize((count + kLanes - 1) / kLanes * kLanes);
  for (size_t i = 0; i < count; i += kLanes) store_vec(function(load_vec(values.data() + i)), values.data() + i);
  values.resize(count);
}

void exp2_all(std::vector<float>& values) {
  for_all(values, [](Vec x) { return exp2_vec(x); });
}

void sigmoid_all(std::vector<float>& values) {
  for_all(values, [](Vec x) { return sigmoid_vec(x); });
}

void tanh_all(std::vector<float>& values) {
  for_all(values, [](Vec x) { return tanh_vec(x); });
}

int lanes() { return kLanes; }

}  // namespace
}  // namespace wkv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "tests/each_target.hpp"

namespace wkv::kernels {
namespace {

HWY_EXPORT(exp2_all);
HWY_EXPORT(sigmoid_all);
HWY_EXPORT(tanh_all);
HWY_EXPORT(lanes);

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> exp2_of(std::vector<float> values) {
  HWY_DYNAMIC_DISPATCH(exp2_all)(values);
  return values;
}

TEST_CASE("exp2: relative error below 2e-7 wherever the result is a normal number") {
  std::vector<float> x;
  for (float magnitude = 1e-30f; magnitude < 128; magnitude *= 1.00001f) {
    x.push_back(magnitude);
    if (magnitude <= 126) x.push_back(-magnitude);
  }
  for (int i = -126 * 1024; i < 128 * 1024; ++i) x.push_back(static_cast<float>(i) / 1024);  // where 2^r is cut
  each_target([&] {
    const std::vector<float> got = exp2_of(x);
    double worst = 0, worst_x = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double expected = std::exp2(static_cast<double>(x[i]));
      const double error = std::abs(static_cast<double>(got[i]) - expected) / expected;
      if (!(error <= worst)) worst = error, worst_x = x[i];
    }
    INFO("x = " << worst_x);
    CHECK(worst < 2e-7);
  });
}

TEST_CASE("exp2: exact for whole numbers") {
  each_target([] {
    for (int n = -126; n <= 127; ++n) CHECK(exp2_of({static_cast<float>(n)})[0] == std::ldexp(1.0f, n));
  });
}

TEST_CASE("exp2: zero far below, never negative or large between there and the normal numbers") {
  each_target([] {
    CHECK(exp2_of({-127, -128, -1e4f, -3e38f, -kInfinity}) == std::vector<float>(5, 0.0f));
    std::vector<float> x;
    for (float value = -127; value < -126; value += 0.001f) x.push_back(value);
    for (const float value : exp2_of(x)) CHECK((value >= 0 && value <= std::numeric_limits<float>::min()));
  });
}

TEST_CASE("exp2: infinity above, NaN for NaN") {
  each_target([] {
    CHECK(exp2_of({128, 129, 1e4f, 3e38f, kInfinity}) == std::vector<float>(5, kInfinity));
    if (HWY_DYNAMIC_DISPATCH(lanes)() == 1) return;  // no vectors, no promise
    CHECK(std::isnan(exp2_of({std::numeric_limits<float>::quiet_NaN()})[0]));
  });
}

// Of both signs, from the smallest to where everything is saturated, and 0.
std::vector<float> arguments_of_all_sizes() {
  std::vector<float> x{0.0f, -0.0f};
  for (float magnitude = 1e-30f; magnitude < 1e6f; magnitude *= 1.0003f) x.insert(x.end(), {magnitude, -magnitude});
  return x;
}

TEST_CASE("sigmoid: absolute error below 2e-7, between 0 and 1 for every argument") {
  const std::vector<float> x = arguments_of_all_sizes();
  each_target([&] {
    std::vector<float> got = x;
    HWY_DYNAMIC_DISPATCH(sigmoid_all)(got);
    double worst = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      worst = std::max(worst, std::abs(double{got[i]} - 1 / (1 + std::exp(-double{x[i]}))));
      if (got[i] < 0 || got[i] > 1) FAIL(x[i] << " gives " << got[i]);
    }
    CHECK(worst < 2e-7);
    CHECK(worst > 1e-9);
  });
}

TEST_CASE("tanh: relative error below 4e-7, odd, exactly 1 from 10 on") {
  const std::vector<float> x = arguments_of_all_sizes();
  each_target([&] {
    std::vector<float> got = x;
    HWY_DYNAMIC_DISPATCH(tanh_all)(got);
    double worst = 0, worst_x = 0;
    for (size_t i = 2; i < x.size(); ++i) {
      const double expected = std::tanh(double{x[i]}), error = std::abs(double{got[i]} / expected - 1);
      if (error > worst) worst = error, worst_x = x[i];
      if (std::abs(x[i]) > 10 && std::abs(got[i]) != 1) FAIL(x[i] << " gives " << got[i]);
      if (i % 2 == 1 && got[i] != -got[i - 1]) FAIL("not odd at " << x[i]);
    }
    CAPTURE(worst_x);
    CHECK(worst < 4e-7);
    CHECK(worst > 1e-9);
    CHECK(got[0] == 0);
  });
}

}  // namespace
}  // namespace wkv::kernels
#endif
