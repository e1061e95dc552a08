// run_model: loads an RWKV checkpoint and generates text with it. See --help.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <chrono>
#include <cstdio>

#include "harness/arguments.hpp"
#include "harness/command_line.hpp"
#include "harness/device/cuda_device.hpp"
#include "harness/machine.hpp"
#include "harness/model/language_model.hpp"
#include "harness/model/mixer_dump.hpp"
#include "harness/model/sampler.hpp"
#include "harness/safetensors.hpp"
#include "harness/units.hpp"

namespace wkv::model {
namespace {

enum ExitCode { kSuccess = 0, kFailure = 1, kUsage = 2 };

constexpr const char* kExamples = R"(Examples:
  run_model --model rwkv-5-world-0.4b.pth --vocab rwkv_vocab_v20230424.txt --prompt "The Eiffel tower is in"
      goes on with the prompt; with --temperature 0 always with the likeliest token
  run_model --model tiny.safetensors --prompt "A byte-level model needs no vocabulary"
  run_model --model tiny.safetensors --tokens 34,105,110 --logits logits.safetensors --mode sequential
      the logits after each of three tokens, computed one after the other
  run_model --model tiny.safetensors --prompt "..." --dump-wkv 6 layer6.safetensors
      what the mixer of layer 6 gets and gives, for bench_wkv --inputs
  run_model --vocab rwkv_vocab_v20230424.txt --tokenize "text"

Text goes to stdout, all else to stderr. Exit code: 0, 1 where running failed, 2 for a wrong option or file.)";

struct Options {
  std::string model, vocabulary, prompt, tokens, tokenize, dtype, logits, mode = "parallel", device = "cpu";
  std::vector<std::string> dump;
  KernelChoice kernels;
  int64_t length = 200;
  double temperature = 1, top_p = 0.7;
  uint64_t seed = 0;
  int threads = cpu_count();
  bool sequential() const { return mode == "sequential"; }
};

double parse_share(const std::string& option, const std::string& text, double highest, bool zero) {
  double value = -1;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && rest == text.data() + text.size() && value <= highest &&
      (value > 0 || (zero && value == 0)))
    return value;
  throw UsageError(
      fmt::format("{}: \"{}\" is not a number {} 0 to {}", option, text, zero ? "from" : "above", highest));
}

class CommandLine {
 public:
  CommandLine() : app_("Runs an RWKV-4 or RWKV-5 language model.", "run_model") {
    app_.get_formatter()->column_width(26);
    app_.set_help_flag("-h,--help", "this text");
    app_.footer(kExamples);
    app_.option_defaults()->group("What is run");
    app_.add_option("--model", options_.model, "checkpoint, .safetensors or .pth")->type_name("FILE");
    app_.add_option("--vocab", options_.vocabulary, "World tokenizer's vocabulary; V=256 needs none")
        ->type_name("FILE");
    app_.add_option("--prompt", options_.prompt, "text to go on with")->type_name("TEXT");
    app_.add_option("--tokens", options_.tokens, "the prompt as ids: 34,105,110")->type_name("IDS");
    add("--length", "NUMBER", "tokens to generate (200; with --logits or --dump-wkv 0)", [&](auto& option, auto& text) {
      options_.length = parse_integer(option, text, 0, int64_t{1} << 40);
      length_given_ = true;
    });
    add("--temperature", "NUMBER", "of the choice, 0 for the likeliest token (1)",
        [&](auto& option, auto& text) { options_.temperature = parse_share(option, text, 100, true); });
    add("--top-p", "NUMBER", "chooses among the likeliest tokens, which have this probability together (0.7)",
        [&](auto& option, auto& text) { options_.top_p = parse_share(option, text, 1, false); });
    add("--seed", "NUMBER", "of the choice (0)",
        [&](auto& option, auto& text) { options_.seed = parse_seed(option, text); });
    add("--mode", "NAME", "how the prompt is run: parallel in time or sequential, token by token (parallel)",
        [&](auto& option, auto& text) {
          options_.mode = parse_word(option, text, std::vector<std::string>{"parallel", "sequential"});
        });
    app_.option_defaults()->group("How it is run");
    add("--dtype", "NAME", "of weights and activations: f32 or bf16 (as stored, f32 for fp16)",
        [&](auto& option, auto& text) {
          options_.dtype = parse_word(option, text, std::vector<std::string>{"f32", "bf16"});
        });
    add("--threads", "NUMBER", fmt::format("({})", options_.threads),
        [&](auto& option, auto& text) { options_.threads = static_cast<int>(parse_integer(option, text, 1, 512)); });
    app_.add_option("--mixer", options_.kernels.mixer, "variant that mixes tokens, such as wkv5:cpu_chunked")
        ->type_name("NAME");
    app_.add_option("--gemm", options_.kernels.gemm, "variant of gemm for all projections")->type_name("NAME");
    add("--device", "NAME", "where CUDA variants run: emulated or cuda (emulated)", [&](auto& option, auto& text) {
      options_.device = parse_word(option, text, std::vector<std::string>{"cpu", "emulated", "cuda"});
    });
    app_.option_defaults()->group("What else it tells");
    app_.add_option("--logits", options_.logits, "stores the logits after every token of the prompt, (T, V)")
        ->type_name("FILE");
    app_.add_option("--dump-wkv", options_.dump, "stores what a layer's mixer gets and gives")
        ->expected(2)
        ->type_name("LAYER FILE");
    app_.add_option("--tokenize", options_.tokenize, "prints the ids of a text and runs nothing")->type_name("TEXT");
  }

