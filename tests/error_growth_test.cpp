// Over the length of a sequence a variant's error grows no faster than that of the recurrence in its own arithmetic.
#include <algorithm>
#include <catch2/catch.hpp>
#include <map>

#include "harness/compare.hpp"
#include "harness/runner.hpp"
#include "harness/workload.hpp"

namespace wkv {
namespace {

constexpr int64_t kLengths[] = {1, 8, 64, 512, 4096, 16384};
constexpr int64_t kShort = 64;  // where next to nothing has added up

// {T: the largest error, relative to the output's scale} of a run on the same inputs, cut at different lengths.
std::map<int64_t, double> errors_over_length(const Variant& variant, DType dtype, Executor& executor) {
  std::map<int64_t, double> errors;
  for (const int64_t T : kLengths) {
    const Problem problem{.B = 1, .T = T, .H = 3, .N = 32, .dtype = dtype};
    if (unsupported(variant, problem)) continue;
    Workload workload(operator_named("wkv5"), problem, generated_inputs(InputKind::realistic, 4), 1, executor);
    REQUIRE(workload.sample().description == "all");
    const auto runner = make_runner(variant, workload, executor);
    runner->upload(0);
    runner->run(0);
    runner->download(0);
    const Comparison comparison = compare(workload.set(0), workload.sample().slices, workload.expected(0, executor),
                                          products(variant, problem), "the reference");
    CHECK(comparison.failure == "");
    errors[T] = comparison.error;
  }
  return errors;
}

// The recurrence: one product after the other in fp32.
std::map<int64_t, double> errors_of_recurrence(Executor& executor) {
  for (const Variant* variant : variants_of("wkv5")) {
    if (variant->name == "cpu_naive") return errors_over_length(*variant, DType::f32, executor);
  }
  throw std::logic_error("cpu_naive is not registered");
}

TEST_CASE("wkv5: no variant's error grows faster over T than the recurrence's own rounding") {
  Executor executor(2);
  const auto recurrence = errors_of_recurrence(executor);
  REQUIRE(recurrence.at(16384) > 4 * recurrence.at(64));  // it does grow on these inputs
  for (const Variant* variant : variants_of("wkv5")) {
    for (const DType dtype : variant->dtypes) {
      const auto errors = errors_over_length(*variant, dtype, executor);
      // What a variant starts with is in its dtypes: of outputs, of products.
      double start = 0;
      for (const auto& [T, error] : errors) {
        CAPTURE(variant->name, name_of(dtype), T, error);
        if (T <= kShort) start = std::max(start, error);
        CHECK(error <= 2 * std::max(start, recurrence.at(T)));
      }
    }
  }
}

}  // namespace
}  // namespace wkv
