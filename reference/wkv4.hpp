// WKV4, the operator of RWKV-4 (Peng et al., arXiv:2305.13048, eq. 16), in double precision. Per channel, for t = 1..T,
// with w > 0 the decay rate and u the bonus of the current token:
//   y_t = (sum_{i<t} exp(-(t-1-i) w + k_i) v_i + exp(u + k_t) v_t) / (sum_{i<t} exp(-(t-1-i) w + k_i) + exp(u + k_t))
// Both sums are carried as multiples of exp(exponent), the largest exponent among their terms, so that none overflows.
#pragma once

#include "reference/matrix.hpp"

namespace wkv::reference {

// What the tokens so far leave: their two sums are numerator * exp(exponent) and denominator * exp(exponent).
struct Wkv4State {
  Vector numerator, denominator, exponent;  // C each
};

// Before the first token: empty sums, and an exponent that any token's exceeds.
Wkv4State empty_wkv4_state(Eigen::Index channels);

struct Wkv4Problem {
  Matrix k, v;  // T x C
  Vector w, u;  // C; w > 0
  Wkv4State state;
};

struct Wkv4Result {
  Matrix y;         // T x C
  Wkv4State state;  // after the last token
};

Wkv4Result wkv4(const Wkv4Problem& problem);

}  // namespace wkv::reference
