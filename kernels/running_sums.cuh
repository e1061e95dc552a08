// Sums over tokens of 2^e v and of 2^e for one channel, as multiples of 2^(the largest e so far).
#pragma once

namespace wkv::kernels {

constexpr float kLog2E = 0x1.715476p0f, kLn2 = 0x1.62e430p-1f;
// Before any token: every token's exponent exceeds it, and its distance to any is a number.
constexpr float kNoExponent = -1e30f;

struct RunningSums {
  float numerator, denominator, exponent;

  // Of the two weights the larger is 1, which leaves one exponential.
  __device__ void add(const RunningSums& other) {
    const float difference = exponent - other.exponent, smaller = exp2f(-fabsf(difference));
    const bool larger = difference >= 0;
    const float own_weight = larger ? 1.0f : smaller, other_weight = larger ? smaller : 1.0f;
    numerator = own_weight * numerator + other_weight * other.numerator;
    denominator = own_weight * denominator + other_weight * other.denominator;
    exponent = fmaxf(exponent, other.exponent);
  }
  __device__ void add(float token_exponent, float v) { add({v, 1, token_exponent}); }
  __device__ float mean() const { return __fdividef(numerator, denominator); }
};

inline __device__ RunningSums no_sums() { return {0, 0, kNoExponent}; }

}  // namespace wkv::kernels
