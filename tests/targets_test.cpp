// Every variant on every instruction set that this CPU has: what is dispatched on other machines is tested here too.
#include "harness/verify.hpp"
#include "tests/each_target.hpp"

namespace wkv {
namespace {

TEST_CASE("targets: every variant agrees with the reference on every instruction set of this CPU") {
  const auto kind = GENERATE(InputKind::realistic, InputKind::extreme);
  const auto dtype = GENERATE(DType::f32, DType::bf16);
  std::vector<Problem> problems;
  for (const int64_t N : {1, 12, 16, 20, 64}) {
    for (const int64_t T : {2, 7, 49, 130}) problems.push_back({.B = 2, .T = T, .H = 3, .N = N, .dtype = dtype});
    problems.push_back({.T = 131, .H = 3, .N = N, .mode = Mode::decode, .dtype = dtype});
  }
  Executor executor(2);
  for (const Operator* op : all_operators()) {
    for (const Problem& problem : problems) {
      Workload workload(*op, problem, generated_inputs(kind, 3), 2, executor);
      each_target([&] {
        for (const Variant* variant : variants_of(op->name)) {
          if (variant->device != DeviceKind::cpu || unsupported(*variant, problem)) continue;
          INFO(op->name << " " << variant->name << " " << to_string(problem) << " " << name_of(kind));
          CHECK(verify(*make_runner(*variant, workload, executor), workload, executor).failure == "");
        }
      });
    }
  }
}

}  // namespace
}  // namespace wkv
