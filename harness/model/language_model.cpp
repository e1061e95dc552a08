#include "harness/model/language_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace wkv::model {

LanguageModel::LanguageModel(Parameters parameters, const KernelChoice& choice, Executor& executor, Device* device)
    : parameters_(std::move(parameters)),
      engine_(std::make_unique<Engine>(config(), parameters_.dtype(), choice, executor, device)),
      first_norm_(norm("blocks.0.ln0")),
      last_norm_(norm("ln_out")) {
  for (int64_t layer = 0; layer < config().layers; ++layer) {
    const std::string block = fmt::format("blocks.{}.", layer), ffn = block + "ffn.";
    const ChannelMixing channel_mixing{.key_share = parameters_.floats(ffn + "time_mix_k"),
                                       .receptance_share = parameters_.floats(ffn + "time_mix_r"),
                                       .key = parameters_.matrix(ffn + "key.weight"),
                                       .value = parameters_.matrix(ffn + "value.weight"),
                                       .receptance = parameters_.matrix(ffn + "receptance.weight")};
    blocks_.push_back({.time_norm = norm(block + "ln1"),
                       .channel_norm = norm(block + "ln2"),
                       .time_mixing = make_time_mixing(parameters_, layer, *engine_),
                       .channel_mixing = channel_mixing});
  }
}

NormParameters LanguageModel::norm(const std::string& name) const {
  return {parameters_.floats(name + ".weight"), parameters_.floats(name + ".bias")};
}

ModelState LanguageModel::initial_state() const {
  ModelState state;
  for (const Block& block : blocks_) state.layers.push_back(block.time_mixing->initial_state());
  return state;
}

int64_t LanguageModel::tokens_at_once(int64_t tokens) const {
  return config().architecture == Architecture::transformer ? tokens : std::min(tokens, piece_tokens_);
}

void LanguageModel::forward(std::span<const Token> tokens, ModelState& state, std::span<float> logits) {
  const auto V = static_cast<size_t>(config().vocabulary);
  const bool after_each = logits.size() != V;
  if (tokens.empty() || (after_each && logits.size() != tokens.size() * V)) {
    throw std::logic_error("no tokens, or logits of the wrong size");
  }
  for (const Token token : tokens) {
    if (token < 0 || token >= config().vocabulary) {
      throw std::runtime_error(
          fmt::format("token {} is not in the model's vocabulary of {}", token, config().vocabulary));
    }
  }
  const auto piece = static_cast<size_t>(tokens_at_once(static_cast<int64_t>(tokens.size())));
  for (size_t first = 0; first < tokens.size(); first += piece) {
    const auto some = tokens.subspan(first, std::min(piece, tokens.size() - first));
    const bool last = first + some.size() == tokens.size();
    run_piece(some, state,
              after_each ? logits.subspan(first * V, some.size() * V) : logits.first(last ? V : size_t{0}));
  }
}

void LanguageModel::embed(std::span<const Token> tokens, float* residual) {
  const int64_t C = config().channels;
  const std::byte* embedding = parameters_.matrix("emb.weight");
  engine_->for_tokens(static_cast<int64_t>(tokens.size()), [&](int64_t t) {
    const auto token = static_cast<size_t>(tokens[static_cast<size_t>(t)]);
    float* row = residual + t * C;
    widen(C, engine_->dtype(), embedding + token * engine_->row_bytes(), row);
    layer_norm(C, first_norm_, row, row);
  });
}

void LanguageModel::run_piece(std::span<const Token> tokens, ModelState& state, std::span<float> logits) {
  engine_->start_clock();
  const int64_t C = config().channels;
  Tokens piece{.count = static_cast<int64_t>(tokens.size()), .before = state.tokens};
  float* normal = engine_->floats(Slot::normal, piece.count * C);
  piece.normal = normal;
  piece.residual = engine_->floats(Slot::residual, piece.count * C);
  embed(tokens, piece.residual);
  for (size_t layer = 0; layer < blocks_.size(); ++layer) {
    const Block& block = blocks_[layer];
    normalise(block.time_norm, piece, normal);
    block.time_mixing->run(piece, state.layers[layer]);
    normalise(block.channel_norm, piece, normal);
    engine_->lap(Part::elementwise);
    run(block.channel_mixing, piece, state.layers[layer]);
    engine_->lap(Part::channel_mixing);
  }
  state.tokens += piece.count;
  const auto wanted = static_cast<int64_t>(logits.size()) / config().vocabulary;
  if (wanted > 0) head(wanted, piece.residual + (piece.count - wanted) * C, logits);
  engine_->lap(Part::head);
}

void LanguageModel::normalise(const NormParameters& norm, const Tokens& tokens, float* normal) {
  const int64_t C = config().channels;
  engine_->for_tokens(tokens.count, [&](int64_t t) { layer_norm(C, norm, tokens.residual + t * C, normal + t * C); });
}

void LanguageModel::run(const ChannelMixing& mixing, const Tokens& tokens, LayerState& state) {
  const int64_t T = tokens.count, C = config().channels, F = config().hidden;
  const DType dtype = engine_->dtype();
  std::byte *for_key = engine_->rows(Slot::mixed0, T), *for_receptance = engine_->rows(Slot::mixed1, T);
  const MixedInto mixed[] = {{mixing.key_share, for_key}, {mixing.receptance_share, for_receptance}};
  shift_tokens(tokens, state.channel_mixing_input, mixed, *engine_);
  const size_t hidden_bytes = static_cast<size_t>(F) * size_of(dtype);
  std::byte* hidden = engine_->buffer(Slot::hidden, static_cast<size_t>(T) * hidden_bytes);
  engine_->project(mixing.key, C, F, T, for_key, hidden);
  engine_->for_tokens(T, [&](int64_t t) { square_relu(F, dtype, hidden + static_cast<size_t>(t) * hidden_bytes); });
  std::byte *receptance = engine_->rows(Slot::out0, T), *value = engine_->rows(Slot::out1, T);
  engine_->project(mixing.receptance, C, C, T, for_receptance, receptance);
  engine_->project(mixing.value, F, C, T, hidden, value);
  engine_->for_tokens(T, [&](int64_t t) {
    const size_t offset = static_cast<size_t>(t) * engine_->row_bytes();
    multiply_by_sigmoid(C, dtype, receptance + offset, value + offset);
    add_to(C, dtype, value + offset, tokens.residual + t * C);
  });
}

void LanguageModel::head(int64_t tokens, const float* residual, std::span<float> logits) {
  const int64_t C = config().channels, V = config().vocabulary;
  const DType dtype = engine_->dtype();
  std::byte* x = engine_->rows(Slot::mixed0, tokens);
  float* normal = engine_->floats(Slot::normal, tokens * C);
  engine_->for_tokens(tokens, [&](int64_t t) {
    layer_norm(C, last_norm_, residual + t * C, normal + t * C);
    narrow(C, dtype, normal + t * C, x + static_cast<size_t>(t) * engine_->row_bytes());
  });
  std::byte* y = dtype == DType::f32 ? reinterpret_cast<std::byte*>(logits.data())
                                     : engine_->buffer(Slot::logits, static_cast<size_t>(tokens * V) * size_of(dtype));
  engine_->project(parameters_.matrix("head.weight"), C, V, tokens, x, y);
  if (dtype == DType::f32) return;
  engine_->for_tokens(tokens, [&](int64_t t) {
    widen(V, dtype, y + static_cast<size_t>(t * V) * size_of(dtype), logits.data() + t * V);
  });
}

}  // namespace wkv::model
