// GRU (Cho et al., arXiv:1406.1078) as PyTorch and cuDNN define it, with hidden size C = H N and as many input
// channels. Gates in the order reset, update, new; the reset gate multiplies the recurrent product, its bias included.
// Per batch entry, for t = 1..T:
//   r, z = sigmoid(w_ih x_t + b_ih + w_hh h_{t-1} + b_hh)
//   n = tanh(w_ih x_t + b_ih + r * (w_hh h_{t-1} + b_hh))
//   y_t = h_t = (1 - z) * n + z * h_{t-1}
// Decode is T = 1 with the state that a context left; its cost does not depend on the context's length.
#pragma once

#include <cstddef>
#include <string_view>

#include "harness/problem.hpp"
#include "harness/tensor.hpp"

namespace wkv::kernels {

struct GruTensors {
  const std::byte* x;  // (B, T, C) in the problem's dtype
  const float* w_ih;   // (3 C, C)
  const float* w_hh;   // (3 C, C)
  const float* b_ih;   // (3 C)
  const float* b_hh;   // (3 C)
  const float* h;      // (B, C)
  std::byte* y;        // (B, T, C) in the problem's dtype; what is carried on is not rounded to it
  float* h_out;        // (B, C)
};

struct Gru {
  static constexpr std::string_view kName = "gru";
  static constexpr int64_t kGates = 3;
  using Tensors = GruTensors;
  static Tensors bind(const TensorAddresses& set);
};

}  // namespace wkv::kernels
