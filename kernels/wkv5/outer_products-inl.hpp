// A register tile that sums outer products in fp32.
// One instance per Highway target: include after hwy/foreach_target.h, use inside HWY_NAMESPACE.
#if defined(WKV_KERNELS_WKV5_OUTER_PRODUCTS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef WKV_KERNELS_WKV5_OUTER_PRODUCTS_INL_HPP
#undef WKV_KERNELS_WKV5_OUTER_PRODUCTS_INL_HPP
#else
#define WKV_KERNELS_WKV5_OUTER_PRODUCTS_INL_HPP
#endif

#include <cstdint>

#include "kernels/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace wkv::kernels::HWY_NAMESPACE {

// One panel of columns wide. Rows of y are tokens: a sum over all key channels passes through the tile, and six rows by
// two vectors are more than the FMA units have in flight.
inline constexpr int kTokenRows = kManyRegisters ? 12 : 6;

template <int kRows>
struct Tile {
  Vec at[kRows][2];
};

// tile += column * row: outer product of kRows scalars, `step` floats apart, and a row of a panel.
template <int kRows>
HWY_INLINE void add_product(const float* scalars, int64_t step, const float* row, Tile<kRows>& tile) {
  const Vec row0 = load_vec(row), row1 = load_vec(row + kLanes);
  for (int m = 0; m < kRows; ++m) {
    const Vec scalar = broadcast(scalars[m * step]);
    tile.at[m][0] = hn::MulAdd(scalar, row0, tile.at[m][0]);
    tile.at[m][1] = hn::MulAdd(scalar, row1, tile.at[m][1]);
  }
}

}  // namespace wkv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
