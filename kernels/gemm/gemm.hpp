// GEMM, as the projection of a model's channels: for each token, y = w x with C x C weights, C = H N. As a matrix
// product it is (B T x C) times (C x C), the second one stored transposed, as PyTorch's Linear has it: (out, in).
// Decode is the projection of one token: the product of a matrix and B vectors.
#pragma once

#include <cstddef>
#include <string_view>

#include "harness/problem.hpp"
#include "harness/tensor.hpp"

namespace wkv::kernels {

struct GemmTensors {
  const std::byte* x;  // (B, T, C); all three in the problem's dtype
  const std::byte* w;  // (C out, C in)
  std::byte* y;        // (B, T, C)
};

struct Gemm {
  static constexpr std::string_view kName = "gemm";
  using Tensors = GemmTensors;
  static Tensors bind(const TensorAddresses& set);
};

}  // namespace wkv::kernels
