// Elementary functions of fp32 vectors.
// One instance per Highway target: include after hwy/foreach_target.h, use inside HWY_NAMESPACE.
#if defined(WKV_KERNELS_SIMD_MATH_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef WKV_KERNELS_SIMD_MATH_INL_HPP
#undef WKV_KERNELS_SIMD_MATH_INL_HPP
#else
#define WKV_KERNELS_SIMD_MATH_INL_HPP
#endif

#include "kernels/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace wkv::kernels::HWY_NAMESPACE {

// 2^x, with a relative error below 2e-7 wherever the result is a normal number; exact for whole x. Below the normal
// numbers it goes to zero, exactly zero for x <= -127 and -infinity; infinity for x >= 128; NaN for NaN in x86's
// vectors.
HWY_INLINE Vec exp2_vec(Vec x) {
  const hn::RebindToSigned<Floats> words;
  // The limits come first, so that a NaN, the second operand, passes through x86's Min and Max.
  x = hn::Max(broadcast(-127), hn::Min(broadcast(128), x));
  // Adding 1.5 * 2^23 rounds to a whole number and leaves it in the low bits.
  const Vec magic = broadcast(0x1.8p23f);
  const Vec shifted = hn::Add(x, magic);
  const Vec r = hn::Sub(x, hn::Sub(shifted, magic));
  // Minimax polynomial of 2^r on [-1/2, 1/2] by relative error (9.1e-8), its constant term fixed at 1.
  Vec power = broadcast(0x1.5bba08p-10f);
  power = hn::MulAdd(power, r, broadcast(0x1.3cea88p-7f));
  power = hn::MulAdd(power, r, broadcast(0x1.c6b752p-5f));
  power = hn::MulAdd(power, r, broadcast(0x1.ebf9bcp-3f));
  power = hn::MulAdd(power, r, broadcast(0x1.62e42ap-1f));
  power = hn::MulAdd(power, r, broadcast(1));
  const auto exponent = hn::ShiftLeft<23>(hn::BitCast(words, shifted));
  return hn::BitCast(Floats(), hn::Add(hn::BitCast(words, power), exponent));
}

inline constexpr float kLog2E = 0x1.715476p0f;

// 1 / (1 + e^-x), with an absolute error below 2e-7; NaN for NaN in x86's vectors.
HWY_INLINE Vec sigmoid_vec(Vec x) {
  const Vec one = broadcast(1);
  return hn::Div(one, hn::Add(one, exp2_vec(hn::Mul(x, broadcast(-kLog2E)))));
}

// With a relative error below 4e-7. Exactly +-1 for |x| > 10; NaN for NaN in x86's vectors.
HWY_INLINE Vec tanh_vec(Vec x) {
  const Vec one = broadcast(1), size = hn::Abs(x);
  const Vec grown = exp2_vec(hn::Mul(size, broadcast(2 * kLog2E)));
  const Vec far = hn::CopySign(hn::NegMulAdd(broadcast(2), hn::Div(one, hn::Add(one, grown)), one), x);
  // Near 0 that cancels: x + x z P(z), z = x^2, P the minimax polynomial on |x| <= 5/8 by tanh's relative error (4e-9).
  const Vec z = hn::Mul(x, x);
  Vec p = broadcast(-0x1.75e1c0p-8f);
  p = hn::MulAdd(p, z, broadcast(0x1.522698p-6f));
  p = hn::MulAdd(p, z, broadcast(-0x1.b83c5ap-5f));
  p = hn::MulAdd(p, z, broadcast(0x1.110726p-3f));
  p = hn::MulAdd(p, z, broadcast(-0x1.555532p-2f));
  const Vec near = hn::MulAdd(hn::Mul(x, z), p, x);
  return hn::IfThenElse(hn::Gt(size, broadcast(0.625f)), far, near);
}

}  // namespace wkv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
