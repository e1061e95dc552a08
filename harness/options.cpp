#include "harness/options.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "harness/command_line.hpp"
#include "harness/machine.hpp"
#include "harness/results_file.hpp"
#include "harness/units.hpp"

namespace wkv {
namespace {

constexpr const char* kExamples = R"(Examples:
  bench_wkv --seq 1..65536
      WKV5 against softmax attention at every power of two; the shape of the 1.5B model, all threads
  bench_wkv --op wkv5 --variant cpu_naive --seq 1000,4096 --threads 1,2 --dtype f32,bf16
      one variant, on one and on two threads, in both dtypes
  bench_wkv --op wkv5,lstm,gru,gemm --preset 0.4b --seq 1..1024
      recurrent networks and a matrix product of the same 1024 channels
  bench_wkv --op wkv4,aft --window 128 --seq 1..4096
      WKV4 and AFT-local, whose position biases reach back 128 tokens; without --window, AFT-full
  bench_wkv --mode decode --preset 7b --seq 1..32768:x8
      one new token after contexts of 1, 8, 64, 512, 4096 and 32768 tokens
  bench_wkv --inputs layer6.safetensors --verify-only
      the error of every variant on the r, k, v, decay and u of a real model
  bench_wkv --device emulated --dtype f32,bf16,f16 --seq 1..256
      CUDA kernels without a GPU: verified, and what they move and execute counted
  bench_wkv --resume run.json
      goes on with an interrupted run, with the options that it was started with

Exit code: 0, or 1 if a variant failed, 2 for a wrong option or file or no GPU, 3 if a variant made the GPU fail, which
ends the run, 130 if interrupted. WKV_CUDA_DRIVER names another file than libcuda.so.1 for NVIDIA's driver,
WKV_CUBLAS another one than libcublas.so.13 or .12 for cuBLAS, WKV_CUDNN another one than libcudnn.so.9 for cuDNN.)";

constexpr int64_t kMostElements = int64_t{1} << 44;

const std::vector<std::string> kModes{"prefill", "decode"}, kDTypes{"f32", "bf16", "f16"},
    kDevices{"cpu", "cuda", "emulated"}, kFormats{"table", "json", "csv"};

std::vector<std::string> operator_names() {
  std::vector<std::string> names;
  for (const Operator* op : all_operators()) names.push_back(op->name);
  return names;
}

std::vector<std::string> variant_names() {
  std::set<std::string> names;
  for (const Operator* op : all_operators()) {
    for (const Variant* variant : variants_of(op->name)) names.insert(variant->name);
  }
  return {names.begin(), names.end()};
}

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const Preset& preset : kPresets) names.emplace_back(preset.name);
  return names;
}

HeadShape shape_named(const std::string& name) {
  return std::find_if(std::begin(kPresets), std::end(kPresets), [&](const Preset& p) { return p.name == name; })->shape;
}

DeviceKind parse_device(const std::string& option, const std::string& text) {
  const std::string name = parse_word(option, text, kDevices);
  for (const DeviceKind kind : {DeviceKind::cuda, DeviceKind::emulated}) {
    if (name == name_of(kind)) return kind;
  }
  return DeviceKind::cpu;
}

std::string parse_inputs(const std::string& option, const std::string& text) {
  const std::vector<std::string> kinds{"realistic", "extreme"};
  if (nearest(text, kinds) == text || std::filesystem::exists(text)) return text;
  const std::string meant = nearest(text, kinds);
  throw UsageError(fmt::format(
      "{}: there is no file \"{}\"; {}", option, text,
      meant.empty() ? "give realistic, extreme or a .safetensors file" : fmt::format("did you mean {}?", meant)));
}

template <class Value, class Named>
std::vector<Value> each(const std::vector<Named>& names, const std::function<Value(const Named&)>& value_of) {
  std::vector<Value> values;
  for (const Named& name : names) values.push_back(value_of(name));
  return values;
}

// The options of one command line; a second one laid over it replaces what it gives.
class CommandLine {
 public:
  CommandLine() {
    options_.ops = {"wkv5", "attention"};
    options_.lengths = parse_lengths("--seq", "1..65536");
    options_.batches = {1};
    options_.dtypes = {DType::f32};
    options_.modes = {Mode::prefill};
    options_.threads = {cpu_count()};
    options_.inputs = "realistic";
    options_.repetitions = 5;
    options_.cell_seconds = 30;
    options_.run_seconds = 1e9;
    options_.memory_bytes = available_memory() / 10 * 8;
  }

  void apply(const std::vector<std::string>& arguments);
  Options finish() const;
  const Options& options() const { return options_; }

 private:
  using Store = std::function<void(const std::string& option, const std::string& text)>;
  void add(CLI::App& app, const std::string& name, const std::string& kind, const std::string& help, Store store);
  void add_what(CLI::App& app);
  void add_shape(CLI::App& app);
  void add_how(CLI::App& app);
  void add_results(CLI::App& app);
  void check_together() const;

