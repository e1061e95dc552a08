// LSTM (Hochreiter and Schmidhuber, 1997, with the forget gate of Gers et al., 2000) as PyTorch and cuDNN define it, in
// double precision. Hidden size C; gates in the order input, forget, cell, output, as both store their weights:
//   i, f, o = sigmoid(W x_t + b_W + R h_{t-1} + b_R),  g = tanh(the same)
//   c_t = f * c_{t-1} + i * g,   h_t = o * tanh(c_t)
#pragma once

#include "reference/matrix.hpp"

namespace wkv::reference {

struct RecurrentWeights {
  Matrix input, recurrent;            // W, R: gates * C x C
  Vector input_bias, recurrent_bias;  // b_W, b_R: gates * C
};

struct LstmResult {
  Matrix y;      // T x C: h_t
  Vector h, c;   // C, after the last step
  Matrix gates;  // T x 4C, before sigmoid and tanh
};

// x: T x C; h, c: C, before the first step.
LstmResult lstm(const RecurrentWeights& weights, const Matrix& x, const Vector& h, const Vector& c);

}  // namespace wkv::reference
