#include "harness/model/config.hpp"

#include <algorithm>
#include <cmath>

namespace wkv::model {
namespace {

constexpr ModelConfig world(int64_t layers, int64_t channels) {
  return {.layers = layers, .channels = channels, .hidden = channels / 2 * 7, .vocabulary = 65536};
}

// Collects the parameters of a block under their full names. Random values are of the size that trained ones have, so
// that activations stay in range.
class Collector {
 public:
  explicit Collector(std::vector<ParameterSpec>& specs) : specs_(specs) {}

  void norm(const std::string& name, int64_t channels) {
    add(name + ".weight", {channels}, 0.8f, 1.2f);
    add(name + ".bias", {channels}, -0.1f, 0.1f);
  }
  void matrix(const std::string& name, int64_t outputs, int64_t inputs) {
    const float bound = 1 / std::sqrt(static_cast<float>(inputs));
    specs_.push_back({.name = name, .shape = {outputs, inputs}, .fp32 = false, .low = -bound, .high = bound});
  }
  void add(const std::string& name, std::vector<int64_t> shape, float low, float high) {
    specs_.push_back({.name = name, .shape = std::move(shape), .fp32 = true, .low = low, .high = high});
  }

 private:
  std::vector<ParameterSpec>& specs_;
};

// The decays of random models keep between a token's and some thousand tokens' memory.
void add_rwkv(const ModelConfig& config, const std::string& att, Collector& collect) {
  const int64_t C = config.channels, H = config.heads();
  const bool gated = config.architecture == Architecture::rwkv5_2, is_4 = config.architecture == Architecture::rwkv4;
  const std::vector<int64_t> decay_shape = gated  ? std::vector{H, config.head_size}
                                           : is_4 ? std::vector{C}
                                                  : std::vector{H};
  collect.add(att + "time_decay", decay_shape, -7, 0.5f);
  collect.add(att + (gated ? "time_faaaa" : "time_first"), decay_shape, -0.5f, 0.5f);
  for (const char* mixed : {"r", "k", "v", "g"}) {
    if (*mixed != 'g' || gated) collect.add(att + "time_mix_" + mixed, {C}, 0, 1);
  }
  for (const char* matrix : {"receptance", "key", "value", "gate", "output"}) {
    if (*matrix != 'g' || gated) collect.matrix(att + matrix + ".weight", C, C);
  }
  if (config.has_group_norm()) collect.norm(att + "ln_x", C);
}

void add_time_mixing(const ModelConfig& config, const std::string& att, Collector& collect) {
  const int64_t C = config.channels;
  const float bound = 1 / std::sqrt(static_cast<float>(C));
  switch (config.architecture) {
    case Architecture::transformer:
      for (const char* matrix : {"query", "key", "value", "output"}) collect.matrix(att + matrix + ".weight", C, C);
      return;
    case Architecture::lstm:
    case Architecture::gru: {
      const int64_t rows = (config.architecture == Architecture::lstm ? 4 : 3) * C;
      for (const char* weight : {"w_ih", "w_hh"}) collect.add(att + weight, {rows, C}, -bound, bound);
      for (const char* bias : {"b_ih", "b_hh"}) collect.add(att + bias, {rows}, -bound, bound);
      return;
    }
    default:
      add_rwkv(config, att, collect);
  }
}

void add_channel_mixing(const ModelConfig& config, const std::string& ffn, Collector& collect) {
  const int64_t C = config.channels;
  for (const char* mixed : {"k", "r"}) collect.add(ffn + "time_mix_" + mixed, {C}, 0, 1);
  collect.matrix(ffn + "key.weight", config.hidden, C);
  collect.matrix(ffn + "value.weight", C, config.hidden);
  collect.matrix(ffn + "receptance.weight", C, C);
}

}  // namespace

const ModelPreset kModelPresets[5] = {{"0.1b", world(12, 768)},
                                      {"0.4b", world(24, 1024)},
                                      {"1.5b", world(24, 2048)},
                                      {"3b", world(32, 2560)},
                                      {"7b", world(32, 4096)}};

std::string_view name_of(Architecture architecture) {
  switch (architecture) {
    case Architecture::rwkv4:
      return "rwkv-4";
    case Architecture::rwkv5_1:
      return "rwkv-5.1";
    case Architecture::rwkv5_2:
      return "rwkv-5.2";
    case Architecture::transformer:
      return "transformer";
    case Architecture::lstm:
      return "lstm";
    default:
      return "gru";
  }
}

std::string_view mixing_operator(Architecture architecture) {
  switch (architecture) {
    case Architecture::rwkv4:
      return "wkv4";
    case Architecture::rwkv5_1:
    case Architecture::rwkv5_2:
      return "wkv5";
    case Architecture::transformer:
      return "attention";
    default:
      return name_of(architecture);
  }
}

int64_t ParameterSpec::elements() const {
  int64_t product = 1;
  for (const int64_t size : shape) product *= size;
  return product;
}

std::vector<ParameterSpec> parameters_of(const ModelConfig& config) {
  std::vector<ParameterSpec> specs;
  Collector collect(specs);
  collect.matrix("emb.weight", config.vocabulary, config.channels);
  collect.norm("blocks.0.ln0", config.channels);
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const std::string block = "blocks." + std::to_string(layer) + ".";
    collect.norm(block + "ln1", config.channels);
    collect.norm(block + "ln2", config.channels);
    add_time_mixing(config, block + "att.", collect);
    add_channel_mixing(config, block + "ffn.", collect);
  }
  collect.norm("ln_out", config.channels);
  collect.matrix("head.weight", config.vocabulary, config.channels);
  return specs;
}

