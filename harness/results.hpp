// The outcome of a cell (one variant on one problem), as it is stored, printed and resumed from.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "harness/problem.hpp"

namespace wkv {

struct CellResult {
  std::string op, variant, device, mode, dtype;
  std::string products;  // dtype of the factors of products
  int64_t B = 0, T = 0, H = 0, N = 0;
  std::optional<int64_t> window{};  // stored where there is one
  int run_threads = 0;
  std::string inputs;  // "realistic", "extreme" or a file's name
  uint64_t seed = 0;
  int repetitions_requested = 0;
  int sets = 0;                  // of inputs, over which timed iterations rotate
  size_t working_set_bytes = 0;  // of all sets together: says which level of memory holds them
  std::string status{};          // "timed", "counted", "verified", "skipped" or "failed"
  std::string reason{};          // why it was skipped or what failed
  double error = kNone;          // against the reference, relative to the output's scale
  double tolerance_ratio = kNone;
  std::string sample{};         // what was compared with the reference
  double flops = 0, bytes = 0;  // the least that any algorithm needs
  size_t extra_bytes = 0;       // scratch memory: the peak of the runs, or the prediction where there was none
  size_t memory_bytes = 0;      // input sets and scratch memory together
  double floor_ns = kNone;      // the least time on this machine, by its ceilings
  bool noisy = false;           // the spread of the repetitions is above kNoisySpread
  double clock_hz = kNone;      // of a GPU, measured right after the timing
  // What Google Benchmark reported, in its own format: an entry per repetition, then mean, median, stddev and cv.
  nlohmann::ordered_json runs = nlohmann::ordered_json::array();
  nlohmann::ordered_json kernels = nlohmann::ordered_json::array();  // what was counted in a run: counts.hpp

  static constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

  bool timed() const { return status == "timed"; }
  bool counted() const { return status == "counted"; }  // on the emulated device
  // "wkv5/cpu_serial/f32/prefill/B:1/T:1024/H:32/N:64/threads:2/realistic"
  std::string name() const;
  Problem problem() const;
  int64_t tokens() const { return B * problem().new_tokens(); }
  // Of the repetitions; kNone where there are none.
  double median_ns() const;
  double spread() const;    // standard deviation over mean
  int repetitions() const;  // made
};

constexpr double kNoisySpread = 0.05;

// What a time means for the cell. kNone where it is none.
struct Rates {
  double ns_per_token, tokens_per_second, gflops, gbytes_per_second, floor_share;
};
Rates rates_of(const CellResult& cell, double time_ns);

// Calls visit(name, member) for every stored field: the one list for files, CSV and resuming.
template <class Cell, class Visit>
void for_each_field(Cell& cell, const Visit& visit) {
  visit("op", cell.op), visit("variant", cell.variant), visit("device", cell.device), visit("mode", cell.mode);
  visit("dtype", cell.dtype), visit("products", cell.products);
  visit("B", cell.B), visit("T", cell.T), visit("H", cell.H), visit("N", cell.N);
  visit("run_threads", cell.run_threads), visit("inputs", cell.inputs), visit("seed", cell.seed);
  visit("repetitions_requested", cell.repetitions_requested), visit("sets", cell.sets);
  visit("working_set_bytes", cell.working_set_bytes), visit("status", cell.status), visit("reason", cell.reason);
  visit("error", cell.error), visit("tolerance_ratio", cell.tolerance_ratio), visit("sample", cell.sample);
  visit("flops", cell.flops), visit("bytes", cell.bytes), visit("extra_bytes", cell.extra_bytes);
  visit("memory_bytes", cell.memory_bytes), visit("floor_ns", cell.floor_ns), visit("noisy", cell.noisy);
  visit("clock_hz", cell.clock_hz), visit("window", cell.window);
}

// The cell as entries of Google Benchmark's format, each with all fields; a cell without runs becomes one entry.
std::vector<nlohmann::ordered_json> entries_of(const CellResult& cell);

// The cells behind entries. Throws std::runtime_error that names the first entry and key that are wrong.
std::vector<CellResult> cells_of(const nlohmann::ordered_json& entries);

}  // namespace wkv