  Options options_;
  std::vector<int64_t> heads_{32}, head_sizes_{64};
  std::vector<std::string> presets_;
  bool ops_given_ = false;
  std::set<std::string> given_;  // in the latest command line
};

void CommandLine::add(CLI::App& app, const std::string& name, const std::string& kind, const std::string& help,
                      Store store) {
  app.add_option_function<std::string>(
         name,
         [this, name, store = std::move(store)](const std::string& text) {
           given_.insert(name);
           store(name, text);
         },
         help)
      ->type_name(kind)
      ->join(',');
}

void CommandLine::add_what(CLI::App& app) {
  app.option_defaults()->group("What is run");
  add(app, "--op", "NAMES", "operators, or all (wkv5,attention)", [&](auto& option, auto& text) {
    ops_given_ = true;
    options_.ops = parse_words(option, text, operator_names());
  });
  add(app, "--variant", "NAMES", "variants, or all (all); see --list",
      [&](auto& option, auto& text) { options_.variants = parse_words(option, text, variant_names()); });
  add(app, "--device", "NAME",
      "cpu, cuda (a GPU) or emulated: CUDA variants on the CPU, checked and counted, not timed (cpu)",
      [&](auto& option, auto& text) { options_.device = parse_device(option, text); });
  add(app, "--mode", "NAMES", "prefill: T tokens at once; decode: one token after a context of T (prefill)",
      [&](auto& option, auto& text) {
        options_.modes = each<Mode, std::string>(parse_words(option, text, kModes), [](const std::string& name) {
          return name == "decode" ? Mode::decode : Mode::prefill;
        });
      });
  add(app, "--dtype", "NAMES", "f32, bf16, f16 (f32)", [&](auto& option, auto& text) {
    options_.dtypes_given = true;
    options_.dtypes = each<DType, std::string>(parse_words(option, text, kDTypes),
                                               [](const std::string& name) { return *parse_dtype(name); });
  });
  add(app, "--inputs", "KIND", "realistic, extreme, or a .safetensors file with r, k, v, decay, u (realistic)",
      [&](auto& option, auto& text) { options_.inputs = parse_inputs(option, text); });
}

void CommandLine::add_shape(CLI::App& app) {
  app.option_defaults()->group("Shape");
  add(app, "--seq", "LENGTHS", "T: 1..65536 (powers of two), 1..4096:x4, or 1,100,1000 (1..65536)",
      [&](auto& option, auto& text) { options_.lengths = parse_lengths(option, text); });
  add(app, "--batch", "LIST", "B (1)",
      [&](auto& option, auto& text) { options_.batches = parse_integers(option, text, 1, 1 << 20); });
  add(app, "--heads", "LIST", "H (32)", [&](auto& option, auto& text) {
    presets_.clear();
    heads_ = parse_integers(option, text, 1, 1 << 16);
  });
  add(app, "--head-size", "LIST", "N (64)", [&](auto& option, auto& text) {
    presets_.clear();
    head_sizes_ = parse_integers(option, text, 1, 1 << 12);
  });
  add(app, "--window", "W", "AFT has biases for the last W positions; 0: AFT-simple (all: AFT-full)",
      [&](auto& option, auto& text) { options_.window = parse_integer(option, text, 0, kMostElements); });
  std::string shapes;
  for (const Preset& preset : kPresets) {
    shapes += fmt::format("{}{}: H={}", shapes.empty() ? "" : ", ", preset.name, preset.shape.H);
  }
  add(app, "--preset", "NAMES", fmt::format("H and N=64 of an RWKV-5 World model; {}", shapes),
      [&](auto& option, auto& text) { presets_ = parse_words(option, text, preset_names()); });
}

void CommandLine::add_how(CLI::App& app) {
  app.option_defaults()->group("How it is run");
  add(app, "--threads", "LIST", fmt::format("threads, several counts one after the other (all: {})", cpu_count()),
      [&](auto& option, auto& text) {
        const auto counts = text == "all" ? std::vector<int64_t>{cpu_count()} : parse_integers(option, text, 1, 512);
        options_.threads.assign(counts.begin(), counts.end());
      });
  add(app, "--seed", "NUMBER", "of the inputs (drawn afresh, and stored with the results)",
      [&](auto& option, auto& text) { options_.seed = parse_seed(option, text); });
  add(app, "--repetitions", "NUMBER", "timings of a cell; 3 where more would not fit --cell-seconds (5)",
      [&](auto& option, auto& text) { options_.repetitions = static_cast<int>(parse_integer(option, text, 1, 1000)); });
  add(app, "--cell-seconds", "SECONDS", "a cell that is predicted to take longer is skipped (30)",
      [&](auto& option, auto& text) { options_.cell_seconds = parse_seconds(option, text); });
  add(app, "--run-seconds", "SECONDS", "cells that would not end by then are skipped (no limit)",
      [&](auto& option, auto& text) { options_.run_seconds = parse_seconds(option, text); });
  add(app, "--memory", "SIZE",
      fmt::format("a cell that needs more is skipped, e.g. 8G (80% of what is free: {})",
                  format_bytes(static_cast<double>(options_.memory_bytes))),
      [&](auto& option, auto& text) {
        const auto bytes = parse_bytes(text);
        if (!bytes || *bytes == 0)
          throw UsageError(fmt::format("{}: \"{}\" is not a size like 512M or 8G", option, text));
        options_.memory_bytes = *bytes;
      });
  app.add_flag("--verify-only", options_.verify_only, "checks every variant against the reference, times nothing");
  app.add_flag("--ceilings", options_.ceilings_only, "measures and prints the machine's ceilings; runs nothing else");
}

