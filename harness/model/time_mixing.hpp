// The part of a block that mixes tokens: x += time_mixing(LN x).
#pragma once

#include <memory>
#include <string>

#include "harness/model/engine.hpp"
#include "harness/model/parameters.hpp"
#include "harness/model/state.hpp"

namespace wkv::model {

// Tokens of one sequence, the first of which has `before` ones before it.
struct Tokens {
  int64_t count = 0;
  int64_t before = 0;
  const float* normal = nullptr;  // (count, C): what comes in, normalised
  float* residual = nullptr;      // (count, C): to what is added
};

class TimeMixing {
 public:
  virtual ~TimeMixing() = default;

  virtual LayerState initial_state() const = 0;
  virtual void run(const Tokens& tokens, LayerState& state) = 0;
};

// Of one layer. The parameters and the engine must outlive it.
std::unique_ptr<TimeMixing> make_time_mixing(const Parameters& parameters, int64_t layer, Engine& engine);
std::unique_ptr<TimeMixing> make_twins_mixing(const Parameters& parameters, int64_t layer, Engine& engine);

// Mixes each token with the one before it, into each `to` with its share; the last token becomes `previous`.
struct MixedInto {
  const float* share;
  std::byte* to;
};
void shift_tokens(const Tokens& tokens, std::vector<float>& previous, std::span<const MixedInto> mixed, Engine& engine);

// Adds (count, C) elements of the model's dtype to the residual.
void add_to_residual(const Tokens& tokens, const std::byte* y, Engine& engine);

}  // namespace wkv::model
