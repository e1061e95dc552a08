#include "harness/sweep.hpp"

#include <catch2/catch.hpp>
#include <chrono>
#include <new>
#include <stdexcept>
#include <thread>

#include "harness/arguments.hpp"

namespace wkv {
namespace {

using Catch::Matchers::Contains;

// The registered naive variant, with something done before and after it.
Variant planted(const std::string& name, std::function<void(const TensorAddresses&, const Problem&)> after) {
  Variant variant = *variants_of("wkv5").at(0);
  for (const Variant* candidate : variants_of("wkv5")) {
    if (candidate->name == "cpu_naive") variant = *candidate;
  }
  variant.name = name;
  variant.run = [run = variant.run, after](const TensorAddresses& tensors, const Problem& problem, Executor& executor) {
    run(tensors, problem, executor);
    after(tensors, problem);
  };
  return variant;
}

Variant right() {
  return planted("right", [](const TensorAddresses&, const Problem&) {});
}

class Recorder final : public SweepObserver {
 public:
  std::optional<CellResult> known(const CellResult& planned) override {
    for (const CellResult& result : earlier) {
      if (result.name() == planned.name()) return result;
    }
    return std::nullopt;
  }
  void begun(const CellResult& planned, const SweepProgress&) override { names.push_back(planned.name()); }
  void ended(const CellResult& result, const SweepProgress& progress) override {
    results.push_back(result);
    last = progress;
  }

