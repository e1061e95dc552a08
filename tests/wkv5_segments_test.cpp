// WKV5 of fewer heads than threads, whose time is cut into segments and, where it is long, taken in several waves.
#include <catch2/catch.hpp>

#include "harness/verify.hpp"
#include "kernels/wkv5/wkv5.hpp"

namespace wkv {
namespace {

TEST_CASE("wkv5: one head's time in several waves of segments gives what the reference gives") {
  const DType dtype = GENERATE(DType::f32, DType::bf16);
  const int64_t T = GENERATE(32768 + 5, 2 * 32768 + 400);
  const Problem problem{.T = T, .H = 1, .N = 16, .dtype = dtype};
  for (const int threads : {2, 3}) {
    Executor executor(threads);
    Workload workload(operator_named(kernels::Wkv5::kName), problem, generated_inputs(InputKind::realistic, 5), 2,
                      executor);
    for (const Variant* variant : variants_of("wkv5")) {
      if (variant->device != DeviceKind::cpu || unsupported(*variant, problem)) continue;
      INFO(variant->name << " " << to_string(problem) << " " << threads);
      CHECK(verify(*make_runner(*variant, workload, executor), workload, executor).failure == "");
    }
  }
}

}  // namespace
}  // namespace wkv
