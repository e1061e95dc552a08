#include "harness/run_times.hpp"

#include <algorithm>
#include <chrono>

#include "harness/runner.hpp"

namespace wkv {

void RunTimes::observe(const Operator& op, const Variant& variant, const Problem& problem, int threads,
                       double seconds) {
  latest_[{&variant, problem.mode, problem.dtype, threads}] = {op.cost(problem), seconds};
}

std::optional<double> RunTimes::predict(const Operator& op, const Variant& variant, const Problem& problem,
                                        int threads) const {
  const auto found = latest_.find({&variant, problem.mode, problem.dtype, threads});
  if (found == latest_.end()) return std::nullopt;
  const auto& [cost, seconds] = found->second;
  const Cost wanted = op.cost(problem);
  return seconds * std::max(wanted.flops / cost.flops, wanted.bytes / cost.bytes);
}

double pessimistic_seconds(const Cost& cost) {
  constexpr double kFlopsPerSecond = 1e9, kBytesPerSecond = 1e9;
  return cost.flops / kFlopsPerSecond + cost.bytes / kBytesPerSecond;
}

Probe probe(const Operator& op, const Variant& variant, const Problem& problem, Executor& executor, Device* device) {
  constexpr double kFirstSeconds = 0.02, kEnoughSeconds = 0.02;
  Problem shorter = problem;
  while (shorter.T > 1 && pessimistic_seconds(op.cost(shorter)) > kFirstSeconds) shorter.T = (shorter.T + 1) / 2;
  while (true) {
    Workload workload(op, shorter, generated_inputs(InputKind::realistic, 0), 2, executor);
    const auto runner = make_runner(variant, workload, executor, device);
    double seconds = 0;
    for (int set = 0; set < 2; ++set) {  // the first one warms up
      runner->upload(set);
      const auto start = std::chrono::steady_clock::now();
      runner->run(set);
      seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
    if (seconds > kEnoughSeconds || 2 * shorter.T > problem.T) return {shorter, seconds};
    shorter.T *= 2;
  }
}

}  // namespace wkv
