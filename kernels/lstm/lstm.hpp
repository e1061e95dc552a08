// LSTM (Hochreiter and Schmidhuber, 1997, with the forget gate of Gers et al., 2000) as PyTorch and cuDNN define it,
// with hidden size C = H N and as many input channels. Gates in the order input, forget, cell, output; per batch entry,
// for t = 1..T:
//   i, f, o = sigmoid(w_ih x_t + b_ih + w_hh h_{t-1} + b_hh),  g = tanh(the same)
//   c_t = f * c_{t-1} + i * g,   y_t = h_t = o * tanh(c_t)
// Decode is T = 1 with the state that a context left; its cost does not depend on the context's length.
#pragma once

#include <cstddef>
#include <string_view>

#include "harness/problem.hpp"
#include "harness/tensor.hpp"

namespace wkv::kernels {

struct LstmTensors {
  const std::byte* x;  // (B, T, C) in the problem's dtype
  const float* w_ih;   // (4 C, C)
  const float* w_hh;   // (4 C, C)
  const float* b_ih;   // (4 C)
  const float* b_hh;   // (4 C)
  const float* h;      // (B, C)
  const float* c;      // (B, C)
  std::byte* y;        // (B, T, C) in the problem's dtype; what is carried on is not rounded to it
  float* h_out;        // (B, C)
  float* c_out;        // (B, C)
};

struct Lstm {
  static constexpr std::string_view kName = "lstm";
  static constexpr int64_t kGates = 4;
  using Tensors = LstmTensors;
  static Tensors bind(const TensorAddresses& set);
};

}  // namespace wkv::kernels
