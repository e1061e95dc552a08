// Every registered variant of every registered operator, through the verifier that the benchmark uses.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "harness/compare.hpp"
#include "harness/verify.hpp"

namespace wkv {
namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

// All, but with AddressSanitizer, which sees the same code in fewer, every third of each dtype.
std::vector<Problem> some(std::vector<Problem> problems) {
  if (!kSanitized) return problems;
  std::vector<Problem> kept;
  for (size_t i = 0; i < problems.size(); i += 3) kept.push_back(problems[i]);
  return kept;
}

// Lengths around the sizes of vectors, blocks and chunks; then batches and heads, head sizes, and something longer;
// then windows, for the operators that have one.
std::vector<Problem> test_problems() {
  std::vector<Problem> problems;
  for (const int64_t T : {1, 2, 15, 16, 17, 63, 64, 65, 100, 257}) problems.push_back({.T = T, .H = 2, .N = 64});
  for (const int64_t B : {1, 2, 3}) {
    for (const int64_t H : {1, 2, 3, 5}) problems.push_back({.B = B, .T = 37, .H = H, .N = 16});
  }
  for (const int64_t N : {8, 16, 32, 48, 64, 128}) {
    for (const int64_t T : {17, 66}) problems.push_back({.T = T, .H = 2, .N = N});
  }
  problems.push_back({.T = 1000, .H = 1, .N = 64});
  problems.push_back({.B = 2, .T = 1027, .H = 1, .N = 32});
  problems.push_back({.T = 517, .H = 1, .N = 128});
  for (const int64_t N : {8, 40}) problems.push_back({.T = 1001, .H = 1, .N = N});

  for (const int64_t T : {1, 2, 16, 17, 64, 65, 257, 1000}) {
    problems.push_back({.B = 1, .T = T, .H = 3, .N = 64, .mode = Mode::decode});
  }
  for (const int64_t B : {1, 2, 3}) {
    for (const int64_t H : {1, 2, 5}) {
      problems.push_back({.B = B, .T = 37, .H = H, .N = 16, .mode = Mode::decode});
    }
  }
  for (const int64_t N : {8, 16, 32, 48, 128}) {
    problems.push_back({.B = 2, .T = 33, .H = 2, .N = N, .mode = Mode::decode});
  }
  for (const int64_t window : {0, 1, 2, 63, 64, 65, 99, 100})
    problems.push_back({.T = 100, .H = 2, .N = 16, .window = window});
  for (const int64_t window : {0, 30, 127}) {
    problems.push_back({.B = 2, .T = 300, .H = 1, .N = 48, .window = window});
    problems.push_back({.T = 300, .H = 1, .N = 64, .mode = Mode::decode, .window = window});
  }
  const size_t shapes = problems.size();
  for (const DType dtype : {DType::bf16, DType::f16}) {
    for (size_t i = 0; i < shapes; ++i) {
      problems.push_back(problems[i]);
      problems.back().dtype = dtype;
    }
  }
  return some(problems);
}

// What did not run, and why: said once for each reason.
class Skipped {
 public:
  ~Skipped() {
    for (const auto& [what, count] : count_) fmt::print("SKIPPED {} ({} problems)\n", what, count);
  }
  void add(const Variant& variant, const std::string& reason) {
    ++count_[fmt::format("{} {}: {}", variant.op, variant.name, reason)];
  }

 private:
  std::map<std::string, int> count_;
};

// With 1, 2 and 3 threads each, or with these in turns.
void verify_all(InputKind kind, bool every_thread_count) {
  std::map<int, std::unique_ptr<Executor>> executors;
  for (const int threads : {1, 2, 3}) executors[threads] = std::make_unique<Executor>(threads);
  Skipped skipped;
  for (const Operator* op : all_operators()) {
    bool any = false;
    int index = 0;
    for (const Problem& problem : test_problems()) {
      ++index;
      if (problem.window && !op->windowed) continue;
      // AFT's reference takes an exponential a pair and channel: what is long, in one dtype only.
      if (op->windowed && problem.dtype != DType::f32 && op->cost(problem).flops > 3e7) continue;
      Workload workload(*op, problem, generated_inputs(kind, 1), 2, *executors[2]);
      for (const Variant* variant : variants_of(op->name)) {
        if (const auto reason = unsupported(*variant, problem)) {
          skipped.add(*variant, *reason);
          continue;
        }
        // FLOPs: some tenths of a second; fewer where a token takes a launch, or a wait of all blocks for each other.
        const double most_emulated = kSanitized || op->forgets_after > 0 ? 3e6 : 9e6;
        if (variant->device == DeviceKind::cuda && op->cost(problem).flops > most_emulated) {
          skipped.add(*variant, "too long for the emulated device");
          continue;
        }
        for (const auto& [threads, executor] : executors) {
          // A CUDA variant does not see the host's threads.
          if (every_thread_count ? variant->device == DeviceKind::cuda && threads != 2 : threads != 1 + index % 3)
            continue;
          const auto runner = make_runner(*variant, workload, *executor);
          const Verification verification = verify(*runner, workload, *executor);
          any = true;
          INFO(op->name << " " << variant->name << " " << to_string(problem) << " threads:" << threads);
          INFO("error / tolerance: " << verification.tolerance_ratio);
          CHECK(verification.failure == "");
        }
      }
    }
    INFO(op->name);
    CHECK(any);
  }
}

TEST_CASE("variants: every variant agrees with the reference on realistic inputs") {
  verify_all(InputKind::realistic, !kSanitized);
}

TEST_CASE("variants: every variant agrees with the reference on extreme inputs") {
  verify_all(InputKind::extreme, false);
}

}  // namespace
}  // namespace wkv
