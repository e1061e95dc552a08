// The projections of a model whose numbers of inputs and outputs differ.
#include "kernels/gemm/gemm.hpp"

#include <catch2/catch.hpp>
#include <vector>

#include "harness/runner.hpp"
#include "harness/verify.hpp"
#include "tests/each_target.hpp"

namespace wkv {
namespace {

struct Shape {
  int64_t T, inputs, outputs;
};

void require_right(const Variant& variant, const Problem& problem, Executor& executor) {
  CAPTURE(variant.name, to_string(problem));
  if (unsupported(variant, problem)) return;
  Workload workload(operator_named("gemm"), problem, generated_inputs(InputKind::realistic, 3), 2, executor);
  const auto runner = make_runner(variant, workload, executor);
  REQUIRE(verify(*runner, workload, executor).failure == "");
}

TEST_CASE("gemm: every variant projects to more or fewer channels than it takes") {
  Executor executor(2);
  for (const Variant* variant : variants_of("gemm")) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      for (const auto& [T, N, outputs] : std::vector<Shape>{{1, 64, 256}, {5, 96, 34}, {99, 320, 66}, {7, 32, 2}}) {
        require_right(*variant, {.T = T, .H = 1, .N = N, .dtype = dtype, .outputs = outputs}, executor);
      }
    }
  }
}

TEST_CASE("gemm: cpu_rows and cpu_tiled are right on every instruction set, whatever the numbers") {
  Executor executor(3);
  for (const Variant* variant : variants_of("gemm")) {
    if (variant->name != "cpu_rows" && variant->name != "cpu_tiled") continue;
    each_target([&] {
      for (const DType dtype : {DType::f32, DType::bf16}) {
        for (const auto& [T, N, outputs] : std::vector<Shape>{{1, 67, 5}, {3, 1, 1}, {6, 261, 131}, {101, 515, 17}}) {
          require_right(*variant, {.B = 2, .T = T, .H = 1, .N = N, .dtype = dtype, .outputs = outputs}, executor);
        }
      }
    });
  }
}

}  // namespace
}  // namespace wkv
