// AFT, the Attention Free Transformer (Zhai et al., arXiv:2105.14103, eq. 2, causal). Per batch entry and channel, C =
// H N of them, for t = 1..T:
//   y_t = sigmoid(q_t) * sum_{i<=t} exp(k_i + b_{t,i}) v_i / sum_{i<=t} exp(k_i + b_{t,i})
// b is learned, one for all channels. AFT-full learns all T x T of it. A window of W tokens makes it AFT-local: b_{t,i}
// is 0 where t - i >= W; with W = 0 it is AFT-simple, without b. Prefill: all T queries. Decode: one query at position
// T against a cache of T keys and values, its own included. AFT- simple could do with a state of two sums a channel;
// here it keeps the cache like the others.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "harness/problem.hpp"
#include "harness/tensor.hpp"

namespace wkv::kernels {

// The sequences are in the problem's dtype.
struct AftTensors {
  const std::byte* q;  // (B, T or 1, H, N)
  const std::byte* k;  // (B, T, H, N)
  const std::byte* v;  // (B, T, H, N)
  const float* bias;   // (T or 1, W), see AftWindow; null where W = 0
  std::byte* y;        // as q
};

// Which keys have a bias, and where it is. Queries and keys count from 0; query 0 is the first new token.
struct AftWindow {
  int64_t T, queries, W;  // W <= T

  constexpr AftWindow(int64_t T, int64_t queries, int64_t W) : T(T), queries(queries), W(W) {}
  explicit AftWindow(const Problem& p) : AftWindow(p.T, p.new_tokens(), std::min(p.window.value_or(p.T), p.T)) {}

  constexpr int64_t position(int64_t query) const { return T - queries + query; }
  // How many keys of a query, the oldest ones, have none.
  constexpr int64_t outside(int64_t query) const { return position(query) + 1 > W ? position(query) + 1 - W : 0; }
  // bias[row(query) + key] for keys from outside(query) to position(query). A row of AFT-full begins with key 0, one of
  // AFT-local ends with the query's own position.
  constexpr int64_t row(int64_t query) const { return query * W - (W < T ? position(query) + 1 - W : 0); }
};

struct Aft {
  static constexpr std::string_view kName = "aft";
  using Tensors = AftTensors;
  static Tensors bind(const TensorAddresses& set);
};

}  // namespace wkv::kernels
