// What a language model is made of: RWKV of versions 4 and 5, and twins that mix tokens in another way.
// All have the same frame: embedding, layer norm, blocks of x += time_mixing(LN x); x += channel_mixing(LN x), layer
// norm, head. Parameters are named as in BlinkDL's checkpoints.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "harness/dtype.hpp"

namespace wkv::model {

enum class Architecture {
  rwkv4,
  rwkv5_1,  // RWKV-5.0 too, which is trained otherwise but computes the same: one decay and bonus a head, no gate
  rwkv5_2,  // Eagle: a decay and bonus for each channel, and a gate
  transformer,
  lstm,
  gru
};
inline constexpr Architecture kTwins[] = {Architecture::transformer, Architecture::lstm, Architecture::gru};

std::string_view name_of(Architecture architecture);          // "rwkv-5.2", "transformer"
std::string_view mixing_operator(Architecture architecture);  // "wkv5", "attention"

struct ModelConfig {
  Architecture architecture = Architecture::rwkv5_2;
  int64_t layers = 0;
  int64_t channels = 0;  // C
  int64_t hidden = 0;    // of channel mixing
  int64_t vocabulary = 0;
  int64_t head_size = 64;  // divides the channels; of RWKV-4, LSTM and GRU, whose channels are apart, any such number
  float group_norm_epsilon = 64e-5f;  // of RWKV-5

  int64_t heads() const { return channels / head_size; }
  bool has_group_norm() const { return architecture == Architecture::rwkv5_1 || architecture == Architecture::rwkv5_2; }
};

struct ParameterSpec {
  std::string name;
  std::vector<int64_t> shape;
  bool fp32 = true;         // whatever the model's dtype, which is that of the other ones
  float low = 0, high = 0;  // of random values

  int64_t elements() const;
};

// All of them, the first one first.
std::vector<ParameterSpec> parameters_of(const ModelConfig& config);
int64_t parameter_count(const ModelConfig& config);
size_t weight_bytes(const ModelConfig& config, DType dtype);
// Of one sequence of T tokens: only a Transformer's, its cache of keys and values, depends on T.
size_t state_bytes(const ModelConfig& config, DType dtype, int64_t T);
size_t activation_bytes(const ModelConfig& config, DType dtype, int64_t tokens);  // of tokens that are run at once

// A model of another architecture, as wide and as deep, with a hidden width that makes it as large.
ModelConfig twin_of(const ModelConfig& config, Architecture architecture);

struct ModelPreset {
  std::string_view name;
  ModelConfig config;
};
// The RWKV-5 World models.
extern const ModelPreset kModelPresets[5];

}  // namespace wkv::model
