#include "harness/timing.hpp"

#include <catch2/catch.hpp>
#include <chrono>
#include <functional>
#include <thread>

namespace wkv {
namespace {

// A runner of which the test knows all that it did.
class RecordingRunner final : public Runner {
 public:
  using Run = std::function<std::optional<double>(int set)>;
  explicit RecordingRunner(Run run) : run_(std::move(run)) {}

  const Variant& variant() const override { return variant_; }
  void upload(int set) override { uploaded.push_back(set); }
  void upload_outputs(int set) override { uploaded_outputs.push_back(set); }
  void run(int set) override { run_(set); }
  std::optional<double> timed_run(int set) override {
    sets.push_back(set);
    return run_(set);
  }
  void download(int) override {}
  void download_outputs(int) override {}
  size_t peak_extra_bytes() const override { return 0; }

  std::vector<int> sets, uploaded, uploaded_outputs;

 private:
  Run run_;
  Variant variant_;
};

struct Fixture {
  Executor executor{1};
  Workload workload{
      operator_named("wkv5"), {.T = 2, .H = 1, .N = 8}, generated_inputs(InputKind::realistic, 1), 2, executor};
};

std::vector<nlohmann::ordered_json> iterations(const Timing& timing) {
  std::vector<nlohmann::ordered_json> runs;
  for (const auto& run : timing.runs) {
    if (run["run_type"] == "iteration") runs.push_back(run);
  }
  return runs;
}

TEST_CASE("timing: a run that sleeps for two milliseconds takes two milliseconds") {
  Fixture fixture;
  RecordingRunner runner([](int) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    return std::nullopt;
  });
  const Timing timing = time_runner("sleep", runner, fixture.workload, {.repetitions = 3, .min_seconds = 0.01});
  REQUIRE(iterations(timing).size() == 3);
  for (const auto& run : iterations(timing)) {
    CHECK(run["time_unit"] == "ns");
    CHECK(run["real_time"].get<double>() > 2e6);
    CHECK(run["real_time"].get<double>() < 2e7);
    CHECK(run["cpu_time"].get<double>() < 2e6);  // asleep
    CHECK(run["iterations"].get<int>() >= 5);
  }
}

TEST_CASE("timing: where a device has its own clock, that one counts") {
  Fixture fixture;
  RecordingRunner runner([](int) { return 0.25; });
  const Timing timing = time_runner("device", runner, fixture.workload, {.repetitions = 2, .min_seconds = 1});
  REQUIRE(iterations(timing).size() == 2);
  for (const auto& run : iterations(timing)) CHECK(run["real_time"].get<double>() == Approx(0.25e9));
}

TEST_CASE("timing: a repetition with a device's clock is as long as asked for with all that is around the runs") {
  Fixture fixture;
  RecordingRunner runner([](int) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    return 1e-6;
  });
  const Timing timing = time_runner("device", runner, fixture.workload, {.repetitions = 1, .min_seconds = 0.02});
  REQUIRE(iterations(timing).size() == 1);
  CHECK(iterations(timing)[0]["real_time"].get<double>() == Approx(1e3));
  CHECK(iterations(timing)[0]["iterations"].get<int>() > 1);
  CHECK(iterations(timing)[0]["iterations"].get<int>() <= 10);
}

TEST_CASE("timing: a device is warmed up for as long as a repetition takes") {
  Fixture fixture;
  RecordingRunner runner([](int) { return 0.01; });
  time_runner("device", runner, fixture.workload, {.repetitions = 1, .min_seconds = 0.095});
  CHECK(runner.sets.size() == 1 + 10 + 10);  // it tells its clock; warm-up; repetition
}

TEST_CASE("timing: entries are Google Benchmark's, under the cell's name alone") {
  Fixture fixture;
  RecordingRunner runner([](int set) { return set == 0 ? 0.001 : 0.003; });
  const Timing timing = time_runner("op/variant", runner, fixture.workload, {.repetitions = 4, .min_seconds = 0.01});
  REQUIRE(timing.runs.size() == 4 + 4);
  CHECK(timing.runs[0]["name"] == "op/variant");
  CHECK(timing.runs[3]["repetition_index"] == 3);
  CHECK(timing.runs[3]["repetitions"] == 4);
  std::vector<std::string> aggregates;
  for (size_t i = 4; i < 8; ++i) {
    CHECK(timing.runs[i]["run_name"] == "op/variant");
    CHECK(timing.runs[i]["run_type"] == "aggregate");
    aggregates.push_back(timing.runs[i]["aggregate_name"]);
    CHECK(timing.runs[i]["name"] == "op/variant_" + aggregates.back());
  }
  CHECK(aggregates == std::vector<std::string>{"mean", "median", "stddev", "cv"});
  CHECK(timing.runs[5]["real_time"].get<double>() == Approx(2e6).epsilon(0.1));  // half of each set
}

TEST_CASE("timing: a single repetition has no aggregates") {
  Fixture fixture;
  RecordingRunner runner([](int) { return 0.001; });
  CHECK(time_runner("once", runner, fixture.workload, {.repetitions = 1, .min_seconds = 0.01}).runs.size() == 1);
}

TEST_CASE("timing: iterations take the sets in turn and the last one is told") {
  Fixture fixture;
  RecordingRunner runner([](int) { return 0.001; });
  const Timing timing = time_runner("rotation", runner, fixture.workload, {.repetitions = 3, .min_seconds = 0.005});
  REQUIRE(runner.sets.size() > 3 * 5);
  const size_t last = runner.sets.size() - 1;
  for (size_t i = 0; i < 15; ++i) CHECK(runner.sets[last - i] == (timing.last_set + static_cast<int>(i)) % 2);
  CHECK(timing.last_set == runner.sets.back());
}

TEST_CASE("timing: outputs are poisoned after the warm-up and before the clock runs") {
  Fixture fixture;
  std::vector<uint32_t> found;
  RecordingRunner runner([&](int set) -> std::optional<double> {
    auto* y = fixture.workload.set(set).as<uint32_t>("y");
    found.push_back(y[0]);
    y[0] = 7;
    return 0.001;
  });
  time_runner("poison", runner, fixture.workload, {.repetitions = 1, .min_seconds = 0.0095});
  REQUIRE(found.size() == 1 + 10 + 10);
  CHECK(found[10] == 7);  // of the warm-up, which had written both
  CHECK(found[11] == TensorSet::kPoison);
  CHECK(found[12] == TensorSet::kPoison);
  CHECK(runner.uploaded == std::vector<int>{0, 1});
  CHECK(runner.uploaded_outputs == std::vector<int>{0, 1});
}

TEST_CASE("timing: an exception of the variant comes through, and the next one is timed as ever") {
  Fixture fixture;
  int runs = 0;
  RecordingRunner throwing([&](int) -> std::optional<double> {
    if (++runs == 3) throw std::runtime_error("out of luck");
    return 0.001;
  });
  const TimingSettings settings{.repetitions = 2, .min_seconds = 0.01};
  CHECK_THROWS_WITH(time_runner("throwing", throwing, fixture.workload, settings), "out of luck");
  RecordingRunner working([](int) { return 0.001; });
  CHECK(time_runner("working", working, fixture.workload, settings).runs.size() == 6);
}

TEST_CASE("timing: the context is Google Benchmark's own") {
  const auto context = benchmark_context();
  for (const auto* key : {"date", "host_name", "num_cpus", "mhz_per_cpu", "cpu_scaling_enabled", "caches", "load_avg",
                          "library_build_type"}) {
    CAPTURE(key);
    CHECK(context.contains(key));
  }
}

}  // namespace
}  // namespace wkv
