#include "tests/model/test_models.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <random>

namespace wkv::model {

Values random_values(const ModelConfig& config, uint64_t seed) {
  std::mt19937_64 random(seed);
  Values values;
  for (const ParameterSpec& spec : parameters_of(config)) {
    std::uniform_real_distribution<float> uniform(spec.low, spec.high);
    std::vector<float>& own = values[spec.name];
    for (int64_t i = 0; i < spec.elements(); ++i) own.push_back((spec.fp32 ? 1 : 2) * uniform(random));
  }
  return values;
}

Drafts drafts_of(const ModelConfig& config, const Values& values) {
  Drafts drafts;
  for (const ParameterSpec& spec : parameters_of(config)) drafts[spec.name] = {spec.shape, values.at(spec.name)};
  return drafts;
}

void write_checkpoint(const std::filesystem::path& path, const Drafts& drafts,
                      const std::map<std::string, std::string>& metadata) {
  std::vector<StoredTensor> tensors;
  for (const auto& [name, draft] : drafts) {
    tensors.push_back(
        {.name = name, .type = StoredType::f32, .shape = draft.shape, .bytes = std::as_bytes(std::span(draft.values))});
  }
  write_safetensors(path, tensors, metadata);
}

std::vector<double> expected_logits(const ModelConfig& config, const Values& values, const std::vector<Token>& tokens) {
  using Version = reference::RwkvModel::Version;
  std::map<std::string, reference::Matrix> matrices;
  for (const ParameterSpec& spec : parameters_of(config)) {
    const std::vector<float>& own = values.at(spec.name);
    const Eigen::Index columns = spec.shape.back(), rows = static_cast<Eigen::Index>(own.size()) / columns;
    reference::Matrix& matrix = matrices[spec.name];
    matrix.resize(rows, columns);
    std::copy(own.begin(), own.end(), matrix.data());
  }
  reference::Rwkv rwkv({.version = config.architecture == Architecture::rwkv4     ? Version::v4
                                   : config.architecture == Architecture::rwkv5_1 ? Version::v5_1
                                                                                  : Version::v5_2,
                        .layers = config.layers,
                        .heads = config.heads(),
                        .group_norm_epsilon = static_cast<double>(config.group_norm_epsilon),
                        .parameter = [&](const std::string& name) { return matrices.at(name); }});
  std::vector<double> logits;
  for (const Token token : tokens) {
    const reference::Vector after = rwkv.forward(token);
    logits.insert(logits.end(), after.begin(), after.end());
  }
  return logits;
}

double largest_difference(const std::vector<float>& logits, const std::vector<double>& expected) {
  REQUIRE(logits.size() == expected.size());
  double largest = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double difference = std::abs(static_cast<double>(logits[i]) - expected[i]);
    if (!(difference <= largest)) largest = difference;  // NaN too
  }
  return largest;
}

std::vector<Token> random_tokens(int64_t count, int64_t vocabulary) {
  std::mt19937_64 random(11);
  std::vector<Token> tokens;
  for (int64_t i = 0; i < count; ++i) {
    tokens.push_back(static_cast<Token>(random() % static_cast<uint64_t>(vocabulary)));
  }
  return tokens;
}

}  // namespace wkv::model
