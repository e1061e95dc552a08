// A model's parameters in memory: matrices in the model's dtype, all else in fp32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "harness/executor.hpp"
#include "harness/memory.hpp"
#include "harness/model/checkpoint.hpp"
#include "harness/model/config.hpp"

namespace wkv::model {

// The model in a checkpoint of BlinkDL's names: version and sizes as its tensors have them, the group norm's epsilon as
// the metadata "group_norm_eps" says, or else BlinkDL's. Throws std::runtime_error naming the tensor that is missing or
// of no use.
ModelConfig config_of(const Checkpoint& checkpoint);

class Parameters {
 public:
  // Throws std::bad_alloc, and std::runtime_error naming a tensor that is missing or has another shape.
  static Parameters load(const Checkpoint& checkpoint, const ModelConfig& config, DType dtype, Executor& executor);
  static Parameters random(const ModelConfig& config, DType dtype, uint64_t seed, Executor& executor);

  const ModelConfig& config() const { return config_; }
  DType dtype() const { return dtype_; }
  size_t bytes() const;

  std::byte* matrix(std::string_view name) const { return at(name); }
  float* floats(std::string_view name) const { return reinterpret_cast<float*>(at(name)); }

 private:
  Parameters(const ModelConfig& config, DType dtype);
  std::byte* at(std::string_view name) const;

  ModelConfig config_;
  DType dtype_;
  std::map<std::string, Memory, std::less<>> memory_;
};

}  // namespace wkv::model
