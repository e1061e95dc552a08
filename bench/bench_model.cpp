// bench_model: times whole language models, RWKV and its twins, over lengths. See --help.
#include <benchmark/benchmark.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <ctime>

#include "harness/arguments.hpp"
#include "harness/command_line.hpp"
#include "harness/machine.hpp"
#include "harness/model/model_sweep.hpp"
#include "harness/results_file.hpp"
#include "harness/text_table.hpp"
#include "harness/units.hpp"

namespace wkv::model {
namespace {

enum ExitCode { kSuccess = 0, kFailure = 1, kUsage = 2 };

constexpr const char* kExamples = R"(Examples:
  bench_model
      the 0.1b model and its twins, all lengths that fit ten minutes
  bench_model --model 0.4b --dtype bf16 --arch rwkv --seq 1..65536
  bench_model --model rwkv-5-world-1.5b.pth --seq 512,1024
      a checkpoint; its twins get random weights

Presets have the sizes of the RWKV-5 World models and random weights. A model's twins are as wide, as deep and as large.
decode: one token after a context of T; generation: T tokens one after the other; prefill: T tokens at once.
Exit code: 0, 1 where running failed, 2 for a wrong option or file, or a model that does not fit in memory.)";

const std::vector<std::string> kArchitectures{"rwkv", "transformer", "lstm", "gru"}, kDTypes{"f32", "bf16"};

struct Options {
  std::string model = "0.1b";
  std::vector<std::string> architectures = kArchitectures;
  std::vector<int64_t> lengths = parse_lengths("--seq", "1..16384");
  DType dtype = DType::f32;
  KernelChoice kernels;
  int threads = cpu_count(), repetitions = 5;
  double cell_seconds = 60, run_seconds = 540;
  size_t memory_bytes = available_memory() / 10 * 9;
  std::filesystem::path out;
  std::vector<std::string> arguments;
};

const ModelPreset* preset_named(const std::string& name) {
  const auto found = std::find_if(std::begin(kModelPresets), std::end(kModelPresets),
                                  [&](const ModelPreset& preset) { return preset.name == name; });
  return found == std::end(kModelPresets) ? nullptr : found;
}

std::string parse_model(const std::string& option, const std::string& text) {
  if (preset_named(text) != nullptr || std::filesystem::exists(text)) return text;
  std::vector<std::string> names;
  for (const ModelPreset& preset : kModelPresets) names.emplace_back(preset.name);
  throw UsageError(fmt::format("{}: \"{}\" is neither a file nor one of {}", option, text, fmt::join(names, ", ")));
}

// Returns the help where it was asked for.
std::string parse(Options& options) {
  CLI::App app("Times whole language models over lengths: RWKV and its twins.", "bench_model");
  app.get_formatter()->column_width(26);
  app.set_help_flag("-h,--help", "this text");
  app.footer(kExamples);
  using Store = std::function<void(const std::string&, const std::string&)>;
  const auto add = [&](const std::string& name, const std::string& kind, const std::string& help, Store store) {
    app.add_option_function<std::string>(
           name, [name, store = std::move(store)](const std::string& text) { store(name, text); }, help)
        ->type_name(kind)
        ->join(',');
  };
  add("--model", "NAME", "0.1b, 0.4b, 1.5b, 3b, 7b or a checkpoint (0.1b)",
      [&](auto& option, auto& text) { options.model = parse_model(option, text); });
  add("--arch", "NAMES", "rwkv and its twins transformer, lstm, gru (all)",
      [&](auto& option, auto& text) { options.architectures = parse_words(option, text, kArchitectures); });
  add("--seq", "LENGTHS", "T: 1..65536 (powers of two), 1..4096:x4, or 1,100,1000 (1..16384)",
      [&](auto& option, auto& text) { options.lengths = parse_lengths(option, text); });
  add("--dtype", "NAME", "of weights and activations: f32 or bf16 (f32); what LSTM and GRU mix with is f32",
      [&](auto& option, auto& text) { options.dtype = *parse_dtype(parse_word(option, text, kDTypes)); });
  add("--mixer", "NAME", "variant that mixes RWKV's tokens, such as wkv5:cpu_serial",
      [&](auto&, auto& text) { options.kernels.mixer = text; });
  add("--gemm", "NAME", "variant of gemm for all projections", [&](auto&, auto& text) { options.kernels.gemm = text; });
  add("--threads", "NUMBER", fmt::format("({})", options.threads),
      [&](auto& option, auto& text) { options.threads = static_cast<int>(parse_integer(option, text, 1, 512)); });
  add("--repetitions", "NUMBER", "timings of a cell, fewer where they take long (5)",
      [&](auto& option, auto& text) { options.repetitions = static_cast<int>(parse_integer(option, text, 1, 1000)); });
  add("--cell-seconds", "SECONDS", "a cell that is predicted to take longer is skipped (60)",
      [&](auto& option, auto& text) { options.cell_seconds = parse_seconds(option, text); });
  add("--run-seconds", "SECONDS", "for all models, shared evenly; cells that would not end by then are skipped (540)",
      [&](auto& option, auto& text) { options.run_seconds = parse_seconds(option, text); });
  add("--memory", "SIZE",
      fmt::format("what needs more is not run (90% of what is free: {})",
                  format_bytes(static_cast<double>(options.memory_bytes))),
      [&](auto& option, auto& text) {
        const auto bytes = parse_bytes(text);
        if (!bytes || *bytes == 0) {
          throw UsageError(fmt::format("{}: \"{}\" is not a size like 512M or 8G", option, text));
        }
        options.memory_bytes = *bytes;
      });
  add("--out", "FILE", "results file, written after every cell (results/ beside the program)",
      [&](auto&, auto& text) { options.out = text; });
  return parse_command_line(app, options.arguments);
}

template <class Read>
auto reading(const Read& read) {
  try {
    return read();
  } catch (const std::runtime_error& error) {
    throw UsageError(error.what());
  }
}

void check_memory(const Options& options, const ModelConfig& config) {
  const size_t needed = weight_bytes(config, options.dtype) + activation_bytes(config, options.dtype, 1) +
                        state_bytes(config, options.dtype, 1);
  if (needed <= options.memory_bytes) return;
  const size_t halved = weight_bytes(config, DType::bf16);
  throw UsageError(fmt::format("--model {} in {} needs {} for its {} weights, and --memory allows {}{}", options.model,
                               name_of(options.dtype), format_bytes(static_cast<double>(needed)),
                               parameter_count(config), format_bytes(static_cast<double>(options.memory_bytes)),
                               options.dtype == DType::f32
                                   ? fmt::format("; --dtype bf16 needs {}", format_bytes(static_cast<double>(halved)))
                                   : ""));
}

std::filesystem::path path_of(const Options& options) {
  if (!options.out.empty()) return options.out;
  return program_directory() / "results" /
         fmt::format("bench_model-{:%Y-%m-%dT%H-%M-%S}.json", fmt::localtime(std::time(nullptr)));
}

nlohmann::ordered_json context_of(const Options& options, const Ceilings& ceilings, double read_rate,
                                  const GemmRate& gemm) {
  auto context = make_context({{options.threads, ceilings}}, 0, options.arguments);
  context["program"] = "bench_model";
  context["model"] = options.model;
  context["read_bytes_per_second"] = read_rate;
  context["gemm"] = {{"variant", gemm.variant}, {"flops_per_second", gemm.flops_per_second}};
  return context;
}

class Session {
 public:
  Session(const Options& options, const ModelConfig& config)
      : options_(options),
        config_(config),
        executor_(options.threads),
        ceilings_(measure_ceilings(executor_)),
        read_rate_(measure_read_rate(executor_)),
        gemm_(measure_gemm(options.dtype, config.channels, executor_)),
        file_(path_of(options), context_of(options, ceilings_, read_rate_, gemm_)) {
    file_.write();
  }

