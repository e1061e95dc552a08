// What a model does to a token's channels beside products and mixers. A pointer to bytes is to elements of the dtype,
// f32 or bf16; arithmetic is in fp32.
#pragma once

#include <cstddef>
#include <cstdint>

#include "harness/dtype.hpp"

namespace wkv::model {

struct NormParameters {
  const float* weight;
  const float* bias;
};

void widen(int64_t C, DType dtype, const std::byte* x, float* y);
void narrow(int64_t C, DType dtype, const float* x, std::byte* y);

// y = (x - mean) / sqrt(variance + epsilon) weight + bias
void layer_norm(int64_t C, const NormParameters& parameters, const float* x, float* y);
inline constexpr float kLayerNormEpsilon = 1e-5f;

// The same for each head of N channels; in place, and then times g sigmoid(g) if there is a gate.
void group_norm(int64_t H, int64_t N, float epsilon, const NormParameters& parameters, DType dtype,
                const std::byte* gate, std::byte* y);

// y = x share + previous (1 - share)
void mix(int64_t C, DType dtype, const float* share, const float* x, const float* previous, std::byte* y);

void square_relu(int64_t C, DType dtype, std::byte* x);                                 // x = max(0, x)^2
void multiply_by_sigmoid(int64_t C, DType dtype, const std::byte* gate, std::byte* y);  // y *= sigmoid(gate)
void add_to(int64_t C, DType dtype, const std::byte* y, float* x);                      // x += y

// Rotary positions (Su et al., arXiv:2104.09864): in each head, channels i and i + N/2 are turned by
// position / 10000^(2 i / N).
void rotate(int64_t H, int64_t N, int64_t position, DType dtype, std::byte* x);

}  // namespace wkv::model