  // Returns the help where it was asked for.
  std::string parse(const std::vector<std::string>& arguments) {
    const std::string help = parse_command_line(app_, arguments);
    if (!help.empty()) return help;
    if (app_.count("--tokenize") == 0 && options_.model.empty())
      throw UsageError("--model FILE is missing; see --help");
    if (!options_.prompt.empty() && !options_.tokens.empty())
      throw UsageError("--prompt and --tokens exclude each other");
    if (!length_given_ && !(options_.logits.empty() && options_.dump.empty())) options_.length = 0;
    tokenize_ = app_.count("--tokenize") > 0;
    return {};
  }
  const Options& options() const { return options_; }
  bool tokenize() const { return tokenize_; }

 private:
  void add(const std::string& name, const std::string& kind, const std::string& help,
           std::function<void(const std::string&, const std::string&)> store) {
    app_.add_option_function<std::string>(
            name, [name, store = std::move(store)](const std::string& text) { store(name, text); }, help)
        ->type_name(kind);
  }

  CLI::App app_;
  Options options_;
  bool length_given_ = false, tokenize_ = false;
};

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Errors of files that the user names are the user's.
template <class Read>
auto reading(const Read& read) {
  try {
    return read();
  } catch (const std::runtime_error& error) {
    throw UsageError(error.what());
  }
}

std::unique_ptr<const Tokenizer> open_tokenizer(const Options& options, int64_t vocabulary) {
  if (!options.vocabulary.empty()) return reading([&] { return read_world_tokenizer(options.vocabulary); });
  if (vocabulary == 256) return byte_tokenizer();
  return nullptr;
}

std::vector<Token> parse_tokens(const Options& options, int64_t vocabulary) {
  std::vector<Token> tokens;
  for (size_t begin = 0; begin <= options.tokens.size();) {
    const size_t end = std::min(options.tokens.find(',', begin), options.tokens.size());
    const std::string id = options.tokens.substr(begin, end - begin);
    tokens.push_back(static_cast<Token>(parse_integer("--tokens", id, 0, vocabulary - 1)));
    begin = end + 1;
  }
  return tokens;
}

std::vector<Token> prompt_of(const Options& options, const Tokenizer* tokenizer, int64_t vocabulary) {
  if (!options.tokens.empty()) return parse_tokens(options, vocabulary);
  if (options.prompt.empty()) throw UsageError("give --prompt TEXT or --tokens IDS; see --help");
  if (tokenizer == nullptr) {
    throw UsageError(fmt::format("the model has a vocabulary of {}: --vocab FILE is needed", vocabulary));
  }
  const std::vector<Token> tokens = tokenizer->encode(options.prompt);
  for (const Token token : tokens) {
    if (token >= vocabulary) {
      throw UsageError(fmt::format("--vocab {}: token {} is beyond the model's vocabulary of {}", options.vocabulary,
                                   token, vocabulary));
    }
  }
  return tokens;
}

DType dtype_of(const Options& options, const Checkpoint& checkpoint) {
  if (!options.dtype.empty()) return *parse_dtype(options.dtype);
  const StoredTensor* head = checkpoint.find("head.weight");
  return head != nullptr && head->type == StoredType::bf16 ? DType::bf16 : DType::f32;
}

int64_t layer_to_dump(const Options& options, const ModelConfig& config) {
  return parse_integer("--dump-wkv", options.dump[0], 0, config.layers - 1);
}

std::string rate(size_t tokens, double seconds) {
  return fmt::format("{} tokens in {}, {:.1f} tokens/s", tokens, format_seconds(seconds),
                     static_cast<double>(tokens) / seconds);
}

class Run {
 public:
  Run(const Options& options, LanguageModel& model, const Tokenizer* tokenizer, std::vector<Token> prompt)
      : options_(options), model_(model), tokenizer_(tokenizer), prompt_(std::move(prompt)) {
    logits_.resize(static_cast<size_t>(model.config().vocabulary) * (options.logits.empty() ? 1 : prompt_.size()));
  }

  void run() {
    if (!options_.dump.empty()) {
      dump_mixer(model_, prompt_, layer_to_dump(options_, model_.config()), options_.dump[1]);
    }
    const double prefill = seconds_of([&] { run_prompt(); });
    if (!options_.logits.empty()) store_logits();
    if (options_.length > 0) generate();
    fmt::print(stderr, "prefill: {}\n", rate(prompt_.size(), prefill));
    if (generated_ > 0) fmt::print(stderr, "decode: {}\n", rate(generated_, decode_seconds_));
  }

