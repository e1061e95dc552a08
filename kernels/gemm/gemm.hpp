// GEMM, as the projection of a model's channels: for each token, y = w x with M x C weights, C = H N. As a matrix
// product it is (B T x C) times (C x M), the second one stored transposed, as PyTorch's Linear has it: (out, in).
// M = C unless the problem says otherwise. Decode is the projection of one token: a matrix times B vectors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "harness/problem.hpp"
#include "harness/tensor.hpp"

namespace wkv::kernels {

struct GemmTensors {
  const std::byte* x;  // (B, T, C); all three in the problem's dtype
  const std::byte* w;  // (M, C)
  std::byte* y;        // (B, T, M)
};

struct Gemm {
  static constexpr std::string_view kName = "gemm";
  using Tensors = GemmTensors;
  static Tensors bind(const TensorAddresses& set);
  static int64_t outputs(const Problem& p) { return p.outputs == 0 ? p.channels() : p.outputs; }
};

}  // namespace wkv::kernels
