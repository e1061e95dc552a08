#include "harness/inputs.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <set>

#include "harness/operator.hpp"

namespace wkv {
namespace {

// Some hundred thousand values, not a multiple of the block that a thread fills.
const Problem kProblem{.B = 3, .T = 301, .H = 5, .N = 64};

TensorSet filled(InputKind kind, uint64_t seed, int threads, Problem problem = kProblem) {
  TensorSet set(operator_named("wkv5").tensors(problem));
  Executor executor(threads);
  fill_inputs(set, kind, seed, executor);
  return set;
}

std::vector<float> values(const TensorSet& set, std::string_view tensor) {
  const float* data = set.as<float>(tensor);
  return {data, data + set.spec(tensor).elements()};
}

TEST_CASE("inputs: the number of threads does not matter") {
  const InputKind kind = GENERATE(InputKind::realistic, InputKind::extreme);
  const TensorSet one = filled(kind, 5, 1), two = filled(kind, 5, 2), three = filled(kind, 5, 3);
  for (const TensorSpec& spec : one.specs()) {
    if (spec.role != Role::input) continue;
    CAPTURE(spec.name);
    REQUIRE(one.checksum(spec) == two.checksum(spec));
    REQUIRE(one.checksum(spec) == three.checksum(spec));
  }
}

TEST_CASE("inputs: every tensor, seed and set has values of its own") {
  const TensorSet set = filled(InputKind::realistic, 5, 2), other = filled(InputKind::realistic, 6, 2);
  for (const char* tensor : {"r", "k", "v", "w", "u", "state"}) REQUIRE(values(set, tensor) != values(other, tensor));
  REQUIRE(values(set, "r") != values(set, "k"));
  REQUIRE(values(set, "k") != values(set, "v"));
  REQUIRE(values(set, "k") != values(other, "r"));
  std::set<uint64_t> seeds;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    for (int index = 0; index < 10; ++index) seeds.insert(seed_of_set(seed, index));
  }
  REQUIRE(seeds.size() == 1000);
}

TEST_CASE("inputs: realistic values are nearly normal and independent") {
  const std::vector<float> r = values(filled(InputKind::realistic, 1, 2), "r");
  const auto n = static_cast<double>(r.size());
  double sum = 0, squares = 0, beyond = 0, lagged = 0;
  for (size_t i = 0; i < r.size(); ++i) {
    sum += r[i], squares += double{r[i]} * r[i], beyond += std::abs(r[i]) > 2;
    if (i > 0) lagged += double{r[i]} * r[i - 1];
  }
  REQUIRE(std::abs(sum / n) < 5 / std::sqrt(n));
  REQUIRE(std::abs(squares / n - 1) < 10 / std::sqrt(n));
  REQUIRE(beyond / n == Approx(0.0455).margin(0.01));
  REQUIRE(std::abs(lagged / n) < 5 / std::sqrt(n));
}

TEST_CASE("inputs: realistic decay spans what trained models have") {
  const std::vector<float> w = values(filled(InputKind::realistic, 1, 1, {.T = 1, .H = 64, .N = 128}), "w");
  const auto [least, most] = std::minmax_element(w.begin(), w.end());
  REQUIRE(*least >= 0.000999f);
  REQUIRE(*least < 0.0015f);
  REQUIRE(*most <= 0.99991f);
  REQUIRE(*most > 0.9998f);
}

TEST_CASE("inputs: extreme decay holds exactly 0 and 1, underflowing powers, and 1 less one roundoff") {
  const std::vector<float> w = values(filled(InputKind::extreme, 1, 1), "w");
  for (const float hard : {0.0f, 1.0f, 1e-20f, 1.0f - 0x1p-24f}) {
    CAPTURE(hard);
    REQUIRE(std::count(w.begin(), w.end(), hard) > 0);
  }
  REQUIRE(std::all_of(w.begin(), w.end(), [](float value) { return value >= 0 && value <= 1; }));
  REQUIRE(std::any_of(w.begin(), w.end(), [](float value) { return value > 0.001f && value < 0.49f; }));
}

TEST_CASE("inputs: extreme values differ in size from head to head, not inside one") {
  const TensorSet set = filled(InputKind::extreme, 1, 2, {.B = 1, .T = 64, .H = 16, .N = 64});
  std::set<int> magnitudes;
  for (int64_t head = 0; head < 16; ++head) {
    const std::vector<double> v = read_slice(set, "v", 0, head);
    double squares = 0;
    for (const double value : v) squares += value * value;
    const double magnitude = std::log10(std::sqrt(squares / static_cast<double>(v.size())));
    REQUIRE(magnitude == Approx(std::round(magnitude)).margin(0.1));
    magnitudes.insert(static_cast<int>(std::round(magnitude)));
  }
  REQUIRE(magnitudes == std::set<int>{-4, 0, 4});
}

TEST_CASE("inputs: bf16 inputs are the rounded fp32 ones") {
  Problem problem = kProblem;
  problem.dtype = DType::bf16;
  const TensorSet exact = filled(InputKind::realistic, 1, 2), rounded = filled(InputKind::realistic, 1, 2, problem);
  for (int64_t i = 0; i < exact.spec("k").elements(); ++i) {
    REQUIRE(rounded.as<BFloat16>("k")[i].bits == BFloat16(exact.as<float>("k")[i]).bits);
  }
}

}  // namespace
}  // namespace wkv