void CommandLine::add_results(CLI::App& app) {
  app.option_defaults()->group("Results");
  add(app, "--out", "FILE", "results file, written after every cell (results/ beside the program)",
      [&](auto&, auto& text) { options_.out = text; });
  add(app, "--resume", "FILE", "goes on with a results file: what is timed in it is not timed again",
      [&](auto&, auto& text) { options_.resume = text; });
  app.add_flag("--keep-failed", options_.keep_failed, "with --resume: what failed is not tried again");
  add(app, "--format", "NAME", "what is printed in the end: table, json or csv (table)", [&](auto& option, auto& text) {
    const std::string name = parse_word(option, text, kFormats);
    options_.format = name == "json" ? Format::json : name == "csv" ? Format::csv : Format::table;
  });
  app.add_flag("--list", options_.list, "prints operators and variants, and whether they run here; runs nothing");
}

// Position biases are a matrix of T by the window.
void check_window(const Options& options) {
  const auto is_windowed = [](const std::string& op) { return operator_named(op).windowed; };
  if (std::none_of(options.ops.begin(), options.ops.end(), is_windowed)) {
    if (options.window) throw UsageError("--window: none of the operators has one");
    return;
  }
  const int64_t T = options.lengths.back(), window = std::min(T, options.window.value_or(T));
  if (static_cast<double>(T) * static_cast<double>(window) > static_cast<double>(kMostElements)) {
    throw UsageError(fmt::format("--seq {} makes more than 2^44 position biases; --window limits them", T));
  }
}

void CommandLine::apply(const std::vector<std::string>& arguments) {
  given_.clear();
  CLI::App app("Verifies and times WKV5 and its rivals over sequence lengths.", "bench_wkv");
  app.get_formatter()->column_width(26);
  app.set_help_flag("-h,--help", "this text");
  app.footer(kExamples);
  add_what(app);
  add_shape(app);
  add_how(app);
  add_results(app);
  const std::string help = parse_command_line(app, arguments);
  if (!help.empty()) options_.help = help;
  check_together();
}

void CommandLine::check_together() const {
  const auto refuse = [&](const std::string& option, const std::string& reason) {
    if (given_.contains(option)) throw UsageError(fmt::format("{} cannot be given: {}", option, reason));
  };
  if (given_.contains("--preset")) {
    for (const auto* option : {"--heads", "--head-size"}) refuse(option, "--preset sets it");
  }
  if (given_.contains("--resume")) refuse("--out", "--resume goes on writing to its own file");
  if (options_.inputs_from_file()) {
    for (const auto* option : {"--seq", "--batch", "--heads", "--head-size", "--preset", "--mode"}) {
      refuse(option, "it is in the file of --inputs");
    }
  }
}

Options CommandLine::finish() const {
  Options options = options_;
  if (options.list && !ops_given_) options.ops = operator_names();
  if (options.inputs_from_file() && !ops_given_) options.ops = {"wkv5"};
  if (options.device != DeviceKind::cpu) options.threads = {options.threads.back()};  // of the host; they do not matter
  for (const std::string& name : presets_) options.shapes.push_back(shape_named(name));
  if (presets_.empty()) {
    for (const int64_t H : heads_) {
      for (const int64_t N : head_sizes_) options.shapes.push_back({H, N});
    }
  }
  for (const HeadShape& shape : options.shapes) {
    const double elements = static_cast<double>(options.batches.back()) * static_cast<double>(options.lengths.back()) *
                            static_cast<double>(shape.H * shape.N);
    if (elements > static_cast<double>(kMostElements)) {
      throw UsageError(fmt::format("--seq {} with --batch {}, H={} and N={} makes tensors of more than 2^44 elements",
                                   options.lengths.back(), options.batches.back(), shape.H, shape.N));
    }
  }
  check_window(options);
  return options;
}

}  // namespace

Options parse_options(const std::vector<std::string>& arguments) {
  CommandLine command_line;
  command_line.apply(arguments);
  const auto resume = command_line.options().resume;
  std::vector<std::string> stored = arguments;
  if (!resume.empty() && command_line.options().help.empty()) {
    stored = ResultsFile::load(resume).arguments();
    command_line = CommandLine();
    command_line.apply(stored);
    command_line.apply(arguments);
  }
  Options options = command_line.finish();
  options.arguments = std::move(stored);
  return options;
}

}  // namespace wkv
