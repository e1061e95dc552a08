// bench_wkv: verifies and times the operators' variants. See --help.
#include <benchmark/benchmark.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>
#include <memory>
#include <random>
#include <utility>

#include "harness/device/cuda_device.hpp"
#include "harness/device/device_ceilings.hpp"
#include "harness/device/emulated_device.hpp"
#include "harness/interrupt.hpp"
#include "harness/machine.hpp"
#include "harness/options.hpp"
#include "harness/plan.hpp"
#include "harness/progress.hpp"
#include "harness/report.hpp"
#include "harness/results_file.hpp"
#include "harness/sweep.hpp"

namespace wkv {
namespace {

enum ExitCode { kSuccess = 0, kFailure = 1, kUsage = 2, kDeviceFailed = 3, kInterrupted = 130 };

// The device is none for the CPU.
ResultsFile open_results(const Options& options, const Device* device) {
  if (!options.resume.empty()) {
    ResultsFile file = ResultsFile::load(options.resume);
    check_same_machine(file, device == nullptr ? "" : device->properties().name);
    return file;
  }
  auto path = options.out;
  if (path.empty()) {
    path = program_directory() / "results" /
           fmt::format("bench_wkv-{:%Y-%m-%dT%H-%M-%S}.json", fmt::localtime(std::time(nullptr)));
  }
  return ResultsFile::create(path);
}

// Hands what the sweep finds out to the results file and to the user.
class Session final : public SweepObserver {
 public:
  Session(const Options& options, ResultsFile& file, Progress& progress)
      : options_(options), file_(file), progress_(progress) {}

  std::optional<CellResult> known(const CellResult& planned) override {
    auto earlier = file_.find(planned.name());
    if (!earlier || earlier->seed != planned.seed) return std::nullopt;
    const bool done =
        earlier->counted() || (earlier->timed() && earlier->repetitions_requested == planned.repetitions_requested);
    const bool verified = earlier->counted() || earlier->timed() || earlier->status == "verified";
    const bool kept = options_.keep_failed && earlier->status == "failed";
    if (earlier->device != planned.device || !(kept || (options_.verify_only ? verified : done))) return std::nullopt;
    any_failed_ |= kept;
    ++known_;
    return earlier;
  }
  void begun(const CellResult& planned, const SweepProgress& progress) override {
    if (known_ > 0 && !std::exchange(told_, true)) {
      progress_.say(fmt::format("{} of {} cells are in {} already", known_, progress.total, file_.path().string()));
    }
    progress_.begun(planned, progress);
  }
  void ended(const CellResult& result, const SweepProgress& progress) override {
    any_failed_ |= result.status == "failed";
    device_lost_ |= result.reason.starts_with(kDeviceLost);
    file_.add(result);
    progress_.ended(result, progress);
  }
  ExitCode exit_code() const { return device_lost_ ? kDeviceFailed : any_failed_ ? kFailure : kSuccess; }

