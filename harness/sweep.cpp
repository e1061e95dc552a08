#include "harness/sweep.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>

#include "harness/arguments.hpp"
#include "harness/counts.hpp"
#include "harness/device/device_ceilings.hpp"
#include "harness/run_times.hpp"
#include "harness/timing.hpp"
#include "harness/units.hpp"
#include "harness/verify.hpp"

namespace wkv {
namespace {

constexpr int kSets = 2;              // the fewest that rotation needs, so that what a cache can hold stays in it
constexpr int kLeastRepetitions = 3;  // for a median, where the budget does not allow for all
constexpr int kUntimedRuns = 4;       // of verification and warm-up

struct Cell {
  const Group* group;
  const Variant* variant;
  int threads;
};

// What has been probed once, at whatever length.
struct Probed {
  const Variant* variant;
  Problem shape;
  int threads;
  bool operator==(const Probed&) const = default;
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

DeviceKind device_kind(const SweepSettings& settings) {
  if (settings.device == nullptr) return DeviceKind::cpu;
  return settings.device->properties().emulated ? DeviceKind::emulated : DeviceKind::cuda;
}

// What is known of a cell before it runs.
CellResult plan(const Cell& cell, const SweepSettings& settings) {
  const auto& [op, problem, source, variants] = *cell.group;
  const Cost cost = op->cost(problem);
  const size_t sets_bytes = kSets * Workload::set_bytes(*op, problem);
  const size_t extra = extra_bytes(*cell.variant, problem, cell.threads);
  CellResult result{.op = op->name,
                    .variant = cell.variant->name,
                    .device = std::string(name_of(device_kind(settings))),
                    .mode = std::string(name_of(problem.mode)),
                    .dtype = std::string(name_of(problem.dtype)),
                    .products = std::string(name_of(products(*cell.variant, problem))),
                    .B = problem.B,
                    .T = problem.T,
                    .H = problem.H,
                    .N = problem.N,
                    .window = problem.window,
                    .run_threads = cell.threads,
                    .inputs = source.name,
                    .seed = source.seed,
                    .repetitions_requested = settings.repetitions,
                    .sets = kSets,
                    .working_set_bytes = sets_bytes,
                    .flops = cost.flops,
                    .bytes = cost.bytes,
                    .extra_bytes = extra,
                    .memory_bytes = sets_bytes + extra};
  if (const auto ceilings = settings.ceilings.find(cell.threads); ceilings != settings.ceilings.end()) {
    result.floor_ns = 1e9 * floor_seconds(ceilings->second, cost, products(*cell.variant, problem), sets_bytes);
  }
  return result;
}

// Throws UsageError where the inputs themselves are no good.
std::unique_ptr<Workload> make_workload(const Group& group, Executor& executor) {
  try {
    auto workload = std::make_unique<Workload>(*group.op, group.problem, group.source, kSets, executor);
    for (int set = 0; set < kSets; ++set) workload->expected(set, executor);
    return workload;
  } catch (const std::runtime_error& error) {
    throw UsageError(fmt::format("{} inputs for {}: {}", group.source.name, to_string(group.problem), error.what()));
  }
}

class Sweep {
 public:
  Sweep(const std::vector<Group>& groups, const SweepSettings& settings, SweepObserver& observer)
      : settings_(settings), observer_(observer), start_(std::chrono::steady_clock::now()) {
    for (const Group& group : groups) {
      for (const Variant* variant : group.variants) {
        for (const int threads : settings.threads) cells_.push_back({&group, variant, threads});
      }
    }
    for (const Cell& cell : cells_) known_.push_back(observer.known(plan(cell, settings)));
    for (const int threads : settings.threads) {
      auto& executor = executors_[threads];
      if (!executor) executor = std::make_unique<Executor>(threads);
    }
  }

  void run() {
    while (next_ < cells_.size()) run_group();
  }

 private:
  void run_group();
  void run_cell(const Cell& cell, Workload& workload);
  void verify_and_time(const Cell& cell, Workload& workload, CellResult& result);
  int affordable_repetitions(double run_seconds, double seconds_spent) const;
  std::optional<std::string> reason_to_skip(const Cell& cell, const CellResult& planned);
  void probe_if_in_doubt(const Cell& cell);
  std::optional<double> predicted_cell_seconds(const Cell& cell) const;
  std::string no_time_left() const;
  bool is_too_late_for(const Cell& cell, const CellResult& planned) const;
  void check_device(const CellResult& result);
  void skip(CellResult planned, std::string reason);
  void end(const CellResult& result);
  SweepProgress progress() const;

