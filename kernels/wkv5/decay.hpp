// The decay of a state over several tokens at once, S w^n, without a drift.
// Rounding w^n to fp32 would be the same relative error at every step: over the 1 / (1 - w^n) steps that a state
// remembers it adds up to many times the error of decaying token by token. So the decay is S + (w^n - 1) S where w^n
// is at least 1/2: one multiply-add, and the rounding of w^n - 1 is in proportion to what decays. Else it is w^n S.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

namespace wkv::kernels {

// The new state is (S & keep) + gain * S, keep all ones or all zeros.
struct Decay {
  float keep;
  float gain;
};

// From w^n.
constexpr Decay decay_of(double power) {
  const bool small = power < 0.5;
  return {.keep = std::bit_cast<float>(small ? 0U : std::numeric_limits<uint32_t>::max()),
          .gain = static_cast<float>(power - (small ? 0 : 1))};
}

// w in [0, 1]; tokens >= 1.
constexpr Decay decay_over(int64_t tokens, float w) {
  double power = 1;
  double square = w;
  for (int64_t n = tokens; n > 0; n >>= 1, square *= square) {
    if (n & 1) power *= square;
  }
  return decay_of(power);
}

}  // namespace wkv::kernels
