// Sums over tokens of 2^e v and of 2^e, a vector lane a channel, as multiples of 2^(the largest e so far).
// One instance per Highway target: include after hwy/foreach_target.h, use inside HWY_NAMESPACE.
#if defined(WKV_KERNELS_RUNNING_SUMS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef WKV_KERNELS_RUNNING_SUMS_INL_HPP
#undef WKV_KERNELS_RUNNING_SUMS_INL_HPP
#else
#define WKV_KERNELS_RUNNING_SUMS_INL_HPP
#endif

#include "kernels/simd_math-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace wkv::kernels::HWY_NAMESPACE {

struct RunningSums {
  Vec numerator, denominator, exponent;

  // Of the two weights the larger is 1, which leaves one exponential.
  HWY_INLINE void add(Vec new_exponent, Vec v) {
    const Vec one = broadcast(1), difference = hn::Sub(exponent, new_exponent);
    const Vec smaller = exp2_vec(hn::Neg(hn::Abs(difference)));
    const auto old_is_larger = hn::Ge(difference, zero());
    const Vec old_weight = hn::IfThenElse(old_is_larger, one, smaller),
              new_weight = hn::IfThenElse(old_is_larger, smaller, one);
    numerator = hn::MulAdd(old_weight, numerator, hn::Mul(new_weight, v));
    denominator = hn::MulAdd(old_weight, denominator, new_weight);
    exponent = hn::Max(exponent, new_exponent);
  }
};

// Rows of a sequence lie far apart, so that the hardware does not foresee them: asks for those of some tokens later.
inline constexpr int64_t kTokensAhead = 12;

template <class Element>
HWY_INLINE void ask_for(const Element* row, int64_t channels) {
  for (int64_t c = 0; c < channels; c += 64 / static_cast<int64_t>(sizeof(Element))) __builtin_prefetch(row + c);
}

// Before any token: an exponent that every token's exceeds, and whose distance to any is a number.
HWY_INLINE RunningSums no_sums() { return {zero(), zero(), broadcast(-1e30f)}; }

}  // namespace wkv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
