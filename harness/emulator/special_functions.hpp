// The functions that PTX calls approximate: rcp, rsqrt, sqrt, ex2, lg2, sin, cos, tanh and div.approx. For them the
// ISA gives a greatest error, about 2^-22, and exact results at zeros, infinities and NaN. Here they are computed in
// fp64 and rounded to fp32 once, so they are within 0.5001 units in the last place of the true value: nearer to it
// than the hardware, whose own bits they do not reproduce. ex2 and lg2 are polynomials with no call to the host's
// library, which makes them the same on every machine and lets loops over lanes vectorise.
//
// Where .ftz is given, flush() goes around them: a subnormal operand is then a zero, so ex2 gives 1 and lg2 -infinity.
#pragma once

#include <cmath>

#include "harness/emulator/float_arithmetic.hpp"

namespace wkv::emulator {

inline float reciprocal(float x) { return canonical(1.0f / x); }
inline float reciprocal_square_root(float x) {
  return canonical(static_cast<float>(1.0 / std::sqrt(static_cast<double>(x))));
}
inline float sine(float x) { return canonical(static_cast<float>(std::sin(static_cast<double>(x)))); }
inline float cosine(float x) { return canonical(static_cast<float>(std::cos(static_cast<double>(x)))); }
inline float tanh_approximate(float x) { return canonical(static_cast<float>(std::tanh(static_cast<double>(x)))); }

// 2^x = 2^n e^t, n the integer nearest to x and t = (x - n) ln 2, |t| < 0.35: 13 terms of the series leave 2^-52.
inline float exp2_approximate(float x) {
  const double bounded = std::min(std::max(static_cast<double>(x), -160.0), 130.0);
  constexpr double kToInteger = 0x1.8p52;  // adding it rounds to an integer, which is then in the low bits
  const double shifted = bounded + kToInteger;
  const double t = (bounded - (shifted - kToInteger)) * 0x1.62e42fefa39efp-1;
  double sum = 1.0;
  for (int k = 13; k > 0; --k) sum = 1.0 + sum * t * (1.0 / k);
  const uint64_t power = (std::bit_cast<uint64_t>(shifted) + 1023) << 52;
  return is_nan(x) ? canonical_nan<float>() : static_cast<float>(sum * std::bit_cast<double>(power));
}

// log2(m 2^e) = e + 2 / ln 2 * atanh(s), s = (m - 1) / (m + 1), m in [0.7, 1.42): s^2 < 0.03, 11 terms leave 2^-58.
inline float log2_approximate(float x) {
  // e and the arithmetic with it in the bits of doubles around 1.5 2^52, in whose low bits integers are.
  constexpr uint64_t kRootHalf = 0x3fe6a09e00000000, kBias = uint64_t{1023} << 52;  // about sqrt(1/2): m starts there
  constexpr double kInteger = 0x1.8p52;
  const uint64_t bits = std::bit_cast<uint64_t>(static_cast<double>(x));
  const uint64_t e = ((bits - kRootHalf + kBias) >> 52) - 1023;
  const double exponent = std::bit_cast<double>(std::bit_cast<uint64_t>(kInteger) + e) - kInteger;
  const double m = std::bit_cast<double>(bits - (e << 52));
  const double s = (m - 1.0) / (m + 1.0);
  const double square = s * s;
  double sum = 0;
  for (int k = 21; k > 0; k -= 2) sum = sum * square + 1.0 / k;
  float result = static_cast<float>(exponent + 0x1.71547652b82fep+1 * s * sum);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  result = x == kInfinity ? kInfinity : result;
  result = x == 0 ? -kInfinity : result;
  return x >= 0 ? result : canonical_nan<float>();
}

// div.approx is a product with the reciprocal, which is taken as 0 for a divisor above 2^126 (PTX ISA, div). div.full
// is good over the whole range; the correctly rounded quotient serves it.
inline float divide_approximate(float a, float b) {
  const bool reciprocal_is_zero = std::abs(b) > 0x1p126f;
  return canonical(reciprocal_is_zero ? a * std::copysign(0.0f, b) : a / b);
}

// rsqrt.approx.f64 is good to fp64's precision.
inline double reciprocal_square_root_of_double(double x) { return 1.0 / std::sqrt(x); }

// rcp.approx.ftz.f64 and rsqrt.approx.ftz.f64 look at the operand's upper 32 bits only and give only those.
namespace detail {
inline double upper_half(double x) { return std::bit_cast<double>(std::bit_cast<uint64_t>(x) & 0xffffffff00000000u); }
}  // namespace detail
inline double reciprocal_approximate(double x) { return detail::upper_half(flush(1.0 / flush(detail::upper_half(x)))); }
inline double reciprocal_square_root_approximate(double x) {
  return detail::upper_half(1.0 / std::sqrt(flush(detail::upper_half(x))));
}

}  // namespace wkv::emulator