  void run() {
    fmt::print(stderr, "memory {:.1f} GB/s read, {:.1f} GB/s copied; gemm {} {:.0f} GFLOP/s; {} threads\n",
               read_rate_ * 1e-9, ceilings_.copy.back().bytes_per_second * 1e-9, gemm_.variant,
               gemm_.flops_per_second * 1e-9, options_.threads);
    double left = options_.run_seconds;
    for (size_t i = 0; i < options_.architectures.size(); ++i) {
      const auto start = std::chrono::steady_clock::now();
      run(options_.architectures[i], left / static_cast<double>(options_.architectures.size() - i));
      left -= std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
    print_tables();
    fmt::print(stderr, "results: {}\n", file_.path().string());
  }

 private:
  ModelConfig config_of_name(const std::string& name) const {
    for (const Architecture twin : kTwins) {
      if (name == name_of(twin)) return twin_of(config_, twin);
    }
    return config_;
  }

  Parameters parameters_of(const ModelConfig& config) {
    const bool from_file = preset_named(options_.model) == nullptr && config.architecture == config_.architecture;
    if (!from_file) return Parameters::random(config, options_.dtype, 1, executor_);
    return reading([&] { return Parameters::load(Checkpoint(options_.model), config, options_.dtype, executor_); });
  }

  void run(const std::string& name, double seconds) {
    const ModelConfig config = config_of_name(name);
    const bool is_main = config.architecture == config_.architecture;
    if (weight_bytes(config, options_.dtype) > options_.memory_bytes) {
      fmt::print(stderr, "{}: skipped, needs {}\n", name,
                 format_bytes(static_cast<double>(weight_bytes(config, options_.dtype))));
      return;
    }
    LanguageModel model(parameters_of(config), {is_main ? options_.kernels.mixer : "", options_.kernels.gemm},
                        executor_);
    fmt::print(stderr, "{}: {} layers, C={}, hidden {}, {:.1f} M parameters, {}; mixer {}, gemm {}\n", name,
               config.layers, config.channels, config.hidden, static_cast<double>(parameter_count(config)) * 1e-6,
               format_bytes(static_cast<double>(model.parameters().bytes())), model.engine().mixer_name(),
               model.engine().gemm_name());
    sweep_model(model,
                {.lengths = options_.lengths,
                 .threads = options_.threads,
                 .repetitions = options_.repetitions,
                 .cell_seconds = options_.cell_seconds,
                 .seconds = seconds,
                 .memory_bytes = options_.memory_bytes},
                [&](ModelCell cell) {
                  // Where other machines share the memory its rate changes within seconds.
                  if (cell.kind != "prefill" && cell.status == "timed") read_rate_ = measure_read_rate(executor_);
                  cell.read_bytes_per_second = read_rate_;
                  file_.add(cell);
                  fmt::print(stderr, "  {}: {}\n", cell.name(),
                             cell.status == "timed" ? format_seconds(cell.median_ns() * 1e-9) : cell.reason);
                });
  }

  // The share of the machine's limit that a cell reached: the rate of reading memory for single tokens, else its gemm.
  double share_of_limit(const ModelCell& cell) const {
    const double seconds = cell.median_ns() * 1e-9;
    return cell.kind == "prefill" ? cell.flops / seconds / gemm_.flops_per_second
                                  : cell.bytes / seconds / cell.read_bytes_per_second;
  }

  void print_tables() const {
    for (const char* kind : {"prefill", "decode", "generation"}) {
      TextTable table({"<model", "T", "time", "tokens/s", std::string(kind) == "prefill" ? "of gemm" : "of reading",
                       "state", "activations", "projections", "mixer", "channel mixing", "head", "elementwise"});
      bool any = false;
      for (const ModelCell& cell : file_.cells()) {
        if (cell.kind != kind || cell.status != "timed") continue;
        any = true;
        const double seconds = cell.median_ns() * 1e-9;
        std::vector<std::string> row{cell.architecture,
                                     std::to_string(cell.T),
                                     format_seconds(seconds),
                                     fmt::format("{:.1f}", static_cast<double>(cell.tokens()) / seconds),
                                     fmt::format("{:.0f}%", 100 * share_of_limit(cell)),
                                     format_bytes(static_cast<double>(cell.state_bytes)),
                                     format_bytes(static_cast<double>(cell.activation_bytes))};
        double all = 0;
        for (const double part : cell.part_seconds) all += part;
        for (const double part : cell.part_seconds) row.push_back(fmt::format("{:.0f}%", 100 * part / all));
        table.add(std::move(row));
      }
      if (any) fmt::print("{}, {} threads\n{}\n", kind, options_.threads, table.text());
    }
    for (const ModelCell& cell : file_.cells()) {
      if (cell.status == "skipped") fmt::print("skipped {}: {}\n", cell.name(), cell.reason);
    }
  }

  const Options& options_;
  ModelConfig config_;
  Executor executor_;
  Ceilings ceilings_;
  double read_rate_;  // as measured last
  GemmRate gemm_;
  ModelResultsFile file_;
};

int main_of(int argc, char** argv) {
  benchmark::BenchmarkReporter::Context::executable_name = argv[0];
  try {
    Options options;
    options.arguments = {argv + 1, argv + argc};
    const std::string help = parse(options);
    if (!help.empty()) {
      fmt::print("{}", help);
      return kSuccess;
    }
    const ModelPreset* preset = preset_named(options.model);
    const ModelConfig config =
        preset != nullptr ? preset->config : reading([&] { return config_of(Checkpoint(options.model)); });
    check_memory(options, config);
    Session(options, config).run();
    return kSuccess;
  } catch (const UsageError& error) {
    fmt::print(stderr, "bench_model: {}\n", error.what());
    return kUsage;
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_model: {}\n", error.what());
    return kFailure;
  }
}

}  // namespace
}  // namespace wkv::model

int main(int argc, char** argv) { return wkv::model::main_of(argc, argv); }