int64_t parameter_count(const ModelConfig& config) {
  int64_t count = 0;
  for (const ParameterSpec& spec : parameters_of(config)) count += spec.elements();
  return count;
}

size_t weight_bytes(const ModelConfig& config, DType dtype) {
  size_t bytes = 0;
  for (const ParameterSpec& spec : parameters_of(config)) {
    bytes += static_cast<size_t>(spec.elements()) * size_of(spec.fp32 ? DType::f32 : dtype);
  }
  return bytes;
}

size_t state_bytes(const ModelConfig& config, DType dtype, int64_t T) {
  const auto C = static_cast<size_t>(config.channels), N = static_cast<size_t>(config.head_size);
  const auto of_layer = [&]() -> size_t {
    switch (config.architecture) {
      case Architecture::rwkv4:
        return 5 * C * sizeof(float);
      case Architecture::transformer:
        return C * sizeof(float) + 2 * C * static_cast<size_t>(T) * size_of(dtype);
      case Architecture::lstm:
        return 3 * C * sizeof(float);
      case Architecture::gru:
        return 2 * C * sizeof(float);
      default:
        return (2 + N) * C * sizeof(float);
    }
  };
  return static_cast<size_t>(config.layers) * of_layer();
}

size_t activation_bytes(const ModelConfig& config, DType dtype, int64_t tokens) {
  const int64_t floats = 2 * config.channels, elements = 8 * config.channels + config.hidden;
  return static_cast<size_t>(tokens * floats) * sizeof(float) + static_cast<size_t>(tokens * elements) * size_of(dtype);
}

ModelConfig twin_of(const ModelConfig& config, Architecture architecture) {
  constexpr int64_t kMultiple = 32;
  ModelConfig twin = config;
  twin.architecture = architecture;
  const int64_t missing = (parameter_count(config) - parameter_count(twin)) / config.layers;
  const int64_t hidden = config.hidden + missing / (2 * config.channels);
  twin.hidden = std::max<int64_t>(1, (hidden + kMultiple / 2) / kMultiple) * kMultiple;
  return twin;
}

}  // namespace wkv::model
