// Picks a token from logits.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "harness/model/tokenizer.hpp"

namespace wkv::model {

class Sampler {
 public:
  // Temperature 0 takes the likeliest token; top_p in (0, 1]: of the tokens by likelihood, only the first ones that
  // have this probability together. The same seed gives the same tokens.
  Sampler(double temperature, double top_p, uint64_t seed);

  // Throws std::runtime_error where a logit is not finite.
  Token sample(std::span<const float> logits);

 private:
  double temperature_, top_p_;
  std::mt19937_64 random_;
  std::vector<std::pair<double, Token>> heap_;  // probabilities, not yet divided by their sum
};

}  // namespace wkv::model
