// What a model carries from token to token, for one sequence. A copy of it is another sequence.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace wkv::model {

struct LayerState {
  std::vector<float> time_mixing_input, channel_mixing_input;  // of the token before; the first one of RWKV only
  std::vector<std::vector<float>> mixer;                       // the mixer's states, in the order of its time mixing
  std::vector<std::byte> keys, values;  // of all tokens so far, in the model's dtype: attention's
};

struct ModelState {
  int64_t tokens = 0;  // so far
  std::vector<LayerState> layers;

  size_t bytes() const {
    size_t bytes = 0;
    for (const LayerState& layer : layers) {
      bytes += (layer.time_mixing_input.size() + layer.channel_mixing_input.size()) * sizeof(float);
      for (const auto& state : layer.mixer) bytes += state.size() * sizeof(float);
      bytes += layer.keys.size() + layer.values.size();
    }
    return bytes;
  }
};

}  // namespace wkv::model
