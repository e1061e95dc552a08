// WKV4, the operator of RWKV-4 (arXiv:2305.13048, eq. 16). Per batch entry and channel, C = H N of them, for t = 1..T:
//   y_t = (sum_{i<t} exp(-(t-1-i) w + k_i) v_i + exp(u + k_t) v_t) / (sum_{i<t} exp(-(t-1-i) w + k_i) + exp(u + k_t))
// The sums are carried as numerator and denominator times exp(exponent), the largest exponent of their terms.
// Decode is T = 1 with the state that a context left; its cost does not depend on the context's length.
#pragma once

#include <cstddef>
#include <string_view>

#include "harness/problem.hpp"
#include "harness/tensor.hpp"

namespace wkv::kernels {

struct Wkv4Tensors {
  const std::byte* k;  // (B, T, H, N) in the problem's dtype
  const std::byte* v;
  const float* w;          // (H, N): the decay rate, >= 0
  const float* u;          // (H, N)
  const float* numerator;  // (B, H, N)
  const float* denominator;
  const float* exponent;
  std::byte* y;          // (B, T, H, N) in the problem's dtype
  float* numerator_out;  // (B, H, N)
  float* denominator_out;
  float* exponent_out;
};

struct Wkv4 {
  static constexpr std::string_view kName = "wkv4";
  using Tensors = Wkv4Tensors;
  static Tensors bind(const TensorAddresses& set);
};

}  // namespace wkv::kernels
