// Timing of a verified variant with Google Benchmark.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "harness/runner.hpp"
#include "harness/workload.hpp"

namespace wkv {

struct TimingSettings {
  int repetitions = 5;
  double min_seconds = 0.05;  // of a repetition, and of a GPU's warm-up: it iterates until it has taken that long
};

struct Timing {
  nlohmann::ordered_json runs;  // Google Benchmark's entries: one per repetition, then its aggregates
  int last_set = 0;             // on which the last timed iteration ran
};

// Times the runner after a warm-up. Iterations rotate over the workload's sets, whose outputs are poisoned beforehand,
// so that what is found in them afterwards was computed while the clock ran. Exceptions of the variant pass through.
Timing time_runner(const std::string& name, Runner& runner, const Workload& workload, const TimingSettings& settings);

// Google Benchmark's description of the machine and of itself.
nlohmann::ordered_json benchmark_context();

}  // namespace wkv
