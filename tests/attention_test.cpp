// Properties of attention that hold exactly or nearly so, whatever the reference says.
#include "kernels/attention/attention.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <functional>

#include "harness/inputs.hpp"
#include "harness/variant.hpp"

namespace wkv::kernels {
namespace {

struct Run {
  explicit Run(const Problem& p) : problem(p), executor(2), set(operator_named(Attention::kName).tensors(p)) {
    fill_inputs(set, InputKind::realistic, 5, executor);
  }
  float* at(const char* tensor, int64_t t, int64_t h) const {
    return set.as<float>(tensor) + (t * problem.H + h) * problem.N;
  }
  std::vector<float> outputs(const Variant& variant) {
    set.poison_outputs();
    variant.run(set.addresses(), problem, executor);
    return {set.as<float>("y"), set.as<float>("y") + set.spec("y").elements()};
  }
  void fill(const char* tensor, float value) const {
    std::fill_n(set.as<float>(tensor), set.spec(tensor).elements(), value);
  }

  Problem problem;
  Executor executor;
  TensorSet set;
};

void each_variant(const std::function<void(const Variant&)>& check) {
  for (const Variant* variant : variants_of(Attention::kName)) {
    if (variant->device != DeviceKind::cpu) continue;  // these run on the host's memory
    INFO(variant->name);
    check(*variant);
  }
}

TEST_CASE("attention: an output does not depend on what comes after it") {
  Run run({.T = 150, .H = 2, .N = 16});
  each_variant([&](const Variant& variant) {
    const std::vector<float> before = run.outputs(variant);
    for (const int64_t t : {149, 100, 64, 48, 23, 1}) {
      for (const char* tensor : {"q", "k", "v"}) *run.at(tensor, t, 1) += 100;
      const std::vector<float> after = run.outputs(variant);
      INFO("t = " << t);
      const size_t row = static_cast<size_t>((t * 2 + 1) * 16);
      CHECK(std::equal(before.begin(), before.begin() + static_cast<ptrdiff_t>(row), after.begin()));
      CHECK(!std::equal(before.begin() + static_cast<ptrdiff_t>(row), before.end(),
                        after.begin() + static_cast<ptrdiff_t>(row)));
    }
    fill_inputs(run.set, InputKind::realistic, 5, run.executor);
  });
}

TEST_CASE("attention: a key far above all others gives its value, before it comes the mean of the values") {
  constexpr int64_t kDominant = 70;
  Run run({.T = 200, .H = 2, .N = 16});
  run.fill("q", 30);
  run.fill("k", 0);
  std::fill_n(run.at("k", kDominant, 0), 16, 30.0f);  // a score of 3600, all others 0
  each_variant([&](const Variant& variant) {
    const std::vector<float> y = run.outputs(variant);
    for (int64_t t = 0; t < 200; ++t) {
      for (int64_t n = 0; n < 16; ++n) {
        double mean = 0, magnitude = 0;
        for (int64_t i = 0; i <= t; ++i) {
          mean += run.at("v", i, 0)[n] / static_cast<double>(t + 1);
          magnitude += std::abs(run.at("v", i, 0)[n]) / static_cast<double>(t + 1);
        }
        const float got = y[static_cast<size_t>(t * 2 * 16 + n)];
        INFO("t = " << t << ", n = " << n);
        if (t >= kDominant) {
          REQUIRE(got == run.at("v", kDominant, 0)[n]);
        } else {
          REQUIRE(std::abs(got - mean) <= 1e-5 * magnitude);
        }
      }
    }
  });
}

TEST_CASE("attention: scores of thousands that all grow, and values of 1e30, stay finite") {
  Run run({.T = 130, .H = 1, .N = 16});
  for (int64_t t = 0; t < 130; ++t) {
    for (int64_t n = 0; n < 16; ++n) {
      run.at("q", t, 0)[n] = 100;
      run.at("k", t, 0)[n] = static_cast<float>(t);
      run.at("v", t, 0)[n] *= 1e30f;
    }
  }
  each_variant([&](const Variant& variant) {
    const std::vector<float> y = run.outputs(variant);
    for (int64_t t = 0; t < 130; ++t) {
      for (int64_t n = 0; n < 16; ++n) REQUIRE(y[static_cast<size_t>(t * 16 + n)] == run.at("v", t, 0)[n]);
    }
  });
}

TEST_CASE("attention: decode of the last token equals the last row of prefill") {
  const Problem prefill{.T = 333, .H = 3, .N = 32};
  Problem decode = prefill;
  decode.mode = Mode::decode;
  Run all(prefill), last(decode);
  std::memcpy(last.set.data("k"), all.set.data("k"), all.set.spec("k").bytes());
  std::memcpy(last.set.data("v"), all.set.data("v"), all.set.spec("v").bytes());
  std::memcpy(last.set.data("q"), all.at("q", 332, 0), last.set.spec("q").bytes());
  each_variant([&](const Variant& variant) {
    const std::vector<float> rows = all.outputs(variant), row = last.outputs(variant);
    for (size_t i = 0; i < row.size(); ++i) {
      CHECK(row[i] == Approx(rows[rows.size() - row.size() + i]).epsilon(1e-4).margin(1e-5));
    }
  });
}

TEST_CASE("attention: scratch memory is as predicted, and that of the tiled variant does not grow with T") {
  each_variant([&](const Variant& variant) {
    for (const Mode mode : {Mode::prefill, Mode::decode}) {
      std::vector<size_t> bytes;
      for (const int64_t T : {1, 1600, 2000}) {
        Run run({.T = T, .H = 4, .N = 16, .mode = mode});
        run.outputs(variant);
        bytes.push_back(run.executor.peak_scratch_bytes());
        CHECK(bytes.back() == extra_bytes(variant, run.problem, run.executor.threads()));
      }
      if (variant.name == "cpu_tiled") CHECK(bytes[2] == bytes[1]);
    }
  });
}

}  // namespace
}  // namespace wkv::kernels
