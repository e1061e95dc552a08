#include "harness/run_times.hpp"

#include <algorithm>
#include <chrono>
#include <limits>

#include "harness/runner.hpp"

namespace wkv {
namespace {

bool same_shape(Problem a, const Problem& b) {
  a.T = b.T;
  return a == b;
}

// The larger of the ratios of FLOPs and of bytes.
double work(const Operator& op, const Problem& problem, const Problem& unit) {
  const Cost cost = op.cost(problem), one = op.cost(unit);
  return std::max(cost.flops / one.flops, cost.bytes / one.bytes);
}

}  // namespace

bool shows_growth(double shortest_seconds, double longest_seconds) {
  return longest_seconds >= 2 * shortest_seconds;  // far more than two measurements differ by chance
}

void RunTimes::observe(const Variant& variant, const Problem& problem, int threads, double seconds) {
  auto& runs = runs_[{&variant, problem.mode, problem.dtype, threads}];
  std::erase_if(runs, [&](const TimedRun& run) { return run.problem == problem; });
  runs.push_back({problem, seconds});
}

std::optional<RunTimes::Prediction> RunTimes::predict(const Operator& op, const Variant& variant,
                                                      const Problem& problem, int threads) const {
  const auto found = runs_.find({&variant, problem.mode, problem.dtype, threads});
  if (found == runs_.end()) return std::nullopt;
  const TimedRun *shortest = nullptr, *longest = nullptr;
  for (const TimedRun& run : found->second) {
    if (!same_shape(run.problem, problem)) continue;
    if (shortest == nullptr || run.problem.T < shortest->problem.T) shortest = &run;
    if (longest == nullptr || run.problem.T > longest->problem.T) longest = &run;
  }
  if (longest == nullptr) longest = shortest = &found->second.back();
  const double wanted = work(op, problem, shortest->problem), most = work(op, longest->problem, shortest->problem);
  const double in_proportion = longest->seconds / most;
  if (most < 2) return Prediction{in_proportion * wanted, false};  // too close to tell what does not grow
  constexpr double kNoise = 0.1;                                   // of a time: growth that cannot be excluded
  const double growth = std::max(longest->seconds - shortest->seconds, kNoise * longest->seconds);
  return Prediction{longest->seconds + std::min(growth / (most - 1), in_proportion) * (wanted - most),
                    shows_growth(shortest->seconds, longest->seconds)};
}

double pessimistic_seconds(const Cost& cost) {
  constexpr double kFlopsPerSecond = 1e9, kBytesPerSecond = 1e9;
  return cost.flops / kFlopsPerSecond + cost.bytes / kBytesPerSecond;
}

std::vector<TimedRun> probe(const Operator& op, const Variant& variant, const Problem& problem, Executor& executor,
                            Device* device, double most_seconds) {
  constexpr double kFirstSeconds = 0.005, kEnoughSeconds = 0.02;
  constexpr int kRuns = 3;  // of which the fastest counts: the first one warms up, another may be disturbed
  Problem shorter = problem;
  while (shorter.T > 1 && pessimistic_seconds(op.cost(shorter)) > kFirstSeconds) shorter.T = (shorter.T + 1) / 2;
  std::vector<TimedRun> runs;
  for (double spent = 0;; shorter.T *= 2) {
    Workload workload(op, shorter, generated_inputs(InputKind::realistic, 0), 2, executor);
    const auto runner = make_runner(variant, workload, executor, device);
    double fastest = std::numeric_limits<double>::max();
    for (int run = 0; run < kRuns; ++run) {
      const int set = run % workload.sets();
      runner->upload(set);
      const auto start = std::chrono::steady_clock::now();
      runner->run(set);
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      fastest = std::min(fastest, seconds);
      spent += seconds;
    }
    runs.push_back({shorter, fastest});
    const bool enough = fastest > kEnoughSeconds && shows_growth(runs.front().seconds, fastest);
    if (enough || spent > most_seconds || 2 * shorter.T > problem.T) return runs;
  }
}

}  // namespace wkv
