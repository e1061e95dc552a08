// Rows of elements to dense rows of floats, and those to vectors whose lanes are rows, and back.
// One instance per Highway target: include after hwy/foreach_target.h, use inside HWY_NAMESPACE.
#if defined(WKV_KERNELS_TRANSPOSE_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef WKV_KERNELS_TRANSPOSE_INL_HPP
#undef WKV_KERNELS_TRANSPOSE_INL_HPP
#else
#define WKV_KERNELS_TRANSPOSE_INL_HPP
#endif

#include <algorithm>
#include <cstdint>

#include "kernels/element.hpp"
#include "kernels/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace wkv::kernels::HWY_NAMESPACE::tiled {

// Floats of a dense row: a multiple of what transposes and register tiles take at once. The surplus ones are zero.
HWY_INLINE int64_t padded(int64_t N) { return (N + 15) / 16 * 16; }

// Copies rows of N elements, `stride` apart, to dense rows.
template <class Element>
HWY_INLINE void load_rows(int64_t N, int64_t rows, const Element* from, int64_t stride, float* to) {
  for (int64_t t = 0; t < rows; ++t, from += stride, to += padded(N)) {
    int64_t n = 0;
    for (; n + kLanes <= N; n += kLanes) store_vec(load_vec(from + n), to + n);
    for (; n < N; ++n) to[n] = load(from + n);
    for (; n < padded(N); ++n) to[n] = 0;
  }
}

// Copies dense rows to rows of N elements, `stride` apart.
template <class Element>
HWY_INLINE void store_rows(int64_t N, int64_t rows, const float* from, Element* to, int64_t stride) {
  for (int64_t t = 0; t < rows; ++t, from += padded(N), to += stride) {
    int64_t n = 0;
    for (; n + kLanes <= N; n += kLanes) store_vec(load_vec(from + n), to + n);
    for (; n < N; ++n) store(from[n], to + n);
  }
}

#if HWY_TARGET == HWY_SCALAR
inline constexpr int kBlock = 1;
HWY_INLINE Vec load_blocks(Floats, const float* rows, int64_t) { return load_vec(rows); }
HWY_INLINE void store_blocks(Floats, Vec vec, float* rows, int64_t) { store_vec(vec, rows); }
HWY_INLINE void transpose_blocks(Vec (&)[1]) {}
#else
inline constexpr int kBlock = 4;  // floats of 128 bits

// Lane i of the result's 128-bit block b comes from row 4 b + m, column i. (row_step: floats between rows)
template <class D>
HWY_INLINE hn::Vec<D> load_blocks(D tag, const float* rows, int64_t row_step) {
  if constexpr (hn::MaxLanes(D()) == kBlock) {
    return hn::LoadU(tag, rows);
  } else {
    const hn::Half<D> half;
    constexpr int64_t kHalf = hn::MaxLanes(half);
    return hn::Combine(tag, load_blocks(half, rows + kHalf * row_step, row_step), load_blocks(half, rows, row_step));
  }
}

template <class D>
HWY_INLINE void store_blocks(D tag, hn::Vec<D> vec, float* rows, int64_t row_step) {
  if constexpr (hn::MaxLanes(D()) == kBlock) {
    hn::StoreU(vec, tag, rows);
  } else {
    const hn::Half<D> half;
    constexpr int64_t kHalf = hn::MaxLanes(half);
    store_blocks(half, hn::LowerHalf(half, vec), rows, row_step);
    store_blocks(half, hn::UpperHalf(half, vec), rows + kHalf * row_step, row_step);
  }
}

// Transposes the 4 x 4 floats of each 128-bit block.
HWY_INLINE void transpose_blocks(Vec (&rows)[kBlock]) {
  const Floats tag;
  const Vec even_low = hn::InterleaveLower(tag, rows[0], rows[2]),
            even_high = hn::InterleaveUpper(tag, rows[0], rows[2]);
  const Vec odd_low = hn::InterleaveLower(tag, rows[1], rows[3]), odd_high = hn::InterleaveUpper(tag, rows[1], rows[3]);
  rows[0] = hn::InterleaveLower(tag, even_low, odd_low);
  rows[1] = hn::InterleaveUpper(tag, even_low, odd_low);
  rows[2] = hn::InterleaveLower(tag, even_high, odd_high);
  rows[3] = hn::InterleaveUpper(tag, even_high, odd_high);
}
#endif

// kLanes dense rows to padded(N) vectors, `step` floats apart, times the factor.
HWY_INLINE void rows_to_lanes(int64_t N, const float* rows, float factor, float* lanes, int64_t step) {
  for (int64_t n = 0; n < N; n += kBlock) {
    Vec vecs[kBlock];
    for (int m = 0; m < kBlock; ++m) vecs[m] = load_blocks(Floats(), rows + m * padded(N) + n, padded(N));
    transpose_blocks(vecs);
    for (int m = 0; m < kBlock; ++m) store_vec(hn::Mul(vecs[m], broadcast(factor)), lanes + (n + m) * step);
  }
}

// The way back, every lane times its factor.
HWY_INLINE void lanes_to_rows(int64_t N, const float* lanes, int64_t step, Vec factor, float* rows) {
  for (int64_t n = 0; n < N; n += kBlock) {
    Vec vecs[kBlock];
    for (int m = 0; m < kBlock; ++m) vecs[m] = hn::Mul(load_vec(lanes + (n + m) * step), factor);
    transpose_blocks(vecs);
    for (int m = 0; m < kBlock; ++m) store_blocks(Floats(), vecs[m], rows + m * padded(N) + n, padded(N));
  }
}

}  // namespace wkv::kernels::HWY_NAMESPACE::tiled
HWY_AFTER_NAMESPACE();

#endif
