// A language model that runs: RWKV-4, RWKV-5 or one of the twins (config.hpp). Many tokens at once or one after the
// other give the same logits, but for rounding.
// Activations between the parts are in the model's dtype, those that are added up from part to part, norms and states
// in fp32.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "harness/model/elementwise.hpp"
#include "harness/model/engine.hpp"
#include "harness/model/parameters.hpp"
#include "harness/model/state.hpp"
#include "harness/model/time_mixing.hpp"
#include "harness/model/tokenizer.hpp"

namespace wkv::model {

class LanguageModel {
 public:
  // The executor and the device, which only CUDA variants need, must outlive the model. Throws UsageError for a choice
  // that does not exist or does not run the model.
  LanguageModel(Parameters parameters, const KernelChoice& choice, Executor& executor, Device* device = nullptr);

  const ModelConfig& config() const { return parameters_.config(); }
  const Parameters& parameters() const { return parameters_; }
  Engine& engine() { return *engine_; }

  ModelState initial_state() const;

  // Runs one or more tokens, those of the vocabulary, and carries the state on. Logits are those after the last token,
  // V floats, or where there is room for T V those after each.
  // A model whose state does not grow runs long sequences in pieces of piece_tokens, so that activations do not grow.
  void forward(std::span<const Token> tokens, ModelState& state, std::span<float> logits);
  void set_piece_tokens(int64_t tokens) { piece_tokens_ = tokens; }
  static constexpr int64_t kPieceTokens = 1024;
  // How many of so many tokens are run at once.
  int64_t tokens_at_once(int64_t tokens) const;

 private:
  struct ChannelMixing {
    const float *key_share, *receptance_share;
    const std::byte *key, *value, *receptance;
  };
  struct Block {
    NormParameters time_norm, channel_norm;
    std::unique_ptr<TimeMixing> time_mixing;
    ChannelMixing channel_mixing;
  };
  NormParameters norm(const std::string& name) const;
  void embed(std::span<const Token> tokens, float* residual);
  void run_piece(std::span<const Token> tokens, ModelState& state, std::span<float> logits);
  void normalise(const NormParameters& norm, const Tokens& tokens, float* normal);
  void run(const ChannelMixing& mixing, const Tokens& tokens, LayerState& state);
  void head(int64_t tokens, const float* residual, std::span<float> logits);

  Parameters parameters_;
  std::unique_ptr<Engine> engine_;
  std::vector<Block> blocks_;
  NormParameters first_norm_, last_norm_;
  int64_t piece_tokens_ = kPieceTokens;
};

}  // namespace wkv::model
