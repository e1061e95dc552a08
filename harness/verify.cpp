#include "harness/verify.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <exception>
#include <new>
#include <optional>
#include <thread>
#include <vector>

#include "harness/compare.hpp"

namespace wkv {
namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

std::vector<uint64_t> output_checksums(const TensorSet& set, Executor& executor) {
  std::vector<uint64_t> checksums;
  for (const TensorSpec& spec : set.specs()) {
    if (spec.role == Role::output) checksums.push_back(set.checksum(spec, &executor));
  }
  return checksums;
}

// Looks at some elements of every output, the last among them. Takes microseconds: a thread that still fills the
// outputs does not get ahead of it.
bool poison_at_a_glance(const TensorSet& set) {
  for (const TensorSpec& spec : set.specs()) {
    if (spec.role != Role::output) continue;
    const auto memory = set.bytes(spec);
    const int64_t last = spec.elements() - 1, step = std::max<int64_t>(1, last / 256);
    for (int64_t offset = last; offset >= 0; offset -= step) {
      if (holds_poison(memory, spec.dtype, offset)) return true;
    }
  }
  return false;
}

class Verifier {
 public:
  Verifier(Runner& runner, Workload& workload, Executor& executor)
      : runner_(runner), workload_(workload), executor_(executor) {}

  // A run on a set, and everything that it can have done wrong.
  void run_and_inspect(int set);
  // What a run left there; to be called as soon as it has returned.
  void inspect(int set, double run_seconds);

  Verification result;

 private:
  std::optional<double> run(int set);
  void check_memory(const TensorSet& set, const std::string& changed_input);
  void compare_outputs(int set);

  struct Past {
    int contents;
    std::vector<uint64_t> outputs;
  };

  Runner& runner_;
  Workload& workload_;
  Executor& executor_;
  std::vector<Past> past_;
};

void Verifier::run_and_inspect(int set) {
  workload_.set(set).poison_outputs();
  runner_.upload(set);
  const std::optional<double> seconds = run(set);
  if (!seconds) return;
  result.fastest_seconds = past_.empty() ? *seconds : std::min(result.fastest_seconds, *seconds);
  inspect(set, *seconds);

  const int contents = workload_.contents(set);
  const std::vector<uint64_t> outputs = output_checksums(workload_.set(set), executor_);
  if (!result.passed() && !past_.empty()) {
    result.failure = fmt::format("right at first, but in run {}: {}", past_.size() + 1, result.failure);
    for (size_t run = 0; run < past_.size(); ++run) {
      if (past_[run].outputs == outputs && past_[run].contents != contents) {
        result.failure =
            fmt::format("replays in run {} the outputs of run {}, whose inputs were others", past_.size() + 1, run + 1);
      }
    }
  }
  past_.push_back({contents, outputs});
}

std::optional<double> Verifier::run(int set) {
  const auto start = Clock::now();
  try {
    runner_.run(set);
    return Seconds(Clock::now() - start).count();
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    result.failure = fmt::format("throws an exception: {}", error.what());
  } catch (...) {
    result.failure = "throws an exception of unknown type";
  }
  return std::nullopt;
}

void Verifier::inspect(int set, double run_seconds) {
  const auto returned = Clock::now();
  const TensorSet& tensors = workload_.set(set);
  runner_.download(set);
  const bool unfinished = poison_at_a_glance(tensors);
  const auto checksums = output_checksums(tensors, executor_);
  check_memory(tensors, workload_.changed_input(set, &executor_));
  compare_outputs(set);

  // A variant that is still at work when it returns has not yet written everything: something is wrong by now, and
  // there is time to wait and see what becomes of it. One whose outputs are all right can only spoil them.
  const double patience = result.passed() && !unfinished ? std::clamp(run_seconds, 2e-4, 0.05) : 0.25;
  std::this_thread::sleep_until(returned + std::chrono::duration_cast<Clock::duration>(Seconds(patience)));
  runner_.download_outputs(set);
  if (output_checksums(tensors, executor_) != checksums || (unfinished && !poison_at_a_glance(tensors))) {
    result.failure = "goes on working after it returned: outputs changed later";
  }
}

void Verifier::check_memory(const TensorSet& set, const std::string& changed_input) {
  if (const std::string tensor = set.overrun(); !tensor.empty()) {
    result.failure = fmt::format("writes out of bounds of {}", tensor);
  } else if (executor_.scratch_overrun()) {
    result.failure = "writes out of bounds of its scratch memory";
  } else if (!changed_input.empty()) {
    result.failure = fmt::format("changes its input {}", changed_input);
  } else {
    result.failure = find_unwritten(set, &executor_);
  }
}

void Verifier::compare_outputs(int set) {
  const TensorSet& tensors = workload_.set(set);
  const auto& slices = workload_.sample().slices;
  const DType products = wkv::products(runner_.variant(), workload_.problem());
  const Comparison computed = compare(tensors, slices, workload_.expected(set, executor_), products, "the reference");
  if (result.passed()) result.failure = computed.failure;
  result.error = std::max(result.error, computed.error);
  result.tolerance_ratio = std::max(result.tolerance_ratio, computed.tolerance_ratio);
  if (workload_.contents(set) != 0 || workload_.given().empty()) return;
  const Comparison given = compare(tensors, slices, workload_.given(), products, workload_.source().name);
  if (result.passed()) result.failure = given.failure;
}

class PoisonedScratch {
 public:
  explicit PoisonedScratch(Executor& executor) : executor_(executor) { executor_.poison_scratch(true); }
  ~PoisonedScratch() { executor_.poison_scratch(false); }
  PoisonedScratch(const PoisonedScratch&) = delete;
  PoisonedScratch& operator=(const PoisonedScratch&) = delete;

 private:
  Executor& executor_;
};

}  // namespace

// Three runs catch what a run depends on beside its inputs, NaN in scratch memory what it takes for zero there, a guard
// after it what it writes beyond. The second run has other inputs in other memory: a result kept from the first call is
// wrong. The third has the second one's inputs in the first one's memory: a result kept for a pointer is wrong, and so
// is one kept for a number of calls.
Verification verify(Runner& runner, Workload& workload, Executor& executor) {
  for (const int set : {0, 1}) workload.expected(set, executor);  // before the variant can touch an input
  Verifier verifier(runner, workload, executor);
  const PoisonedScratch poisoned(executor);
  const auto restore = [&] {  // a variant that fails may have written anywhere
    for (int set = 0; set < workload.sets(); ++set) workload.restore(set, executor);
  };
  try {
    verifier.run_and_inspect(0);
    if (verifier.result.passed()) verifier.run_and_inspect(1);
    if (verifier.result.passed()) {
      workload.exchange_inputs(0, 1, executor);
      verifier.run_and_inspect(0);
    }
    // All elements, also where only a sample is compared with the reference.
    if (verifier.result.passed()) verifier.result.failure = find_disagreement(workload.set(1), workload.set(0));
  } catch (...) {
    restore();
    throw;
  }
  if (!verifier.result.passed()) restore();
  return verifier.result;
}

Verification check_outputs(Runner& runner, Workload& workload, int set, Executor& executor) {
  Verifier verifier(runner, workload, executor);
  verifier.inspect(set, 0);
  return verifier.result;
}

}  // namespace wkv
