// WKV5 of fewer heads than threads, whose time is cut into segments and, where it is long, taken in several waves.
#include <catch2/catch.hpp>

#include "harness/verify.hpp"
#include "kernels/wkv5/wkv5.hpp"
#include "tests/each_target.hpp"

namespace wkv {
namespace {

void check_cpu_variants(const Problem& problem, InputKind inputs, int threads) {
  Executor executor(threads);
  Workload workload(operator_named(kernels::Wkv5::kName), problem, generated_inputs(inputs, 5), 2, executor);
  each_target([&] {
    for (const Variant* variant : variants_of(kernels::Wkv5::kName)) {
      if (variant->device != DeviceKind::cpu || unsupported(*variant, problem)) continue;
      INFO(variant->name << " " << to_string(problem) << " threads " << threads);
      CHECK(verify(*make_runner(*variant, workload, executor), workload, executor).failure == "");
    }
  });
}

TEST_CASE("wkv5: one head's time in segments gives what the reference gives") {
  const InputKind inputs = GENERATE(InputKind::realistic, InputKind::extreme);
  const DType dtype = GENERATE(DType::f32, DType::bf16);
  for (const int64_t N : {12, 64}) check_cpu_variants({.T = 417, .H = 1, .N = N, .dtype = dtype}, inputs, 2);
  check_cpu_variants({.B = 2, .T = 601, .H = 1, .N = 16, .dtype = dtype}, inputs, 3);
}

TEST_CASE("wkv5: one head's time in two waves of segments gives what the reference gives") {
  const DType dtype = GENERATE(DType::f32, DType::bf16);
  check_cpu_variants({.T = 32768 + 5, .H = 1, .N = 8, .dtype = dtype}, InputKind::realistic, 2);
}

}  // namespace
}  // namespace wkv
