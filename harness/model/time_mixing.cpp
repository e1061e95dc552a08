#include "harness/model/time_mixing.hpp"

#include <algorithm>
#include <cmath>

#include "harness/model/elementwise.hpp"

namespace wkv::model {
namespace {

std::string att(int64_t layer) { return "blocks." + std::to_string(layer) + ".att."; }

std::byte* bytes_of(std::vector<float>& floats) { return reinterpret_cast<std::byte*>(floats.data()); }

// What the versions share: receptance, key and value (and gate) of shifted tokens, and the projection of the output.
class RwkvMixing : public TimeMixing {
 public:
  RwkvMixing(const Parameters& parameters, int64_t layer, Engine& engine, bool gated) : engine_(engine), layer_(layer) {
    constexpr std::pair<const char*, const char*> kInputs[] = {
        {"r", "receptance"}, {"k", "key"}, {"v", "value"}, {"g", "gate"}};
    for (size_t i = 0; i < (gated ? 4u : 3u); ++i) {
      shares_.push_back(parameters.floats(att(layer) + "time_mix_" + kInputs[i].first));
      weights_.push_back(parameters.matrix(att(layer) + kInputs[i].second + ".weight"));
    }
    output_ = parameters.matrix(att(layer) + "output.weight");
  }

  void run(const Tokens& tokens, LayerState& state) final {
    const int64_t T = tokens.count, C = engine_.channels();
    std::vector<MixedInto> mixed;
    for (size_t i = 0; i < shares_.size(); ++i) mixed.push_back({shares_[i], engine_.rows(mixed_slot(i), T)});
    shift_tokens(tokens, state.time_mixing_input, mixed, engine_);
    engine_.lap(Part::elementwise);
    for (size_t i = 0; i < weights_.size(); ++i) {
      engine_.project(weights_[i], C, C, T, mixed[i].to, projected(i, T));
    }
    engine_.lap(Part::projections);
    std::byte* y = mixed[0].to;  // r, k, v and the gate are made
    TensorAddresses tensors;
    add_tensors(tokens, state, y, tensors);
    engine_.run_mixer(layer_, engine_.mixer_problem(T, tokens.before), tensors);
    std::swap(state.mixer, state_out_);
    engine_.lap(Part::mixer);
    finish(T, y);
    engine_.lap(Part::elementwise);
    engine_.project(output_, C, C, T, y, mixed[1].to);
    engine_.lap(Part::projections);
    add_to_residual(tokens, mixed[1].to, engine_);
    engine_.lap(Part::elementwise);
  }

 protected:
  enum Projected : size_t { kReceptance, kKey, kValue, kGate };

  virtual void add_tensors(const Tokens& tokens, LayerState& state, std::byte* y, TensorAddresses& tensors) = 0;
  virtual void finish(int64_t T, std::byte* y) = 0;  // what is done with the mixer's output before the projection

  // (T, C) in the model's dtype.
  std::byte* projected(size_t which, int64_t T) {
    return engine_.rows(static_cast<Slot>(static_cast<size_t>(Slot::out0) + which), T);
  }
  bool gated() const { return weights_.size() > kGate; }

  Engine& engine_;
  std::vector<std::vector<float>> state_out_;  // the mixer's, exchanged with the layer's after each run

 private:
  static Slot mixed_slot(size_t i) { return static_cast<Slot>(static_cast<size_t>(Slot::mixed0) + i); }

  int64_t layer_;
  std::vector<const float*> shares_;
  std::vector<const std::byte*> weights_;
  const std::byte* output_;
};

class Rwkv4Mixing final : public RwkvMixing {
 public:
  Rwkv4Mixing(const Parameters& parameters, int64_t layer, Engine& engine)
      : RwkvMixing(parameters, layer, engine, false), u_(parameters.floats(att(layer) + "time_first")) {
    const float* decay = parameters.floats(att(layer) + "time_decay");
    for (int64_t c = 0; c < engine.channels(); ++c) rate_.push_back(std::exp(decay[c]));
    state_out_ = initial_state().mixer;
  }

  // Empty sums, and an exponent that any token's exceeds.
  LayerState initial_state() const override {
    const std::vector<float> zeros(rate_.size()), lowest(rate_.size(), -1e30f);
    return {.time_mixing_input = zeros,
            .channel_mixing_input = zeros,
            .mixer = {zeros, zeros, lowest},
            .keys = {},
            .values = {}};
  }

