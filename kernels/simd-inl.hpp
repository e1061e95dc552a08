// Vectors of fp32 for kernels: sequence elements in and out of them, and sums over their lanes.
// One instance per Highway target: include after hwy/foreach_target.h, use inside HWY_NAMESPACE.
#if defined(WKV_KERNELS_SIMD_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef WKV_KERNELS_SIMD_INL_HPP
#undef WKV_KERNELS_SIMD_INL_HPP
#else
#define WKV_KERNELS_SIMD_INL_HPP
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#include "harness/dtype.hpp"

HWY_BEFORE_NAMESPACE();
namespace wkv::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using Vec = hn::Vec<Floats>;
inline constexpr int kLanes = static_cast<int>(hn::MaxLanes(Floats()));
inline constexpr bool kManyRegisters = HWY_TARGET == HWY_AVX3;  // 32 vector registers instead of 16
inline constexpr int kPanel = 2 * kLanes;                       // columns of a register tile

HWY_INLINE Vec zero() { return hn::Zero(Floats()); }
HWY_INLINE Vec broadcast(float value) { return hn::Set(Floats(), value); }

HWY_INLINE Vec load_vec(const float* from) { return hn::LoadU(Floats(), from); }

HWY_INLINE Vec load_vec(const BFloat16* from) {
  const hn::RebindToUnsigned<Floats> words;
  const hn::Rebind<uint16_t, Floats> halves;
  const auto bits = hn::LoadU(halves, reinterpret_cast<const uint16_t*>(from));
  return hn::BitCast(Floats(), hn::ShiftLeft<16>(hn::PromoteTo(words, bits)));
}

// Of which `count` elements exist, or none; zeros in place of the others.
template <class Element>
HWY_INLINE Vec load_first(const Element* from, int64_t count) {
  if (count >= kLanes) return load_vec(from);
  Element row[kLanes] = {};
  for (int64_t i = 0; i < count; ++i) row[i] = from[i];
  return load_vec(row);
}

HWY_INLINE void store_vec(Vec value, float* to) { hn::StoreU(value, Floats(), to); }

// The bits of bf16, rounded to nearest even as BFloat16 does, in the upper halves; the lower ones are not cleared.
HWY_INLINE hn::Vec<hn::RebindToUnsigned<Floats>> rounded_to_bf16(Vec value) {
  const hn::RebindToUnsigned<Floats> words;
  const auto bits = hn::BitCast(words, value);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(words, 1));
  return hn::Add(hn::Add(bits, hn::Set(words, 0x7fff)), odd);
}

HWY_INLINE void store_vec(Vec value, BFloat16* to) {
  const hn::RebindToUnsigned<Floats> words;
  const hn::Rebind<uint16_t, Floats> halves;
  const auto quiet_nan = hn::Or(hn::BitCast(words, value), hn::Set(words, 0x400000));
  const auto rounded = hn::IfThenElse(hn::RebindMask(words, hn::IsNaN(value)), quiet_nan, rounded_to_bf16(value));
  hn::StoreU(hn::TruncateTo(halves, hn::ShiftRight<16>(rounded)), halves, reinterpret_cast<uint16_t*>(to));
}

// Past the caches if `bypass`, and then of fp32, to a whole vector's address: hwy::FlushStream before another thread
// reads it.
HWY_INLINE void store_output(Vec value, bool bypass, float* to) {
  if (bypass) {
    hn::Stream(value, Floats(), to);
  } else {
    store_vec(value, to);
  }
}
HWY_INLINE void store_output(Vec value, bool, BFloat16* to) { store_vec(value, to); }

// The sums over the lanes of four vectors, to four consecutive floats.
#if HWY_TARGET == HWY_SCALAR
HWY_INLINE void store_sums(Vec a, Vec b, Vec c, Vec d, float* to) {
  to[0] = hn::GetLane(a), to[1] = hn::GetLane(b), to[2] = hn::GetLane(c), to[3] = hn::GetLane(d);
}
#else
template <class D>
HWY_INLINE void store_folded(D tag, hn::Vec<D> sums, float* to) {
  if constexpr (hn::MaxLanes(D()) == 4) {
    hn::StoreU(sums, tag, to);
  } else {
    const hn::Half<D> half;
    store_folded(half, hn::Add(hn::LowerHalf(half, sums), hn::UpperHalf(half, sums)), to);
  }
}

HWY_INLINE void store_sums(Vec a, Vec b, Vec c, Vec d, float* to) {
  const Floats tag;
  const hn::Repartition<double, Floats> pairs;  // only to move two floats at once
  const Vec ab = hn::Add(hn::InterleaveLower(tag, a, b), hn::InterleaveUpper(tag, a, b));
  const Vec cd = hn::Add(hn::InterleaveLower(tag, c, d), hn::InterleaveUpper(tag, c, d));
  const auto low = hn::InterleaveLower(pairs, hn::BitCast(pairs, ab), hn::BitCast(pairs, cd));
  const auto high = hn::InterleaveUpper(pairs, hn::BitCast(pairs, ab), hn::BitCast(pairs, cd));
  store_folded(tag, hn::Add(hn::BitCast(tag, low), hn::BitCast(tag, high)), to);
}
#endif

}  // namespace wkv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