  std::vector<CellResult> earlier, results;
  std::vector<std::string> names;
  SweepProgress last;
};

SweepSettings quick() {
  SweepSettings settings;
  settings.repetitions = 3;
  settings.repetition_seconds = 0.001;
  return settings;
}

Group group_of(std::vector<const Variant*> variants, int64_t T = 8) {
  return {&operator_named("wkv5"),
          {.T = T, .H = 2, .N = 16},
          generated_inputs(InputKind::realistic, 3),
          std::move(variants)};
}

Recorder swept(const std::vector<Group>& groups, const SweepSettings& settings = quick()) {
  Recorder recorder;
  run_sweep(groups, settings, recorder);
  return recorder;
}

CellResult outcome(const Variant& variant, const SweepSettings& settings = quick(), int64_t T = 8) {
  const Recorder recorder = swept({group_of({&variant}, T)}, settings);
  REQUIRE(recorder.results.size() == 1);
  return recorder.results[0];
}

TEST_CASE("sweep: a right variant is verified and timed, and everything about it recorded") {
  SweepSettings settings = quick();
  settings.ceilings[1] = {.copy = {{1 << 20, 1e12}}, .fma_flops_per_second = 1e9};
  const CellResult result = outcome(right(), settings);
  CHECK(result.status == "timed");
  CHECK(result.reason.empty());
  CHECK(result.name() == "wkv5/right/f32/prefill/B:1/T:8/H:2/N:16/threads:1/realistic");
  CHECK(result.seed == 3);
  CHECK(result.sample == "all");
  CHECK(result.error < 1e-5);
  CHECK(result.tolerance_ratio < 1);
  CHECK(result.repetitions() == 3);
  CHECK(result.median_ns() > 0);
  CHECK(result.flops == 4 * 8 * 2 * 16 * 16);
  CHECK(result.floor_ns == Approx(result.flops));  // at 1 GFLOP/s, with next to no bytes
  CHECK(result.sets == 2);
  CHECK(result.working_set_bytes >= 2 * static_cast<size_t>(result.bytes));
  CHECK(result.memory_bytes == result.working_set_bytes + result.extra_bytes);
}

TEST_CASE("sweep: a wrong variant fails with the reason and is not timed") {
  const Variant wrong =
      planted("wrong", [](const TensorAddresses& set, const Problem&) { set.as<float>("y")[5] += 1; });
  const CellResult result = outcome(wrong);
  CHECK(result.status == "failed");
  CHECK_THAT(result.reason, Contains("y"));
  CHECK(result.tolerance_ratio > 1);
  CHECK(result.runs.empty());
  SweepSettings verify_only = quick();
  verify_only.verify_only = true;
  CHECK(outcome(wrong, verify_only).status == "failed");
}

TEST_CASE("sweep: a variant that becomes wrong while it is timed loses its time") {
  int runs = 0;
  const Variant tiring = planted("tiring", [&](const TensorAddresses& set, const Problem&) {
    if (++runs > 6) set.as<float>("y")[0] = 1e6f;
  });
  const CellResult result = outcome(tiring);
  CHECK(result.status == "failed");
  CHECK_THAT(result.reason, Contains("after timing"));
  CHECK(result.runs.empty());
}

TEST_CASE("sweep: --verify-only times nothing") {
  SweepSettings settings = quick();
  settings.verify_only = true;
  const CellResult result = outcome(right(), settings);
  CHECK(result.status == "verified");
  CHECK(result.error < 1e-5);
  CHECK(result.runs.empty());
}

TEST_CASE("sweep: an exception of a variant is its failure, and the sweep goes on") {
  const Variant throwing =
      planted("throwing", [](const TensorAddresses&, const Problem&) { throw std::runtime_error("no luck"); });
  const Variant good = right();
  const Recorder recorder = swept({group_of({&throwing, &good})});
  REQUIRE(recorder.results.size() == 2);
  CHECK(recorder.results[0].status == "failed");
  CHECK_THAT(recorder.results[0].reason, Contains("no luck"));
  CHECK(recorder.results[1].status == "timed");
}

TEST_CASE("sweep: what memory does not suffice for is skipped, whether foreseen or found out") {
  const Variant hungry = planted("hungry", [](const TensorAddresses&, const Problem&) { throw std::bad_alloc(); });
  const CellResult found_out = outcome(hungry);
  CHECK(found_out.status == "skipped");
  CHECK_THAT(found_out.reason, Contains("out of memory"));

  Variant greedy = right();
  greedy.extra_bytes = [](const Problem&, int threads) { return (size_t{1} << 30) * static_cast<size_t>(threads); };
  SweepSettings settings = quick();
  settings.threads = {1, 3};
  settings.memory_bytes = size_t{2} << 30;
  const Recorder recorder = swept({group_of({&greedy})}, settings);
  REQUIRE(recorder.results.size() == 2);
  CHECK(recorder.results[0].status == "timed");
  CHECK(recorder.results[1].status == "skipped");
  CHECK_THAT(recorder.results[1].reason, Contains("needs 3 GiB") && Contains("2 GiB of --memory"));
}

TEST_CASE("sweep: what a variant does not support is skipped with its reason") {
  Variant f32_only = right();
  f32_only.unsupported = [](const Problem& problem) -> std::optional<std::string> {
    if (problem.T % 3 == 0) return std::nullopt;
    return "T is not a multiple of 3";
  };
  CHECK(outcome(f32_only, quick(), 9).status == "timed");
  const CellResult result = outcome(f32_only, quick(), 8);
  CHECK(result.status == "skipped");
  CHECK(result.reason == "T is not a multiple of 3");
}

// A millisecond a token.
Variant slow() {
  return planted("slow", [](const TensorAddresses&, const Problem& problem) {
    std::this_thread::sleep_for(std::chrono::milliseconds(problem.T));
  });
}

TEST_CASE("sweep: a cell that would take too long by what shorter ones took is skipped with the prediction") {
  const Variant variant = slow();
  SweepSettings settings = quick();
  settings.cell_seconds = 1;
  const Recorder recorder =
      swept({group_of({&variant}, 16), group_of({&variant}, 64), group_of({&variant}, 4096)}, settings);
  REQUIRE(recorder.results.size() == 3);
  CHECK(recorder.results[0].status == "timed");
  CHECK(recorder.results[1].status == "timed");
  CHECK(recorder.results[2].status == "skipped");
  CHECK_THAT(recorder.results[2].reason, Contains("predicted to take") && Contains("1.00 s of --cell-seconds"));
}

TEST_CASE("sweep: a long cell that comes first is predicted from a short probe") {
  const Variant variant = slow();
  SweepSettings settings = quick();
  settings.cell_seconds = 0.02;  // where the prediction without any knowledge is above it too
  const auto start = std::chrono::steady_clock::now();
  const CellResult result = outcome(variant, settings, 1 << 15);  // half a minute for each run
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(10));
  CHECK(result.status == "skipped");
  CHECK_THAT(result.reason, Contains(" min "));
}

TEST_CASE("sweep: what a run takes at any length is not multiplied where a long cell follows a short one") {
  const Variant variant = planted("prepares_long", [](const TensorAddresses&, const Problem& problem) {
    std::this_thread::sleep_for(std::chrono::microseconds(20000 + 4 * problem.T));
  });
  SweepSettings settings = quick();
  settings.cell_seconds = 10;  // the second cell takes some 0.4 s, and 20 min in proportion to the first
  const Recorder recorder = swept({group_of({&variant}, 1), group_of({&variant}, 8192)}, settings);
  REQUIRE(recorder.results.size() == 2);
  CHECK(recorder.results[0].status == "timed");
  CHECK(recorder.results[1].status == "timed");
}

TEST_CASE("sweep: where not all repetitions fit the budget there are fewer, but three") {
  const Variant variant = slow();
  SweepSettings settings = quick();
  settings.repetitions = 50;
  settings.cell_seconds = 1.5;
  const CellResult result = outcome(variant, settings, 64);
  CHECK(result.status == "timed");
  CHECK(result.repetitions_requested == 50);
  CHECK(result.repetitions() >= 3);
  CHECK(result.repetitions() < 25);
}

TEST_CASE("sweep: what would not end in the time of the run is skipped, and what does still runs") {
  const Variant variant = slow();
  SweepSettings settings = quick();
  settings.cell_seconds = 1000;
  settings.run_seconds = 10;
  const Recorder recorder =
      swept({group_of({&variant}, 16), group_of({&variant}, 4096), group_of({&variant}, 17)}, settings);
  REQUIRE(recorder.results.size() == 3);
  CHECK(recorder.results[0].status == "timed");
  CHECK(recorder.results[1].status == "skipped");
  CHECK(recorder.results[1].reason == "no time left of the 10.0 s of --run-seconds");
  CHECK(recorder.results[2].status == "timed");
}

TEST_CASE("sweep: when the time of the run is over nothing more begins") {
  const Variant variant = slow();
  SweepSettings settings = quick();
  settings.run_seconds = 0.05;
  const Recorder recorder = swept({group_of({&variant}, 32), group_of({&variant}, 1)}, settings);
  REQUIRE(recorder.results.size() == 2);
  CHECK(recorder.results[0].status == "timed");  // begun in time, with nothing known of how long it would take
  CHECK(recorder.results[1].status == "skipped");
  CHECK_THAT(recorder.results[1].reason, Contains("no time left"));
}

TEST_CASE("sweep: cells whose outcomes are known do not run, and serve to predict the next") {
  Variant variant = right();
  Recorder recorder;
  for (const int64_t T : {8, 16}) {
    recorder.earlier.push_back(outcome(variant, quick(), T));
    for (auto& run : recorder.earlier.back().runs) run["real_time"] = 1e9 * static_cast<double>(T);
  }
  variant.run = [](const TensorAddresses&, const Problem&, Executor&) { FAIL("ran"); };
  SweepSettings settings = quick();
  settings.cell_seconds = 200;
  run_sweep({group_of({&variant}), group_of({&variant}, 16), group_of({&variant}, 8000)}, settings, recorder);
  REQUIRE(recorder.results.size() == 1);
  CHECK(recorder.results[0].T == 8000);
  CHECK(recorder.results[0].status == "skipped");
  CHECK(recorder.last.done == 3);
  CHECK(recorder.last.total == 3);
}

TEST_CASE("sweep: cells go by group, then variant, then threads") {
  const Variant a = right();
  Variant b = right();
  b.name = "also_right";
  SweepSettings settings = quick();
  settings.threads = {1, 2};
  settings.verify_only = true;
  const Recorder recorder = swept({group_of({&a, &b}, 1), group_of({&a}, 2)}, settings);
  const auto name = [](const std::string& variant, int T, int threads) {
    return "wkv5/" + variant + "/f32/prefill/B:1/T:" + std::to_string(T) +
           "/H:2/N:16/threads:" + std::to_string(threads) + "/realistic";
  };
  CHECK(recorder.names == std::vector<std::string>{name("right", 1, 1), name("right", 1, 2), name("also_right", 1, 1),
                                                   name("also_right", 1, 2), name("right", 2, 1), name("right", 2, 2)});
  CHECK(recorder.last.seconds_left == 0);
}

TEST_CASE("sweep: inputs that cannot be made are the user's error") {
  const Variant variant = right();
  Group group = group_of({&variant});
  group.source.fill = [](const TensorSet&, int, Executor&) { throw std::runtime_error("the file ended early"); };
  Recorder recorder;
  CHECK_THROWS_AS(run_sweep({group}, quick(), recorder), UsageError);
}

}  // namespace
}  // namespace wkv
