#include "harness/timing.hpp"

#include <benchmark/benchmark.h>

#include <exception>
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

}  // namespace

Timing time_runner(const std::string& name, Runner& runner, const Workload& workload, const TimingSettings& settings) {
  for (int set = 0; set < workload.sets(); ++set) runner.upload(set);
  const bool has_own_clock = runner.timed_run(0).has_value();  // the warm-up tells
  for (int set = 0; set < workload.sets(); ++set) {
    workload.set(set).poison_outputs();
    runner.upload(set);
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
                        ->MinTime(settings.min_seconds)
                        ->MeasureProcessCPUTime()
                        ->Unit(benchmark::kNanosecond);
  has_own_clock ? benchmark->UseManualTime() : benchmark->UseRealTime();
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