 private:
  void run_prompt() {
    const size_t V = static_cast<size_t>(model_.config().vocabulary);
    const size_t piece = options_.sequential() ? 1 : prompt_.size();
    for (size_t first = 0; first < prompt_.size(); first += piece) {
      const auto room = logits_.size() == V ? std::span(logits_) : std::span(logits_).subspan(first * V, piece * V);
      model_.forward(std::span(prompt_).subspan(first, piece), state_, room);
    }
  }

  void store_logits() const {
    const StoredTensor tensor{.name = "logits",
                              .type = StoredType::f32,
                              .shape = {static_cast<int64_t>(prompt_.size()), model_.config().vocabulary},
                              .bytes = std::as_bytes(std::span(logits_))};
    write_safetensors(options_.logits, {&tensor, 1});
  }

  void print(Token token) const {
    if (tokenizer_ == nullptr) {
      fmt::print("{} ", token);
    } else {
      const std::string_view text = tokenizer_->bytes_of(token);
      std::fwrite(text.data(), 1, text.size(), stdout);
    }
    std::fflush(stdout);
  }

  void generate() {
    Sampler sampler(options_.temperature, options_.top_p, options_.seed);
    const size_t V = static_cast<size_t>(model_.config().vocabulary);
    std::vector<float> logits(logits_.end() - static_cast<std::ptrdiff_t>(V), logits_.end());
    for (const Token token : prompt_) print(token);
    for (int64_t i = 0; i < options_.length; ++i) {
      const Token token = sampler.sample(logits);
      if (tokenizer_ != nullptr && tokenizer_->ends_text(token)) break;
      print(token);
      if (i + 1 == options_.length) break;
      decode_seconds_ += seconds_of([&] { model_.forward({&token, 1}, state_, logits); });
      ++generated_;
    }
    fmt::print("\n");
    std::fflush(stdout);
  }

  const Options& options_;
  LanguageModel& model_;
  const Tokenizer* tokenizer_;
  std::vector<Token> prompt_;
  ModelState state_ = model_.initial_state();
  std::vector<float> logits_;
  size_t generated_ = 0;
  double decode_seconds_ = 0;
};

void print_tokens(const Options& options) {
  const auto tokenizer = open_tokenizer(options, 256);
  std::string ids;
  for (const Token token : tokenizer->encode(options.tokenize)) {
    ids += fmt::format("{}{}", ids.empty() ? "" : ",", token);
  }
  fmt::print("{}\n", ids);
}

std::unique_ptr<Device> open_device(const Options& options) {
  if (options.device != "cuda") return nullptr;  // an emulated one is opened where a variant needs it
  try {
    return std::make_unique<CudaDevice>();
  } catch (const DeviceError& error) {
    throw UsageError(fmt::format("--device cuda: {}", error.what()));
  }
}

void run(const Options& options) {
  const Checkpoint checkpoint = reading([&] { return Checkpoint(options.model); });
  const ModelConfig config = reading([&] { return config_of(checkpoint); });
  if (!options.dump.empty()) layer_to_dump(options, config);  // wrong before anything is loaded
  const auto tokenizer = open_tokenizer(options, config.vocabulary);
  std::vector<Token> prompt = prompt_of(options, tokenizer.get(), config.vocabulary);
  const std::unique_ptr<Device> device = open_device(options);
  Executor executor(options.threads);
  const DType dtype = dtype_of(options, checkpoint);
  LanguageModel model(reading([&] { return Parameters::load(checkpoint, config, dtype, executor); }), options.kernels,
                      executor, device.get());
  fmt::print(stderr,
             "{}: {} layers, C={}, {} heads, V={}, {:.1f} M parameters, {} in {}, mixer {}, gemm {}, {} threads\n",
             name_of(config.architecture), config.layers, config.channels, config.heads(), config.vocabulary,
             static_cast<double>(parameter_count(config)) * 1e-6,
             format_bytes(static_cast<double>(model.parameters().bytes())), name_of(dtype), model.engine().mixer_name(),
             model.engine().gemm_name(), options.threads);
  Run(options, model, tokenizer.get(), std::move(prompt)).run();
}

int main_of(int argc, char** argv) {
  try {
    CommandLine command_line;
    const std::string help = command_line.parse({argv + 1, argv + argc});
    if (!help.empty()) {
      fmt::print("{}", help);
    } else if (command_line.tokenize()) {
      print_tokens(command_line.options());
    } else {
      run(command_line.options());
    }
    return kSuccess;
  } catch (const UsageError& error) {
    fmt::print(stderr, "run_model: {}\n", error.what());
    return kUsage;
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "run_model: there is not enough memory for the model\n");
    return kFailure;
  } catch (const std::exception& error) {
    fmt::print(stderr, "run_model: {}\n", error.what());
    return kFailure;
  }
}

}  // namespace
}  // namespace wkv::model

int main(int argc, char** argv) { return wkv::model::main_of(argc, argv); }
