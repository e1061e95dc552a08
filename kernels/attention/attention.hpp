// Causal softmax attention, per batch entry and head: y_t = sum_{i<=t} softmax_i(q_t . k_i / sqrt(N)) v_i.
// (Vaswani et al., arXiv:1706.03762, eq. 1, with the causal mask.)
// Prefill: all T queries. Decode: one query at position T against a cache of T keys and values, its own included.
#pragma once

#include <cstddef>
#include <string_view>

#include "harness/problem.hpp"
#include "harness/tensor.hpp"

namespace wkv::kernels {

// All in the problem's dtype.
struct AttentionTensors {
  const std::byte* q;  // (B, T or 1, H, N)
  const std::byte* k;  // (B, T, H, N)
  const std::byte* v;  // (B, T, H, N)
  std::byte* y;        // as q
};

struct Attention {
  static constexpr std::string_view kName = "attention";
  using Tensors = AttentionTensors;
  static Tensors bind(const TensorAddresses& set);
};

}  // namespace wkv::kernels
