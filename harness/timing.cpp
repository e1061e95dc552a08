#include "harness/timing.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace wkv {
namespace {

using Json = nlohmann::ordered_json;
using Run = benchmark::BenchmarkReporter::Run;

// A run as Google Benchmark's JSONReporter writes it, under the cell's name alone: the reporter would append the
// settings of the timing to it.
Json json_of(const Run& run, const std::string& name) {
  const bool aggregate = run.run_type == Run::RT_Aggregate;
  Json json{{"name", aggregate ? name + "_" + run.aggregate_name : name}, {"family_index", run.family_index},
            {"per_family_instance_index", run.per_family_instance_index}, {"run_name", name},
            {"run_type", aggregate ? "aggregate" : "iteration"},          {"repetitions", run.repetitions}};
  if (!aggregate) json["repetition_index"] = run.repetition_index;
  json["threads"] = run.threads;
  if (aggregate) {
    json["aggregate_name"] = run.aggregate_name;
    json["aggregate_unit"] = run.aggregate_unit == benchmark::kTime ? "time" : "percentage";
  }
  json["iterations"] = run.iterations;
  if (aggregate && run.aggregate_unit == benchmark::kPercentage) {
    json["real_time"] = run.real_accumulated_time;
    json["cpu_time"] = run.cpu_accumulated_time;
  } else {
    json["real_time"] = run.GetAdjustedRealTime();
    json["cpu_time"] = run.GetAdjustedCPUTime();
  }
  json["time_unit"] = benchmark::GetTimeUnitString(run.time_unit);
  return json;
}

class Collector final : public benchmark::BenchmarkReporter {
 public:
  explicit Collector(std::string name) : name_(std::move(name)) {}

  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) runs_.push_back(json_of(run, name_));
  }
  Json take() { return std::exchange(runs_, Json::array()); }

 private:
  std::string name_;
  Json runs_ = Json::array();
};

// What a run with a clock of its own takes with all that is around it: the longer of that and of what its clock says.
double seconds_with_all(Runner& runner, int set) {
  const auto start = std::chrono::steady_clock::now();
  const double timed = runner.timed_run(set).value();
  return std::max(timed, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
}

// Keeps the device at work for as long as a repetition shall take, so that it leaves its idle clock, and tells how many
// iterations make a repetition of that length. Google Benchmark would go by the device's clock alone, and a run of
// microseconds has many times as much around it.
int64_t warm_up_for_iterations(Runner& runner, const Workload& workload, double min_seconds) {
  double fastest = std::numeric_limits<double>::max(), total = 0;
  for (int run = 0; total < min_seconds; ++run) {
    const double seconds = seconds_with_all(runner, run % workload.sets());
    fastest = std::min(fastest, seconds);
    total += seconds;
  }
  return std::max<int64_t>(1, std::llround(std::ceil(min_seconds / fastest)));
}

}  // namespace

Timing time_runner(const std::string& name, Runner& runner, const Workload& workload, const TimingSettings& settings) {
  for (int set = 0; set < workload.sets(); ++set) runner.upload(set);
  const bool has_own_clock = runner.timed_run(0).has_value();  // the warm-up tells
  const int64_t iterations = has_own_clock ? warm_up_for_iterations(runner, workload, settings.min_seconds) : 0;
  for (int set = 0; set < workload.sets(); ++set) {
    workload.set(set).poison_outputs();
    runner.upload_outputs(set);
  }
  Timing timing;
  int next_set = 0;
  std::exception_ptr error;
  const auto body = [&](benchmark::State& state) {
    try {
      for ([[maybe_unused]] auto iteration : state) {
        timing.last_set = std::exchange(next_set, (next_set + 1) % workload.sets());
        if (const auto seconds = runner.timed_run(timing.last_set)) state.SetIterationTime(*seconds);
      }
    } catch (...) {
      if (!error) error = std::current_exception();
      state.SkipWithError("the variant threw an exception");
    }
  };
  benchmark::ClearRegisteredBenchmarks();
  auto* benchmark = benchmark::RegisterBenchmark(name.c_str(), body)
                        ->Repetitions(settings.repetitions)
                        ->MeasureProcessCPUTime()
                        ->Unit(benchmark::kNanosecond);
  if (has_own_clock) {
    benchmark->Iterations(iterations)->UseManualTime();
  } else {
    benchmark->MinTime(settings.min_seconds)->UseRealTime();
  }
  Collector collector(name);
  benchmark::RunSpecifiedBenchmarks(&collector, "all");
  benchmark::ClearRegisteredBenchmarks();
  if (error) std::rethrow_exception(error);
  timing.runs = collector.take();
  return timing;
}

Json benchmark_context() {
  std::ostringstream text;
  benchmark::JSONReporter reporter;
  reporter.SetOutputStream(&text);
  reporter.ReportContext(benchmark::BenchmarkReporter::Context());
  reporter.Finalize();
  return Json::parse(text.str()).at("context");
}

}  // namespace wkv
