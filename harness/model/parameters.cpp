#include "harness/model/parameters.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <stdexcept>
#include <vector>

namespace wkv::model {
namespace {

[[noreturn]] void fail(const Checkpoint& checkpoint, const std::string& message) {
  throw std::runtime_error(fmt::format("cannot use {}: {}", checkpoint.path().string(), message));
}

const StoredTensor& required(const Checkpoint& checkpoint, const std::string& name) {
  const StoredTensor* tensor = checkpoint.find(name);
  if (tensor == nullptr) fail(checkpoint, fmt::format("there is no tensor {}", in_quotes(name)));
  return *tensor;
}

[[noreturn]] void fail_shape(const Checkpoint& checkpoint, const StoredTensor& tensor, const std::string& expected) {
  fail(checkpoint, fmt::format("tensor {} (at byte {}) has the shape {} and not {}", in_quotes(tensor.name),
                               checkpoint.offset_of(tensor), to_string(tensor.shape), expected));
}

// Without sizes of 1: checkpoints keep vectors of C values as [1, 1, C], too.
std::vector<int64_t> squeezed(std::vector<int64_t> shape) {
  std::erase(shape, 1);
  return shape;
}

std::vector<int64_t> matrix_shape(const Checkpoint& checkpoint, const std::string& name) {
  const StoredTensor& tensor = required(checkpoint, name);
  if (tensor.shape.size() != 2 || tensor.elements() == 0) fail_shape(checkpoint, tensor, "that of a matrix");
  return tensor.shape;
}

// Of the tensors named blocks.<layer>.
int64_t count_layers(const Checkpoint& checkpoint) {
  constexpr std::string_view kBlocks = "blocks.";
  int64_t highest = -1;
  for (const StoredTensor& tensor : checkpoint.tensors()) {
    if (!tensor.name.starts_with(kBlocks)) continue;
    int64_t layer = -1;
    std::from_chars(tensor.name.data() + kBlocks.size(), tensor.name.data() + tensor.name.size(), layer);
    highest = std::max(highest, layer);
  }
  for (int64_t layer = 0; layer <= highest; ++layer) required(checkpoint, fmt::format("blocks.{}.ln1.weight", layer));
  return highest + 1;
}

float group_norm_epsilon(const Checkpoint& checkpoint, float default_value) {
  const auto found = checkpoint.metadata().find("group_norm_eps");
  if (found == checkpoint.metadata().end()) return default_value;
  float epsilon = 0;
  const char *begin = found->second.data(), *end = begin + found->second.size();
  const auto [rest, error] = std::from_chars(begin, end, epsilon);
  if (error != std::errc() || rest != end || !(epsilon > 0 && epsilon < 1)) {
    fail(checkpoint, fmt::format("its metadata \"group_norm_eps\" is {}", in_quotes(found->second)));
  }
  return epsilon;
}

int64_t head_size_of(const Checkpoint& checkpoint, const ModelConfig& config) {
  if (config.architecture == Architecture::rwkv4) return config.channels;
  const StoredTensor& decay = required(checkpoint, "blocks.0.att.time_decay");
  const int64_t heads = decay.shape.empty() ? 0 : decay.shape.front();
  const bool per_channel = config.architecture == Architecture::rwkv5_2;
  if (heads < 1 || config.channels % heads != 0 || (per_channel && decay.shape.size() < 2)) {
    fail_shape(checkpoint, decay,
               fmt::format("[heads{}], the heads a divisor of {}", per_channel ? ", head size" : "", config.channels));
  }
  return config.channels / heads;
}

void store_as(DType dtype, std::span<const float> values, std::byte* to) {
  if (dtype == DType::f32) {
    std::copy(values.begin(), values.end(), reinterpret_cast<float*>(to));
  } else {
    std::transform(values.begin(), values.end(), reinterpret_cast<BFloat16*>(to), [](float v) { return BFloat16(v); });
  }
}

// SplitMix64 (Steele et al., 2014): a number for every index, so that threads need no order.
float uniform(uint64_t seed, uint64_t index) {
  uint64_t z = seed + (index + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return static_cast<float>((z ^ (z >> 31)) >> 40) * 0x1p-24f;
}

}  // namespace

ModelConfig config_of(const Checkpoint& checkpoint) {
  ModelConfig config;
  config.layers = count_layers(checkpoint);
  if (config.layers == 0) fail(checkpoint, "it has no tensors named \"blocks.0...\": it is no RWKV model");
  const bool gated = checkpoint.find("blocks.0.att.gate.weight") != nullptr;
  const bool is_5 = gated || checkpoint.find("blocks.0.att.ln_x.weight") != nullptr;
  config.architecture = gated ? Architecture::rwkv5_2 : is_5 ? Architecture::rwkv5_1 : Architecture::rwkv4;
  const auto embedding = matrix_shape(checkpoint, "emb.weight");
  config.vocabulary = embedding[0];
  config.channels = embedding[1];
  config.hidden = matrix_shape(checkpoint, "blocks.0.ffn.key.weight")[0];
  config.head_size = head_size_of(checkpoint, config);
  config.group_norm_epsilon = group_norm_epsilon(checkpoint, config.group_norm_epsilon);
  return config;
}

Parameters::Parameters(const ModelConfig& config, DType dtype) : config_(config), dtype_(dtype) {}

Parameters Parameters::load(const Checkpoint& checkpoint, const ModelConfig& config, DType dtype, Executor& executor) {
  Parameters parameters(config, dtype);
  std::vector<ParameterSpec> specs = parameters_of(config);
  std::vector<const StoredTensor*> tensors;
  for (const ParameterSpec& spec : specs) {
    const StoredTensor& tensor = required(checkpoint, spec.name);
    if (squeezed(tensor.shape) != squeezed(spec.shape)) fail_shape(checkpoint, tensor, to_string(spec.shape));
    if (!is_floating(tensor.type)) {
      fail(checkpoint, fmt::format("tensor {} is of type {}", in_quotes(spec.name), name_of(tensor.type)));
    }
    tensors.push_back(&tensor);
  }
  for (const ParameterSpec& spec : specs) {
    parameters.memory_[spec.name] =
        allocate(static_cast<size_t>(spec.elements()) * size_of(spec.fp32 ? DType::f32 : dtype));
  }
  executor.parallel_for(static_cast<int64_t>(specs.size()), [&](int64_t i, int) {
    const ParameterSpec& spec = specs[static_cast<size_t>(i)];
    store_as(spec.fp32 ? DType::f32 : dtype, wkv::floats(*tensors[static_cast<size_t>(i)]), parameters.at(spec.name));
  });
  return parameters;
}

Parameters Parameters::random(const ModelConfig& config, DType dtype, uint64_t seed, Executor& executor) {
  constexpr int64_t kBlock = 1 << 16;
  Parameters parameters(config, dtype);
  for (const ParameterSpec& spec : parameters_of(config)) {
    const DType type = spec.fp32 ? DType::f32 : dtype;
    Memory& memory = parameters.memory_[spec.name];
    memory = allocate(static_cast<size_t>(spec.elements()) * size_of(type));
    const uint64_t own_seed = seed ^ std::hash<std::string>()(spec.name);
    executor.parallel_for((spec.elements() + kBlock - 1) / kBlock, [&](int64_t block, int) {
      std::vector<float> values(static_cast<size_t>(std::min(kBlock, spec.elements() - block * kBlock)));
      for (size_t i = 0; i < values.size(); ++i) {
        const uint64_t index = static_cast<uint64_t>(block * kBlock) + i;
        values[i] = spec.low + (spec.high - spec.low) * uniform(own_seed, index);
      }
      store_as(type, values, memory.get() + static_cast<size_t>(block * kBlock) * size_of(type));
    });
  }
  return parameters;
}

size_t Parameters::bytes() const { return weight_bytes(config_, dtype_); }

std::byte* Parameters::at(std::string_view name) const {
  const auto found = memory_.find(name);
  if (found == memory_.end()) throw std::out_of_range(fmt::format("the model has no parameter {}", in_quotes(name)));
  return found->second.get();
}

}  // namespace wkv::model