 private:
  const Options& options_;
  ResultsFile& file_;
  Progress& progress_;
  int known_ = 0;
  bool told_ = false, any_failed_ = false, device_lost_ = false;
};

void print_results(Format format, const ResultsFile& file) {
  const std::string text = format == Format::json  ? file.document()
                           : format == Format::csv ? csv_text(file.cells())
                                                   : table_text(file.context(), file.cells());
  fmt::print("{}", text);
  std::fflush(stdout);
}

// Nothing for the emulated device.
std::map<int, Ceilings> ceilings_for(const std::vector<int>& thread_counts, Device* device) {
  std::map<int, Ceilings> ceilings;
  if (device != nullptr && device->properties().emulated) return ceilings;
  for (const int threads : thread_counts) {
    if (device != nullptr) {
      ceilings.emplace(threads, measure_ceilings(*device));
      continue;
    }
    Executor executor(threads);
    ceilings.emplace(threads, measure_ceilings(executor));
  }
  return ceilings;
}

// Nothing for the CPU.
std::unique_ptr<Device> open_device(const Options& options) {
  if (options.device == DeviceKind::cpu) return nullptr;
  if (options.device == DeviceKind::emulated) {
    return std::make_unique<EmulatedDevice>(EmulatedDeviceOptions{.threads = options.threads.back()});
  }
  try {
    return std::make_unique<CudaDevice>();
  } catch (const DeviceError& error) {
    throw UsageError(fmt::format("--device cuda: {}", error.what()));
  }
}

nlohmann::ordered_json json_of(const DeviceProperties& device) {
  return {{"name", device.name},
          {"driver", device.driver},
          {"emulated", device.emulated},
          {"architecture", device.architecture},
          {"multiprocessors", device.multiprocessors},
          {"memory_bytes", device.memory_bytes},
          {"l2_bytes", device.l2_bytes},
          {"l2", "cold"},  // when the clock of a timed run starts
          {"clock_hz", device.clock_hz}};
}

uint64_t seed_for(const Options& options, const ResultsFile& file) {
  if (options.seed) return *options.seed;
  return options.resume.empty() ? std::random_device()() : file.seed();
}

nlohmann::ordered_json context_of(const Options& options, const Device* device, const std::map<int, Ceilings>& ceilings,
                                  uint64_t seed) {
  auto context = make_context(ceilings, seed, options.arguments);
  if (device != nullptr) context["device"] = json_of(device->properties());
  return context;
}

int print_ceilings(const Options& options) {
  const std::unique_ptr<Device> device = open_device(options);
  fmt::print("{}", table_text(context_of(options, device.get(), ceilings_for(options.threads, device.get()), 0), {}));
  return kSuccess;
}

int run(const Options& options) {
  const std::unique_ptr<Device> device = open_device(options);
  ResultsFile file = open_results(options, device.get());
  Progress progress;
  const InterruptWatch watch([&] {
    const auto hold = file.hold();  // to the end: nothing is written any more
    progress.say("");
    print_results(options.format, file);
    progress.say(
        fmt::format("interrupted; what is complete is in {0}; to go on: bench_wkv --resume {0}", file.path().string()));
    std::_Exit(kInterrupted);
  });
  const uint64_t seed = seed_for(options, file);
  SweepSettings settings{.threads = options.threads,
                         .repetitions = options.repetitions,
                         .cell_seconds = options.cell_seconds,
                         .run_seconds = options.run_seconds,
                         .memory_bytes = options.memory_bytes,
                         .verify_only = options.verify_only,
                         .device = device.get()};
  const auto groups = make_groups(options, seed);
  const auto set_context = [&] {
    file.set_context(context_of(options, device.get(), settings.ceilings, seed));
    file.write();
  };
  set_context();
  if (!options.verify_only && options.device != DeviceKind::emulated) {
    progress.say("measuring the ceilings of the machine");
    settings.ceilings = ceilings_for(options.threads, device.get());
    set_context();
  }
  Session session(options, file, progress);
  run_sweep(groups, settings, session);
  print_results(options.format, file);
  progress.say(statuses_text(file.cells()));
  progress.say(fmt::format("results: {}", file.path().string()));
  return session.exit_code();
}

std::string list_of(const Options& options) {
  std::vector<const Operator*> operators;
  for (const std::string& op : options.ops) operators.push_back(&operator_named(op));
  return list_text(operators, {.B = options.batches.front(),
                               .T = options.lengths.front(),
                               .H = options.shapes.front().H,
                               .N = options.shapes.front().N,
                               .mode = options.modes.front(),
                               .dtype = options.dtypes.front()});
}

int main_of(int argc, char** argv) {
  benchmark::BenchmarkReporter::Context::executable_name = argv[0];
  try {
    const Options options = parse_options({argv + 1, argv + argc});
    if (options.help.empty() && options.ceilings_only) return print_ceilings(options);
    if (options.help.empty() && !options.list) return run(options);
    fmt::print("{}", options.list ? list_of(options) : options.help);
    return kSuccess;
  } catch (const UsageError& error) {
    fmt::print(stderr, "bench_wkv: {}\n", error.what());
    return kUsage;
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_wkv: {}\n", error.what());
    return kFailure;
  }
}

}  // namespace
}  // namespace wkv

int main(int argc, char** argv) { return wkv::main_of(argc, argv); }