 private:
  void add_tensors(const Tokens& tokens, LayerState& state, std::byte* y, TensorAddresses& tensors) override {
    tensors.add("k", projected(kKey, tokens.count));
    tensors.add("v", projected(kValue, tokens.count));
    tensors.add("w", bytes_of(rate_));
    tensors.add("u", reinterpret_cast<std::byte*>(u_));
    constexpr const char* kStates[] = {"numerator", "denominator", "exponent"};
    for (size_t i = 0; i < 3; ++i) {
      tensors.add(kStates[i], bytes_of(state.mixer[i]));
      tensors.add(std::string(kStates[i]) + "_out", bytes_of(state_out_[i]));
    }
    tensors.add("y", y);
  }

  void finish(int64_t T, std::byte* y) override {
    const std::byte* r = projected(kReceptance, T);
    engine_.for_tokens(T, [&](int64_t t) {
      const size_t offset = static_cast<size_t>(t) * engine_.row_bytes();
      multiply_by_sigmoid(engine_.channels(), engine_.dtype(), r + offset, y + offset);
    });
  }

  std::vector<float> rate_;
  float* u_;
};

class Rwkv5Mixing final : public RwkvMixing {
 public:
  Rwkv5Mixing(const Parameters& parameters, int64_t layer, Engine& engine)
      : RwkvMixing(parameters, layer, engine, engine.config().architecture == Architecture::rwkv5_2),
        norm_{parameters.floats(att(layer) + "ln_x.weight"), parameters.floats(att(layer) + "ln_x.bias")} {
    const float* decay = parameters.floats(att(layer) + "time_decay");
    const float* bonus = parameters.floats(att(layer) + (gated() ? "time_faaaa" : "time_first"));
    for (int64_t c = 0; c < engine.channels(); ++c) {
      const int64_t i = gated() ? c : c / engine.config().head_size;
      w_.push_back(std::exp(-std::exp(decay[i])));
      u_.push_back(gated() ? bonus[i] : std::exp(bonus[i]));
    }
    state_out_ = initial_state().mixer;
  }

  LayerState initial_state() const override {
    const std::vector<float> zeros(w_.size());
    return {.time_mixing_input = zeros,
            .channel_mixing_input = zeros,
            .mixer = {std::vector<float>(w_.size() * static_cast<size_t>(engine_.config().head_size))},
            .keys = {},
            .values = {}};
  }

 private:
  void add_tensors(const Tokens& tokens, LayerState& state, std::byte* y, TensorAddresses& tensors) override {
    tensors.add("r", projected(kReceptance, tokens.count));
    tensors.add("k", projected(kKey, tokens.count));
    tensors.add("v", projected(kValue, tokens.count));
    tensors.add("w", bytes_of(w_));
    tensors.add("u", bytes_of(u_));
    tensors.add("state", bytes_of(state.mixer[0]));
    tensors.add("y", y);
    tensors.add("state_out", bytes_of(state_out_[0]));
  }

  void finish(int64_t T, std::byte* y) override {
    const ModelConfig& config = engine_.config();
    const std::byte* gate = gated() ? projected(kGate, T) : nullptr;
    engine_.for_tokens(T, [&](int64_t t) {
      const size_t offset = static_cast<size_t>(t) * engine_.row_bytes();
      group_norm(config.heads(), config.head_size, config.group_norm_epsilon, norm_, engine_.dtype(),
                 gate == nullptr ? nullptr : gate + offset, y + offset);
    });
  }

  NormParameters norm_;
  std::vector<float> w_, u_;
};

}  // namespace

std::unique_ptr<TimeMixing> make_time_mixing(const Parameters& parameters, int64_t layer, Engine& engine) {
  switch (parameters.config().architecture) {
    case Architecture::rwkv4:
      return std::make_unique<Rwkv4Mixing>(parameters, layer, engine);
    case Architecture::rwkv5_1:
    case Architecture::rwkv5_2:
      return std::make_unique<Rwkv5Mixing>(parameters, layer, engine);
    default:
      return make_twins_mixing(parameters, layer, engine);
  }
}

void shift_tokens(const Tokens& tokens, std::vector<float>& previous, std::span<const MixedInto> mixed,
                  Engine& engine) {
  const int64_t C = engine.channels();
  engine.for_tokens(tokens.count, [&](int64_t t) {
    const float* x = tokens.normal + t * C;
    for (const MixedInto& into : mixed) {
      mix(C, engine.dtype(), into.share, x, t == 0 ? previous.data() : x - C,
          into.to + static_cast<size_t>(t) * engine.row_bytes());
    }
  });
  std::copy_n(tokens.normal + (tokens.count - 1) * C, C, previous.data());
}

void add_to_residual(const Tokens& tokens, const std::byte* y, Engine& engine) {
  const int64_t C = engine.channels();
  engine.for_tokens(tokens.count, [&](int64_t t) {
    add_to(C, engine.dtype(), y + static_cast<size_t>(t) * engine.row_bytes(), tokens.residual + t * C);
  });
}

}  // namespace wkv::model
