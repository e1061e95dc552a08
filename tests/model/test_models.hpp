// Small models for the tests: parameters as in a checkpoint, logits by the reference.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "harness/model/config.hpp"
#include "harness/model/tokenizer.hpp"
#include "harness/safetensors.hpp"
#include "reference/rwkv.hpp"

namespace wkv::model {

using Values = std::map<std::string, std::vector<float>>;

// Parameters drawn as for random models, but with larger matrices, so that every part matters for the logits.
Values random_values(const ModelConfig& config, uint64_t seed);

// Writes them as a checkpoint; a change may take tensors out or alter their shapes.
struct Draft {
  std::vector<int64_t> shape;
  std::vector<float> values;
};
using Drafts = std::map<std::string, Draft>;
Drafts drafts_of(const ModelConfig& config, const Values& values);
void write_checkpoint(const std::filesystem::path& path, const Drafts& drafts,
                      const std::map<std::string, std::string>& metadata = {});

// (T, V) by the reference.
std::vector<double> expected_logits(const ModelConfig& config, const Values& values, const std::vector<Token>& tokens);

double largest_difference(const std::vector<float>& logits, const std::vector<double>& expected);

std::vector<Token> random_tokens(int64_t count, int64_t vocabulary);

}  // namespace wkv::model
