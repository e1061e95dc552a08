// What takes the place of RWKV's time mixing in its twins: softmax attention with rotary positions, LSTM, GRU.
#include <algorithm>

#include "harness/model/elementwise.hpp"
#include "harness/model/time_mixing.hpp"

namespace wkv::model {
namespace {

std::string att(int64_t layer) { return "blocks." + std::to_string(layer) + ".att."; }

std::byte* bytes_of(std::vector<float>& floats) { return reinterpret_cast<std::byte*>(floats.data()); }

class AttentionMixing final : public TimeMixing {
 public:
  AttentionMixing(const Parameters& parameters, int64_t layer, Engine& engine) : engine_(engine), layer_(layer) {
    for (const char* matrix : {"query", "key", "value", "output"}) {
      weights_.push_back(parameters.matrix(att(layer) + matrix + ".weight"));
    }
  }

  LayerState initial_state() const override {
    LayerState state;
    state.channel_mixing_input.resize(static_cast<size_t>(engine_.channels()));
    return state;
  }

  void run(const Tokens& tokens, LayerState& state) override {
    const int64_t T = tokens.count, C = engine_.channels();
    std::byte* x = engine_.rows(Slot::mixed0, T);
    engine_.for_tokens(T, [&](int64_t t) {
      narrow(C, engine_.dtype(), tokens.normal + t * C, x + static_cast<size_t>(t) * engine_.row_bytes());
    });
    std::byte* q = engine_.rows(Slot::out0, T);
    std::byte *k = grown(state.keys, tokens), *v = grown(state.values, tokens);
    engine_.lap(Part::elementwise);
    engine_.project(weights_[0], C, C, T, x, q);
    engine_.project(weights_[1], C, C, T, x, k);
    engine_.project(weights_[2], C, C, T, x, v);
    engine_.lap(Part::projections);
    const ModelConfig& config = engine_.config();
    engine_.for_tokens(T, [&](int64_t t) {
      for (std::byte* each : {q, k}) {
        rotate(config.heads(), config.head_size, tokens.before + t, engine_.dtype(),
               each + static_cast<size_t>(t) * engine_.row_bytes());
      }
    });
    engine_.lap(Part::elementwise);
    std::byte* y = x;
    attend(tokens, state, q, y);
    engine_.lap(Part::mixer);
    std::byte* out = engine_.rows(Slot::mixed1, T);
    engine_.project(weights_[3], C, C, T, y, out);
    engine_.lap(Part::projections);
    add_to_residual(tokens, out, engine_);
    engine_.lap(Part::elementwise);
  }

 private:
  // Room for the tokens in a cache; where they begin.
  std::byte* grown(std::vector<std::byte>& cache, const Tokens& tokens) const {
    cache.resize(static_cast<size_t>(tokens.before + tokens.count) * engine_.row_bytes());
    return cache.data() + static_cast<size_t>(tokens.before) * engine_.row_bytes();
  }

  // All queries at once where there is nothing before them, or else one after the other: the operator has no other way.
  void attend(const Tokens& tokens, LayerState& state, std::byte* q, std::byte* y) {
    const int64_t at_once = tokens.before == 0 ? tokens.count : 1;
    for (int64_t t = 0; t < tokens.count; t += at_once) {
      const size_t offset = static_cast<size_t>(t) * engine_.row_bytes();
      TensorAddresses tensors;
      tensors.add("q", q + offset);
      tensors.add("k", state.keys.data());
      tensors.add("v", state.values.data());
      tensors.add("y", y + offset);
      engine_.run_mixer(layer_, engine_.mixer_problem(at_once, tokens.before + t), tensors);
    }
  }

  Engine& engine_;
  int64_t layer_;
  std::vector<const std::byte*> weights_;
};

// LSTM and GRU: the operator holds the input's product too, and its output goes to the residual as it is.
class RecurrentMixing final : public TimeMixing {
 public:
  RecurrentMixing(const Parameters& parameters, int64_t layer, Engine& engine) : engine_(engine), layer_(layer) {
    for (const char* name : kParameters) parameters_.push_back(parameters.floats(att(layer) + name));
    states_ = {"h"};
    if (engine.config().architecture == Architecture::lstm) states_.push_back("c");
    state_out_ = initial_state().mixer;
  }

  LayerState initial_state() const override {
    const std::vector<float> zeros(static_cast<size_t>(engine_.channels()));
    return {.time_mixing_input = {},
            .channel_mixing_input = zeros,
            .mixer = std::vector(states_.size(), zeros),
            .keys = {},
            .values = {}};
  }

  void run(const Tokens& tokens, LayerState& state) override {
    const int64_t T = tokens.count, C = engine_.channels();
    std::byte *x = engine_.rows(Slot::mixed0, T), *y = engine_.rows(Slot::out0, T);
    engine_.for_tokens(T, [&](int64_t t) {
      narrow(C, engine_.dtype(), tokens.normal + t * C, x + static_cast<size_t>(t) * engine_.row_bytes());
    });
    engine_.lap(Part::elementwise);
    TensorAddresses tensors;
    tensors.add("x", x);
    for (size_t i = 0; i < std::size(kParameters); ++i) {
      tensors.add(kParameters[i], reinterpret_cast<std::byte*>(parameters_[i]));
    }
    for (size_t i = 0; i < states_.size(); ++i) {
      tensors.add(states_[i], bytes_of(state.mixer[i]));
      tensors.add(states_[i] + "_out", bytes_of(state_out_[i]));
    }
    tensors.add("y", y);
    engine_.run_mixer(layer_, engine_.mixer_problem(T, tokens.before), tensors);
    std::swap(state.mixer, state_out_);
    engine_.lap(Part::mixer);
    add_to_residual(tokens, y, engine_);
    engine_.lap(Part::elementwise);
  }

 private:
  static constexpr const char* kParameters[] = {"w_ih", "w_hh", "b_ih", "b_hh"};

  Engine& engine_;
  int64_t layer_;
  std::vector<float*> parameters_;
  std::vector<std::string> states_;
  std::vector<std::vector<float>> state_out_;
};

}  // namespace

std::unique_ptr<TimeMixing> make_twins_mixing(const Parameters& parameters, int64_t layer, Engine& engine) {
  if (parameters.config().architecture == Architecture::transformer) {
    return std::make_unique<AttentionMixing>(parameters, layer, engine);
  }
  return std::make_unique<RecurrentMixing>(parameters, layer, engine);
}

}  // namespace wkv::model
