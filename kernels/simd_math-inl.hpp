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
// numbers it goes to zero, exactly zero for x <= -127 and -infinity; infinity for x >= 128; NaN for NaN.
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

}  // namespace wkv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