  const SweepSettings& settings_;
  SweepObserver& observer_;
  std::vector<Cell> cells_;
  std::vector<std::optional<CellResult>> known_;  // of each cell
  size_t next_ = 0;                               // the first cell whose outcome is open
  std::map<int, std::unique_ptr<Executor>> executors_;
  RunTimes run_times_;
  std::vector<Probed> probed_;
  std::chrono::steady_clock::time_point start_;
  double host_seconds_per_byte_ = 0;  // what the latest large cell took beside its runs, inputs and checks above all
  std::string device_lost_;           // the reason not to run anything more; empty while there is none
};

SweepProgress Sweep::progress() const {
  SweepProgress progress{.done = static_cast<int>(next_), .total = static_cast<int>(cells_.size())};
  for (size_t i = next_; i < cells_.size(); ++i) {
    if (known_[i]) continue;
    constexpr double kUnknown = 0.5;
    const double seconds = predicted_cell_seconds(cells_[i]).value_or(kUnknown);
    if (seconds <= settings_.cell_seconds) progress.seconds_left += seconds;
  }
  return progress;
}

void Sweep::end(const CellResult& result) {
  ++next_;
  observer_.ended(result, progress());
}

void Sweep::skip(CellResult planned, std::string reason) {
  planned.status = "skipped";
  planned.reason = std::move(reason);
  end(planned);
}

std::optional<double> Sweep::predicted_cell_seconds(const Cell& cell) const {
  const auto run = run_times_.predict(*cell.group->op, *cell.variant, cell.group->problem, cell.threads);
  if (!run) return std::nullopt;
  double seconds = kUntimedRuns * run->seconds;
  if (!settings_.verify_only) {
    const int repetitions = affordable_repetitions(run->seconds, seconds);
    seconds += repetitions * std::max(run->seconds, settings_.repetition_seconds);
  }
  return seconds;
}

// As many repetitions as were asked for, but down to three where the budget of the cell would be exceeded.
int Sweep::affordable_repetitions(double run_seconds, double seconds_spent) const {
  const double repetition = std::max(run_seconds, settings_.repetition_seconds);
  const double affordable = (settings_.cell_seconds - seconds_spent) / repetition;
  const int least = std::min(kLeastRepetitions, settings_.repetitions);
  return affordable >= settings_.repetitions ? settings_.repetitions : std::max(least, static_cast<int>(affordable));
}

std::optional<std::string> Sweep::reason_to_skip(const Cell& cell, const CellResult& planned) {
  const auto& [op, problem, source, variants] = *cell.group;
  if (auto reason = unsupported(*cell.variant, problem, settings_.device)) return reason;
  if (planned.memory_bytes > settings_.memory_bytes) {
    return fmt::format("needs {}, more than the {} of --memory",
                       format_bytes(static_cast<double>(planned.memory_bytes)),
                       format_bytes(static_cast<double>(settings_.memory_bytes)));
  }
  if (seconds_since(start_) > settings_.run_seconds || !device_lost_.empty()) {
    return device_lost_.empty() ? no_time_left() : device_lost_;
  }
  probe_if_in_doubt(cell);
  if (is_too_late_for(cell, planned)) return no_time_left();
  const auto seconds = predicted_cell_seconds(cell);
  if (seconds && *seconds > settings_.cell_seconds) {
    return fmt::format("predicted to take {}, more than the {} of --cell-seconds", format_seconds(*seconds),
                       format_seconds(settings_.cell_seconds));
  }
  return std::nullopt;
}

// A cell that would be skipped by what is known so far, without knowing how its time grows with the length.
void Sweep::probe_if_in_doubt(const Cell& cell) {
  const auto& [op, problem, source, variants] = *cell.group;
  const auto run = run_times_.predict(*op, *cell.variant, problem, cell.threads);
  const double expected = predicted_cell_seconds(cell).value_or(kUntimedRuns * pessimistic_seconds(op->cost(problem))),
               budget = std::min(settings_.cell_seconds, settings_.run_seconds - seconds_since(start_));
  if (expected <= budget || (run && run->founded)) return;
  Probed probed{cell.variant, problem, cell.threads};
  probed.shape.T = 0;
  if (std::find(probed_.begin(), probed_.end(), probed) != probed_.end()) return;
  probed_.push_back(probed);
  try {
    const auto runs = probe(*op, *cell.variant, problem, *executors_.at(cell.threads), settings_.device, budget / 4);
    for (const TimedRun& each : runs) run_times_.observe(*cell.variant, each.problem, cell.threads, each.seconds);
  } catch (const std::exception&) {  // verification will say what is wrong with the variant
  }
}

bool Sweep::is_too_late_for(const Cell& cell, const CellResult& planned) const {
  const double expected = predicted_cell_seconds(cell).value_or(0) +
                          host_seconds_per_byte_ * static_cast<double>(planned.working_set_bytes);
  return seconds_since(start_) + expected > settings_.run_seconds;
}

std::string Sweep::no_time_left() const {
  return fmt::format("{} of the {} of --run-seconds", kNoTimeLeft, format_seconds(settings_.run_seconds));
}

// A kernel's fault, an access beyond all memory say, ends a GPU's work for this process: what came after would only
// fail likewise.
void Sweep::check_device(const CellResult& result) {
  if (settings_.device == nullptr || result.status != "failed") return;
  try {
    settings_.device->synchronize();
  } catch (const std::exception&) {
    device_lost_ = fmt::format("{} in {} before", kDeviceLost, result.name());
  }
}

// The cells of one group: they share a workload, which is made only if one of them needs it.
void Sweep::run_group() {
  const Group& group = *cells_[next_].group;
  std::unique_ptr<Workload> workload;
  while (next_ < cells_.size() && cells_[next_].group == &group) {
    const Cell& cell = cells_[next_];
    if (const auto& known = known_[next_]) {
      if (known->timed()) {
        run_times_.observe(*cell.variant, group.problem, cell.threads, known->median_ns() * 1e-9);
      }
      ++next_;
      continue;
    }
    const CellResult planned = plan(cell, settings_);
    observer_.begun(planned, progress());
    if (auto reason = reason_to_skip(cell, planned)) {
      skip(planned, std::move(*reason));
      continue;
    }
    const auto start = std::chrono::steady_clock::now();
    try {
      Executor& widest = *executors_.rbegin()->second;
      if (!workload) workload = make_workload(group, widest);
      run_cell(cell, *workload);
    } catch (const std::bad_alloc&) {
      skip(planned,
           fmt::format("out of memory; it needs about {}", format_bytes(static_cast<double>(planned.memory_bytes))));
    }
    constexpr size_t kLarge = size_t{256} << 20;  // else what a cell takes is not in proportion to its bytes
    if (planned.working_set_bytes >= kLarge) {
      const double runs = predicted_cell_seconds(cell).value_or(0);
      host_seconds_per_byte_ =
          std::max(0.0, seconds_since(start) - runs) / static_cast<double>(planned.working_set_bytes);
    }
  }
}

void Sweep::run_cell(const Cell& cell, Workload& workload) {
  CellResult result = plan(cell, settings_);
  try {
    verify_and_time(cell, workload, result);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    result.status = "failed";
    result.reason = fmt::format("threw an exception: {}", error.what());
  }
  check_device(result);
  end(result);
}

void Sweep::verify_and_time(const Cell& cell, Workload& workload, CellResult& result) {
  const auto start = std::chrono::steady_clock::now();
  Executor& executor = *executors_.at(cell.threads);
  const auto runner = make_runner(*cell.variant, workload, executor, settings_.device);
  const auto observe = [&](double seconds) {
    run_times_.observe(*cell.variant, cell.group->problem, cell.threads, seconds);
  };
  const auto judge = [&](const Verification& verification, std::string_view when) {
    result.error = verification.error;
    result.tolerance_ratio = verification.tolerance_ratio;
    if (verification.passed()) return true;
    result.status = "failed";
    result.reason = fmt::format("{}{}", when, verification.failure);
    return false;
  };
  const Verification verification = verify(*runner, workload, executor);
  result.sample = workload.sample().description;
  if (!judge(verification, "")) return;
  observe(verification.fastest_seconds);
  result.status = "verified";
  if (auto* emulated = dynamic_cast<EmulatedDevice*>(settings_.device); emulated && !settings_.verify_only) {
    emulated->clear_counts();
    runner->run(0);
    result.kernels = json_of(emulated->counts());
    result.status = "counted";
  } else if (!settings_.verify_only) {
    const TimingSettings timing_settings{
        .repetitions = affordable_repetitions(verification.fastest_seconds, seconds_since(start)),
        .min_seconds = settings_.repetition_seconds};
    const Timing timing = time_runner(result.name(), *runner, workload, timing_settings);
    if (!judge(check_outputs(*runner, workload, timing.last_set, executor), "after timing: ")) return;
    result.status = "timed";
    result.runs = timing.runs;
    result.noisy = result.spread() > kNoisySpread;
    if (settings_.device != nullptr) result.clock_hz = measure_clock(*settings_.device);
    observe(result.median_ns() * 1e-9);
  }
  result.extra_bytes = runner->peak_extra_bytes();
  result.memory_bytes = result.working_set_bytes + result.extra_bytes;
}

}  // namespace

void run_sweep(const std::vector<Group>& groups, const SweepSettings& settings, SweepObserver& observer) {
  Sweep(groups, settings, observer).run();
}

}  // namespace wkv
