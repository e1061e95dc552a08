// Tensors: what an operator declares of each (TensorSpec), and a set of them in guarded memory (TensorSet).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "harness/dtype.hpp"
#include "harness/memory.hpp"

namespace wkv {

class Executor;

// batch and head select a slice for verification; time rows of it may be sampled.
enum class Axis { batch, time, head, channel };

struct Dim {
  Axis axis;
  int64_t size;
};

enum class Role { input, output };

// How the problem generator fills an input.
enum class Values {
  normal,      // normal distribution around 0 with standard deviation TensorSpec::scale
  uniform,     // between -TensorSpec::scale and its opposite
  decay,       // w = exp(-exp(d)), d uniform, w over what trained models have: 0.001 to 0.9999
  decay_rate,  // exp(d) of the same d: 0.0001 to 6.9
  above_one,   // 1 + |normal|: a sum of weights of which the largest is 1
};

struct TensorSpec {
  std::string name;
  std::vector<Dim> dims;  // contiguous, last fastest
  DType dtype = DType::f32;
  Role role = Role::input;
  Values values = Values::normal;
  float scale = 1;
  float extreme = 1;  // extreme inputs: some heads are this much larger, some this much smaller

  int64_t elements() const;
  size_t bytes() const { return static_cast<size_t>(elements()) * size_of(dtype); }
};

// Where the tensors of a problem lie, by name: in the host's memory or in a device's.
class TensorAddresses {
 public:
  void add(std::string name, std::byte* address) { addresses_.emplace_back(std::move(name), address); }
  bool contains(std::string_view name) const;
  std::byte* data(std::string_view name) const;  // throws std::out_of_range if there is no such tensor
  template <class Element>
  Element* as(std::string_view name) const {
    return reinterpret_cast<Element*>(data(name));
  }

 private:
  std::vector<std::pair<std::string, std::byte*>> addresses_;
};

// One element of a tensor in memory, at an offset in elements, widened.
inline double element(const std::byte* data, DType dtype, int64_t offset) {
  if (dtype == DType::f32) return reinterpret_cast<const float*>(data)[offset];
  if (dtype == DType::f16) return static_cast<float>(reinterpret_cast<const Float16*>(data)[offset]);
  return static_cast<float>(reinterpret_cast<const BFloat16*>(data)[offset]);
}

// The tensors of one problem in one allocation each, page-aligned, with canaries before and behind.
class TensorSet {
 public:
  explicit TensorSet(std::vector<TensorSpec> specs);

  std::span<const TensorSpec> specs() const { return specs_; }
  bool contains(std::string_view name) const;
  const TensorSpec& spec(std::string_view name) const;
  std::byte* data(std::string_view name) const;  // throws std::out_of_range if there is no such tensor
  std::span<std::byte> bytes(const TensorSpec& spec) const;
  template <class Element>
  Element* as(std::string_view name) const {
    return reinterpret_cast<Element*>(data(name));
  }

  const TensorAddresses& addresses() const { return addresses_; }
  // All memory of a tensor: its data with kGuardBytes of canaries before and at least as many behind.
  std::span<std::byte> allocation(const TensorSpec& spec) const;

  // Fills every output with a pattern that is NaN in every dtype and that arithmetic does not produce.
  void poison_outputs() const;
  // Name of the first tensor around which a canary byte changed; empty if none.
  std::string overrun() const;
  void restore_guards() const;
  // To see whether anything changed in a tensor. On the executor's threads, if one is given; the same without.
  uint64_t checksum(const TensorSpec& spec, Executor* executor = nullptr) const;
  size_t total_bytes() const;

  static constexpr uint32_t kPoison = 0xffb7ffb7u;
  static constexpr size_t kGuardBytes = 4096;

 private:
  size_t index_of(std::string_view name) const;

  std::vector<TensorSpec> specs_;
  std::vector<Memory> allocations_;
  TensorAddresses addresses_;
};

}  // namespace wkv
