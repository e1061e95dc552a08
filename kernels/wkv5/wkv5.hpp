// WKV5, the operator of RWKV-5.2 (Eagle, arXiv:2404.05892). Per batch entry and head, for t = 1..T:
//   y_t[j]    = sum_i r_t[i] * (S_{t-1}[i][j] + u[i] * k_t[i] * v_t[j])
//   S_t[i][j] = w[i] * S_{t-1}[i][j] + k_t[i] * v_t[j],   w = exp(-exp(decay)) in [0, 1]
// Decode is T = 1 with the state that a context left; its cost does not depend on the context's length.
#pragma once

#include <cstddef>
#include <string_view>

#include "harness/problem.hpp"
#include "harness/tensor.hpp"

namespace wkv::kernels {

struct Wkv5Tensors {
  const std::byte* r;  // (B, T, H, N) in the problem's dtype
  const std::byte* k;
  const std::byte* v;
  const float* w;      // (H, N)
  const float* u;      // (H, N)
  const float* state;  // (B, H, N key, N value)
  std::byte* y;        // (B, T, H, N) in the problem's dtype
  float* state_out;    // (B, H, N key, N value)
};

struct Wkv5 {
  static constexpr std::string_view kName = "wkv5";
  using Tensors = Wkv5Tensors;
  static Tensors bind(const TensorAddresses& set);
};

}  // namespace wkv::kernels
