// Outcomes of cells with round numbers.
#pragma once

#include <string>
#include <utility>

#include "harness/results.hpp"

namespace wkv::test {

inline nlohmann::ordered_json run_of(const std::string& name, const std::string& aggregate, double time) {
  nlohmann::ordered_json run{{"name", aggregate.empty() ? name : name + "_" + aggregate},
                             {"run_name", name},
                             {"run_type", aggregate.empty() ? "iteration" : "aggregate"}};
  if (!aggregate.empty()) run["aggregate_name"] = aggregate;
  run["iterations"] = 10;
  run["real_time"] = time;
  run["cpu_time"] = time;
  run["time_unit"] = "ns";
  return run;
}

inline CellResult timed_cell(int64_t T, double time_ns) {
  CellResult cell{.op = "wkv5",
                  .variant = "cpu_naive",
                  .device = "cpu",
                  .mode = "prefill",
                  .dtype = "f32",
                  .products = "f32",
                  .B = 2,
                  .T = T,
                  .H = 4,
                  .N = 8,
                  .run_threads = 2,
                  .inputs = "realistic",
                  .seed = 0xffffffffffffffffu,
                  .repetitions_requested = 3,
                  .sets = 2,
                  .working_set_bytes = 4096};
  cell.status = "timed";
  cell.error = 1e-7;
  cell.tolerance_ratio = 0.25;
  cell.sample = "all";
  cell.flops = 4000;
  cell.bytes = 2000;
  cell.extra_bytes = 64;
  cell.memory_bytes = 4160;
  cell.floor_ns = time_ns / 4;
  for (const double factor : {0.9, 1.0, 1.3}) cell.runs.push_back(run_of(cell.name(), "", factor * time_ns));
  for (const auto& [name, value] : {std::pair("mean", 1.0667 * time_ns), std::pair("median", time_ns),
                                    std::pair("stddev", 0.2 * time_ns), std::pair("cv", 0.2)}) {
    cell.runs.push_back(run_of(cell.name(), name, value));
  }
  return cell;
}

inline CellResult skipped_cell(int64_t T) {
  CellResult cell = timed_cell(T, 1);
  cell.runs = nlohmann::ordered_json::array();
  cell.status = "skipped";
  cell.reason = "predicted to take 5 h, more than the 60.0 s of --cell-seconds";
  cell.error = cell.tolerance_ratio = CellResult::kNone;
  return cell;
}

}  // namespace wkv::test
