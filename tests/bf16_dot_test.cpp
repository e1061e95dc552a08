// cpu_bf16_dot where the CPU lacks its instruction: everything but that, which software stands in for.
#include "kernels/wkv5/bf16_dot.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "harness/verify.hpp"

namespace wkv {
namespace {

Variant in_software() {
  return {.op = "wkv5",
          .name = "bf16_dot in software",
          .dtypes = {DType::f32, DType::bf16},
          .products = DType::bf16,
          .unsupported = nullptr,
          .extra_bytes = kernels::bf16_dot_extra_bytes,
          .run = [](const TensorAddresses& tensors, const Problem& problem, Executor& executor) {
            kernels::run_bf16_dot_in_software(problem, kernels::Wkv5::bind(tensors), executor);
          }};
}

void check_agrees(const Problem& problem, InputKind inputs) {
  const Variant variant = in_software();
  Executor executor(2);
  Workload workload(operator_named("wkv5"), problem, generated_inputs(inputs, 3), 2, executor);
  for (const int threads : {1, 2, 3}) {
    Executor own(threads);
    const auto runner = make_runner(variant, workload, own);
    CAPTURE(to_string(problem), threads);
    CHECK(verify(*runner, workload, own).failure == "");
  }
}

TEST_CASE("bf16_dot: with the dot product in software it agrees with the reference") {
  const InputKind inputs = GENERATE(InputKind::realistic, InputKind::extreme);
  const DType dtype = GENERATE(DType::f32, DType::bf16);
  for (const int64_t T : {1, 2, 4, 15, 16, 17, 20, 31, 32, 33, 100}) {
    check_agrees({.T = T, .H = 2, .N = 64, .dtype = dtype}, inputs);
  }
  for (const int64_t N : {8, 16, 32, 48, 128}) check_agrees({.B = 2, .T = 37, .H = 1, .N = N, .dtype = dtype}, inputs);
  check_agrees({.B = 2, .T = 9, .H = 3, .N = 64, .mode = Mode::decode, .dtype = dtype}, inputs);
  check_agrees({.T = 1037, .H = 1, .N = 32, .dtype = dtype}, inputs);  // in segments on three threads
}

TEST_CASE("bf16_dot: a CPU without the instruction is told by its name, and one that has it runs it") {
  const auto variants = variants_of("wkv5");
  const auto found =
      std::find_if(variants.begin(), variants.end(), [](const Variant* v) { return v->name == "cpu_bf16_dot"; });
  REQUIRE(found != variants.end());
  const auto reason = unsupported(**found, {.T = 16, .H = 1, .N = 64});
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bf16")) {
    CHECK(!reason);
    return;
  }
#endif
  REQUIRE(reason);
  CHECK(reason->find("AVX512_BF16") != std::string::npos);
}

}  // namespace
}  // namespace wkv
