// WKV5, the operator of RWKV-5 (Eagle, arXiv:2404.05892), in double precision and straight from its definition.
// Per batch entry and head, for t = 1..T:
//   y_t[j]    = sum_i r_t[i] * (S_{t-1}[i][j] + u[i] * k_t[i] * v_t[j])
//   S_t[i][j] = w[i] * S_{t-1}[i][j] + k_t[i] * v_t[j]
// i is the key channel, j the value channel.
#pragma once

#include "reference/matrix.hpp"

namespace wkv::reference {

struct Wkv5Head {
  Matrix r, k, v;  // T x N
  Vector w, u;     // N; w in [0, 1]
  Matrix state;    // N x N, key channel by value channel
};

struct Wkv5Result {
  Matrix y;      // T x N
  Matrix state;  // N x N, after the last token
};

Wkv5Result wkv5(const Wkv5Head& head);

}  // namespace wkv::reference
