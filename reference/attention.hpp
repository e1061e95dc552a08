// Causal softmax attention (Vaswani et al., arXiv:1706.03762, eq. 1, causal mask) in double precision. Per head:
//   y_t = sum_{i<=t} softmax_i(q_t . k_i / sqrt(N)) v_i
#pragma once

#include "reference/matrix.hpp"

namespace wkv::reference {

struct AttentionRow {
  Vector weight;  // softmax over the context; sums to 1
  Vector y;       // N
};

// One query (N) against a context of keys and values (any number of rows x N, at least one).
AttentionRow attention_row(const Vector& q, const Eigen::Ref<const Matrix>& k, const Eigen::Ref<const Matrix>& v);

// All T queries: T x N.
Matrix attention(const Matrix& q, const Matrix& k, const Matrix& v);

}  // namespace wkv::reference
