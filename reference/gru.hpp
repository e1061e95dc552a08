// GRU (Cho et al., arXiv:1406.1078) as PyTorch and cuDNN define it, in double precision. Hidden size C; gates in the
// order reset, update, new. The reset gate multiplies the recurrent product, its bias included:
//   r, z = sigmoid(W x_t + b_W + R h_{t-1} + b_R)
//   n = tanh(W x_t + b_W + r * (R h_{t-1} + b_R))
//   h_t = (1 - z) * n + z * h_{t-1}
#pragma once

#include "reference/lstm.hpp"

namespace wkv::reference {

struct GruResult {
  Matrix y;                 // T x C: h_t
  Vector h;                 // C, after the last step
  Matrix input, recurrent;  // T x 3C: W x_t + b_W, R h_{t-1} + b_R
};

// x: T x C; h: C, before the first step.
GruResult gru(const RecurrentWeights& weights, const Matrix& x, const Vector& h);

}  // namespace wkv::reference
