#include "harness/model/model_sweep.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <optional>

#include "harness/units.hpp"

namespace wkv::model {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

Token likeliest(std::span<const float> logits) {
  return static_cast<Token>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

class ModelSweep {
 public:
  ModelSweep(LanguageModel& model, const ModelSweepSettings& settings,
             const std::function<void(const ModelCell&)>& ended)
      : model_(model), settings_(settings), ended_(ended), logits_(static_cast<size_t>(model.config().vocabulary)) {}

  void run() {
    for (const int64_t T : settings_.lengths) decode(T);
    generate();
    for (const int64_t T : settings_.lengths) prefill(T);
  }

 private:
  ModelCell planned(const char* kind, int64_t T) {
    const ModelConfig& config = model_.config();
    const bool decode = std::string_view(kind) == "decode", prefill = std::string_view(kind) == "prefill";
    const DType dtype = model_.engine().dtype();
    const int64_t at_once = prefill ? model_.tokens_at_once(T) : 1;
    ModelCell cell{.architecture = std::string(name_of(config.architecture)),
                   .kind = kind,
                   .dtype = std::string(name_of(dtype)),
                   .mixer = model_.engine().mixer_name(),
                   .gemm = model_.engine().gemm_name(),
                   .T = T,
                   .run_threads = settings_.threads,
                   .layers = config.layers,
                   .channels = config.channels,
                   .hidden = config.hidden,
                   .vocabulary = config.vocabulary,
                   .parameters = parameter_count(config),
                   .weight_bytes = model_.parameters().bytes(),
                   .activation_bytes = activation_bytes(config, dtype, at_once),
                   .state_bytes = state_bytes(config, dtype, T)};
    const auto add = [&](const Cost& cost, double times) {
      cell.flops += times * cost.flops;
      cell.bytes += times * cost.bytes;
    };
    if (prefill) {
      for (int64_t first = 0; first < T; first += at_once) {
        add(cost_of(config, dtype, std::min(at_once, T - first), first), 1);
      }
    } else {  // of a generation's tokens the middle one, as what they cost grows evenly
      add(cost_of(config, dtype, 1, decode ? T : T / 2), decode ? 1 : static_cast<double>(T));
    }
    return cell;
  }

  // Why a cell that is expected to take so long is not run. Nothing where it is.
  std::optional<std::string> reason_to_skip(const ModelCell& cell, double expected_seconds, double share = 1) const {
    const size_t needed = cell.weight_bytes + cell.activation_bytes + cell.state_bytes;
    if (needed > settings_.memory_bytes) {
      return fmt::format("needs {}, more than the {} of --memory", format_bytes(static_cast<double>(needed)),
                         format_bytes(static_cast<double>(settings_.memory_bytes)));
    }
    if (expected_seconds > settings_.cell_seconds) {
      return fmt::format("predicted to take {}, more than the {} of --cell-seconds", format_seconds(expected_seconds),
                         format_seconds(settings_.cell_seconds));
    }
    const double left = settings_.seconds - seconds_since(start_);
    if (expected_seconds > share * left) {
      return fmt::format("predicted to take {}, and {} of --run-seconds are left for it",
                         format_seconds(expected_seconds), format_seconds(std::max(0.0, share * left)));
    }
    return std::nullopt;
  }

  void skip(ModelCell cell, const std::string& reason) {
    cell.status = "skipped";
    cell.reason = reason;
    ended_(cell);
  }

  // Runs the work, which tells how often to go on, and adds what it took.
  void time(ModelCell& cell, const std::function<void()>& work, int repetitions, double seconds) {
    const PartSeconds before = model_.engine().seconds();
    const auto start = Clock::now();
    for (int i = 0; i < repetitions && (i == 0 || seconds_since(start) < seconds); ++i) {
      const auto begin = Clock::now();
      work();
      cell.times_ns.push_back(seconds_since(begin) * 1e9);
    }
    for (int part = 0; part < kParts; ++part) {
      const auto i = static_cast<size_t>(part);
      cell.part_seconds[i] = (model_.engine().seconds()[i] - before[i]) / static_cast<double>(cell.times_ns.size());
    }
  }

  std::vector<Token> tokens(int64_t count) const {
    std::vector<Token> tokens(static_cast<size_t>(count));
    for (size_t i = 0; i < tokens.size(); ++i) {
      tokens[i] = static_cast<Token>(i * 7919 % static_cast<size_t>(model_.config().vocabulary));
    }
    return tokens;
  }

  ModelState state_after(int64_t context) {
    constexpr int64_t kRun = 64;
    ModelState state = model_.initial_state();
    model_.forward(tokens(std::min(context, kRun)), state, logits_);
    const auto room = static_cast<size_t>(settings_.repetitions + 8) * model_.engine().row_bytes();
    for (LayerState& layer : state.layers) {
      for (std::vector<std::byte>* cache : {&layer.keys, &layer.values}) {
        const size_t filled = cache->size(),
                     wanted = filled / static_cast<size_t>(state.tokens) * static_cast<size_t>(context);
        cache->reserve(wanted + room);
        while (cache->size() < wanted) {
          const size_t more = std::min(filled, wanted - cache->size());
          cache->insert(cache->end(), cache->begin(), cache->begin() + static_cast<std::ptrdiff_t>(more));
        }
      }
    }
    state.tokens = context;
    return state;
  }

  void decode(int64_t context) {
    ModelCell cell = planned("decode", context);
    // The cache is made and read: by the weights' time as long as nothing else is known.
    const double expected =
        decode_seconds_ * static_cast<double>(settings_.repetitions + 4) * cell.bytes / std::max(decode_bytes_, 1.0);
    if (const auto reason = reason_to_skip(cell, decode_bytes_ == 0 ? 0 : expected))
      return skip(std::move(cell), *reason);
    ModelState state = state_after(context);
    model_.forward(tokens(1), state, logits_);  // warms up
    time(
        cell, [&] { model_.forward(tokens(1), state, logits_); }, settings_.repetitions, settings_.cell_seconds);
    decode_seconds_ = cell.median_ns() * 1e-9;
    decode_bytes_ = cell.bytes;
    cell.status = "timed";
    ended_(cell);
  }

  // One generation up to the greatest length that fits, stopped on the way at each of the others.
  void generate() {
    ModelState state = model_.initial_state();
    Token token = 0;
    double seconds = 0;
    const PartSeconds before = model_.engine().seconds();
    for (const int64_t length : settings_.lengths) {
      ModelCell cell = planned("generation", length);
      const double per_token = state.tokens == 0 ? decode_seconds_ : seconds / static_cast<double>(state.tokens);
      const auto more = static_cast<double>(length - state.tokens);
      if (const auto reason = reason_to_skip(cell, per_token * more, 0.5)) {
        skip(std::move(cell), *reason);
        continue;
      }
      const auto start = Clock::now();
      while (state.tokens < length) {
        model_.forward({&token, 1}, state, logits_);
        token = likeliest(logits_);
      }
      seconds += seconds_since(start);
      cell.times_ns = {seconds * 1e9};
      for (size_t i = 0; i < before.size(); ++i) cell.part_seconds[i] = model_.engine().seconds()[i] - before[i];
      cell.status = "timed";
      ended_(cell);
    }
  }

  void prefill(int64_t T) {
    ModelCell cell = planned("prefill", T);
    const double expected = prefill_flops_ == 0 ? 0 : prefill_seconds_ * cell.flops / prefill_flops_;
    if (const auto reason = reason_to_skip(cell, expected)) return skip(std::move(cell), *reason);
    const std::vector<Token> prompt = tokens(T);
    const auto work = [&] {
      ModelState state = model_.initial_state();
      model_.forward(prompt, state, logits_);
    };
    if (expected < kWarmUpSeconds) work();
    time(cell, work, settings_.repetitions, kRepetitionsSeconds);
    prefill_seconds_ = cell.median_ns() * 1e-9;
    prefill_flops_ = cell.flops;
    cell.status = "timed";
    ended_(cell);
  }

  static constexpr double kWarmUpSeconds = 1;       // longer ones need none
  static constexpr double kRepetitionsSeconds = 2;  // after this long there are no more repetitions of a prefill

  LanguageModel& model_;
  const ModelSweepSettings& settings_;
  const std::function<void(const ModelCell&)>& ended_;
  std::vector<float> logits_;
  Clock::time_point start_ = Clock::now();
  double decode_seconds_ = 0, decode_bytes_ = 0, prefill_seconds_ = 0, prefill_flops_ = 0;
};

}  // namespace

void sweep_model(LanguageModel& model, const ModelSweepSettings& settings,
                 const std::function<void(const ModelCell&)>& ended) {
  ModelSweep(model, settings, ended).run();
}

Cost cost_of(const ModelConfig& config, DType dtype, int64_t tokens, int64_t tokens_before) {
  Cost cost;
  const auto count = static_cast<double>(tokens);
  for (const ParameterSpec& spec : parameters_of(config)) {
    if (spec.name == "emb.weight") continue;  // a row a token, which is nothing
    const auto elements = static_cast<double>(spec.elements());
    cost.bytes += elements * static_cast<double>(size_of(spec.fp32 ? DType::f32 : dtype));
    if (!spec.fp32) cost.flops += 2 * elements * (spec.name == "head.weight" ? 1 : count);
  }
  const bool decode = tokens == 1 && tokens_before > 0;
  const Cost mixer = operator_named(mixing_operator(config.architecture))
                         .cost({.T = decode ? tokens_before + 1 : tokens,
                                .H = config.heads(),
                                .N = config.head_size,
                                .mode = decode ? Mode::decode : Mode::prefill,
                                .dtype = dtype});
  cost.flops += static_cast<double>(config.layers) * mixer.flops;
  const size_t state = state_bytes(config, dtype, tokens_before);
  cost.bytes += static_cast<double>(state);
  return cost;
}

GemmRate measure_gemm(DType dtype, int64_t channels, Executor& executor) {
  constexpr int64_t kTokens = 512;
  constexpr double kEnoughSeconds = 0.3;
  const Problem problem{.T = kTokens, .H = 1, .N = channels, .dtype = dtype, .outputs = 2 * channels};
  const TensorSet set(operator_named("gemm").tensors(problem));
  for (const TensorSpec& spec : set.specs()) {
    const auto bytes = set.bytes(spec);
    std::fill(bytes.begin(), bytes.end(), std::byte{0});
  }
  GemmRate best;
  for (const Variant* variant : variants_of("gemm")) {
    if (variant->device != DeviceKind::cpu || unsupported(*variant, problem)) continue;
    const auto start = Clock::now();
    double fastest = 1e9;
    for (int run = 0; run < 2 || seconds_since(start) < kEnoughSeconds; ++run) {
      const auto begin = Clock::now();
      variant->run(set.addresses(), problem, executor);
      fastest = std::min(fastest, seconds_since(begin));
    }
    const double rate = operator_named("gemm").cost(problem).flops / fastest;
    if (rate > best.flops_per_second) best = {variant->name, rate};
  }
  return best;
}

}  // namespace wkv::model
