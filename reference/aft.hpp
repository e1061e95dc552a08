// AFT, the Attention Free Transformer (Zhai et al., arXiv:2105.14103, eq. 2, causal), in double precision. Per channel:
//   y_t = sigmoid(q_t) * sum_{i<=t} exp(k_i + b_{t,i}) v_i / sum_{i<=t} exp(k_i + b_{t,i})
// AFT-full learns all T x T of b. AFT-local has b = 0 where t - i >= window, and AFT-simple everywhere (window 0).
#pragma once

#include "reference/matrix.hpp"

namespace wkv::reference {

struct AftRow {
  Vector y;      // C
  Matrix share;  // t+1 x C: what each value is multiplied by in y, gate included
};

// Row t. q: row t (C); k, v: rows 0..t (t+1 x C); bias: b_{t,i} for i = 0..t, already 0 outside the window.
AftRow aft_row(const Vector& q, const Matrix& k, const Matrix& v, const Vector& bias);

// Row t: the one key and value that keys and values 0..t can be replaced by in every sum where their biases are 0.
struct AftMeans {
  Matrix k, v;  // T x C
};
AftMeans aft_means(const Matrix& k, const Matrix& v);

// All T rows of y. bias is T x T; its entries with t - i >= window count as 0. A window of T or more is AFT-full.
Matrix aft(const Matrix& q, const Matrix& k, const Matrix& v, const Matrix& bias, Eigen::Index window);

}  // namespace wkv::reference
