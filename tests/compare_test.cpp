#include "harness/compare.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "harness/executor.hpp"

namespace wkv {
namespace {

using Catch::Contains;
using Catch::StartsWith;

constexpr double kF32 = 0x1p-24, kBf16 = 0x1p-8, kSmallest = std::numeric_limits<float>::min();

ExpectedOutput output(double value, double scale, double growth) {
  return {.tensor = "y", .value = {value}, .scale = {scale}, .growth = growth, .factor_growth = 2};
}

TEST_CASE("tolerance: without arithmetic it is the rounding of the stored value") {
  REQUIRE(tolerance(output(3, 0, 0), 0, DType::f32, DType::f32) == 3 * kF32);
  REQUIRE(tolerance(output(-3, 0, 0), 0, DType::bf16, DType::f32) == 3 * kBf16);
}

TEST_CASE("tolerance: arithmetic adds three and a half roundoffs of fp32 times growth times scale") {
  const double arithmetic = 3.5 * kF32 * 7 * 5;
  REQUIRE(tolerance(output(0, 5, 7), 0, DType::f32, DType::f32) == Approx(arithmetic * (1 + kF32)).epsilon(1e-9));
  REQUIRE(tolerance(output(2, 5, 7), 0, DType::bf16, DType::f32) ==
          Approx(2 * kBf16 + arithmetic * (1 + kBf16)).epsilon(1e-9));
}

TEST_CASE("tolerance: products of bf16 factors add theirs") {
  REQUIRE(tolerance(output(0, 5, 7), 0, DType::f32, DType::bf16) ==
          Approx(3.5 * (kF32 * 7 + kBf16 * 2) * 5).epsilon(1e-6));
}

TEST_CASE("tolerance: a result that underflows may be flushed to zero") {
  REQUIRE(tolerance(output(0, 0, 1), 0, DType::f32, DType::f32) == kSmallest);
  REQUIRE(tolerance(output(kSmallest / 2, kSmallest / 2, 1), 0, DType::bf16, DType::f32) > kSmallest / 2);
}

// One output of one row of four channels.
struct Row {
  explicit Row(DType dtype) : set({{.name = "y", .dims = kDims, .dtype = dtype, .role = Role::output}}) {}
  Comparison compare_with(const ExpectedOutput& expected) const {
    return compare(set, {Slice{}}, {{expected}}, DType::f32, "the reference");
  }
  inline static const std::vector<Dim> kDims{{Axis::batch, 1}, {Axis::time, 1}, {Axis::head, 1}, {Axis::channel, 4}};
  TensorSet set;
};

TEST_CASE("compare: what is within the tolerance passes, what is beyond it fails") {
  const Row row(DType::f32);
  const ExpectedOutput expected{.tensor = "y", .value = {1, 1, 0, -1}, .scale = {1, 1, 10, 1}, .growth = 4};
  const auto put = [&](float third) {
    float* y = row.set.as<float>("y");
    y[0] = 1, y[1] = 1, y[2] = third, y[3] = -1;
  };
  const double allowed = tolerance(expected, 2, DType::f32, DType::f32);
  put(static_cast<float>(0.99 * allowed));
  const Comparison good = row.compare_with(expected);
  REQUIRE(good.failure == "");
  REQUIRE(good.tolerance_ratio == Approx(0.99));
  REQUIRE(good.error == Approx(0.99 * allowed / 10));
  put(static_cast<float>(-1.01 * allowed));
  const Comparison bad = row.compare_with(expected);
  REQUIRE(bad.tolerance_ratio == Approx(1.01));
  REQUIRE_THAT(bad.failure, StartsWith("y(b=0, t=0, h=0, n=2) is wrong: expected 0, got -8.4") &&
                                Contains("(by the reference; 1 of 4 elements)"));
}

TEST_CASE("compare: values that do not fit the slice are the operator's fault") {
  const Row row(DType::f32);
  REQUIRE_THROWS_AS(row.compare_with({.tensor = "y", .value = {1}, .scale = {1}}), std::logic_error);
}

TEST_CASE("compare: a NaN is wrong") {
  const Row row(DType::bf16);
  row.set.poison_outputs();
  REQUIRE_THAT(row.compare_with({.tensor = "y", .value = {0, 0, 0, 0}, .scale = {1, 1, 1, 1}}).failure,
               Contains("4 of 4 elements"));
}

TEST_CASE("find_unwritten: poison and what is not finite are told apart, in every element") {
  const DType dtype = GENERATE(DType::f32, DType::bf16);
  const std::vector<Dim> dims{{Axis::batch, 3}, {Axis::time, 5}, {Axis::head, 1}, {Axis::channel, 911}};
  const TensorSpec spec{.name = "y", .dims = dims, .dtype = dtype, .role = Role::output};
  const TensorSet set({spec});
  const auto put = [&](int64_t offset, float value) {
    if (dtype == DType::f32) {
      set.as<float>("y")[offset] = value;
    } else {
      set.as<BFloat16>("y")[offset] = BFloat16(value);
    }
  };
  for (const int64_t offset : {int64_t{0}, int64_t{4095}, int64_t{4096}, spec.elements() - 1}) {
    CAPTURE(offset);
    set.poison_outputs();
    for (int64_t i = 0; i < spec.elements(); ++i) {
      if (i != offset) put(i, std::numeric_limits<float>::lowest() / 2);
    }
    REQUIRE(find_unwritten(set) == element_name(spec, offset) + " is not written");
    put(offset, std::numeric_limits<float>::infinity());
    REQUIRE(find_unwritten(set) == element_name(spec, offset) + " is inf");
    put(offset, 0);
    REQUIRE(find_unwritten(set) == "");
  }
}

TEST_CASE("find_unwritten: several threads find the first element as one does") {
  const std::vector<Dim> dims{{Axis::batch, 1}, {Axis::time, 5 << 18}, {Axis::head, 1}, {Axis::channel, 2}};
  const TensorSpec spec{.name = "y", .dims = dims, .dtype = DType::bf16, .role = Role::output};
  const TensorSet set({spec});
  auto* y = set.as<BFloat16>("y");
  std::fill_n(y, spec.elements(), BFloat16(1.0f));
  Executor executor(3);
  REQUIRE(find_unwritten(set, &executor) == "");
  for (const int64_t offset : {spec.elements() - 1, int64_t{1} << 20, (int64_t{1} << 20) - 1, int64_t{7}}) {
    y[offset] = BFloat16(std::numeric_limits<float>::infinity());
    REQUIRE(find_unwritten(set, &executor) == element_name(spec, offset) + " is inf");
    REQUIRE(find_unwritten(set) == element_name(spec, offset) + " is inf");
  }
}

TEST_CASE("find_disagreement: another order of summation is none, another result is one") {
  const Row one(DType::f32), other(DType::f32);
  const auto put = [](const Row& row, float last) {
    float* y = row.set.as<float>("y");
    y[0] = 100, y[1] = -1, y[2] = 1e-3f, y[3] = last;
  };
  put(one, 1), put(other, 1);
  REQUIRE(find_disagreement(one.set, other.set) == "");
  put(other, 2);
  REQUIRE(find_disagreement(one.set, other.set) == "");
  put(other, 5);
  REQUIRE(find_disagreement(one.set, other.set) ==
          "y(b=0, t=0, h=0, n=3) is 1 in one run and 5 in another on the same inputs");
}

TEST_CASE("element_name: counts along the axes of the tensor") {
  const TensorSpec state{.name = "state_out",
                         .dims = {{Axis::batch, 2}, {Axis::head, 3}, {Axis::channel, 4}, {Axis::channel, 5}}};
  REQUIRE(element_name(state, ((1 * 3 + 2) * 4 + 3) * 5 + 1) == "state_out(b=1, h=2, n=3, n=1)");
}

}  // namespace
}  // namespace wkv
