// Products of rows: sums over k of w[row][k] x[token][k], both as they lie in memory, in tiles of registers.
// One instance per Highway target: include after hwy/foreach_target.h, use inside HWY_NAMESPACE.
#if defined(WKV_KERNELS_DOTS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef WKV_KERNELS_DOTS_INL_HPP
#undef WKV_KERNELS_DOTS_INL_HPP
#else
#define WKV_KERNELS_DOTS_INL_HPP
#endif

#include "kernels/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace wkv::kernels::HWY_NAMESPACE {

// Sums of a tile that stay in registers, beside a vector of each token and one of a row.
inline constexpr int kRegisters = kManyRegisters ? 32 : 16, kDotSums = kRegisters * 3 / 4;

// sums[token * kRows + row], for K products each.
template <int kRows, int kTokens>
HWY_NOINLINE void dot_tile(int64_t K, const float* const (&w)[kRows], const float* const (&x)[kTokens], float* sums) {
  constexpr int kSums = kRows * kTokens, kGroups = (kSums + 3) / 4;
  Vec sum[4 * kGroups];
  for (Vec& each : sum) each = zero();
  const int64_t whole = K - K % kLanes;
  for (int64_t k = 0; k < whole; k += kLanes) {
    Vec token[kTokens];
    for (int t = 0; t < kTokens; ++t) token[t] = load_vec(x[t] + k);
    for (int r = 0; r < kRows; ++r) {
      const Vec row = load_vec(w[r] + k);
      for (int t = 0; t < kTokens; ++t) sum[t * kRows + r] = hn::MulAdd(row, token[t], sum[t * kRows + r]);
    }
  }
  float padded[4 * kGroups];
  for (int i = 0; i < 4 * kGroups; i += 4) store_sums(sum[i], sum[i + 1], sum[i + 2], sum[i + 3], padded + i);
  for (int t = 0; t < kTokens; ++t) {
    for (int r = 0; r < kRows; ++r) {
      float total = padded[t * kRows + r];
      for (int64_t k = whole; k < K; ++k) total += w[r][k] * x[t][k];
      sums[t * kRows + r] = total;
    }
  }
}

// The gates of one channel or of some neighbouring ones: row kGates * channel + gate is weights[gate * C + channel].
template <int kGates, int kChannels>
struct GateRows {
  static constexpr int kRows = kGates * kChannels;

  GateRows(const float* weights, int64_t C, int64_t channel) {
    for (int r = 0; r < kRows; ++r) row[r] = weights + (r % kGates * C + channel + r / kGates) * C;
  }

  const float* row[kRows];
};

// Sums of all gates for channels [first, last) and some tokens: out[token * token_stride + gate * gate_stride +
// channel]. x_of(token) is the token's C floats.
template <int kGates>
struct GateProducts {
  static constexpr int kChannelsOfTile = kDotSums + kDotSums / kGates < kRegisters ? 1 : 2;
  static constexpr int kTokensOfTile = kDotSums / (kGates * kChannelsOfTile);

  const float* weights;  // (kGates * C, C)
  int64_t C;
  float* out;
  int64_t token_stride, gate_stride;

  template <class TokenAt>
  void run(int64_t first, int64_t last, int64_t tokens, const TokenAt& x_of) const {
    // One token leaves room for more than one channel: chains of additions as many as registers allow.
    if (tokens == 1) {
      by_channels<2>(first, last, [&]<int kChannels>(int64_t channel) { tile<kChannels, 1>(channel, 0, x_of); });
      return;
    }
    // Equal parts rather than whole tiles and a rest.
    const int64_t parts = (tokens + kTokensOfTile - 1) / kTokensOfTile;
    by_channels<kChannelsOfTile>(first, last, [&]<int kChannels>(int64_t channel) {
      for (int64_t part = 0; part < parts; ++part) {
        const int64_t from = part * tokens / parts, to = (part + 1) * tokens / parts;
        tile_of<kChannels, kTokensOfTile>(to - from, channel, from, x_of);
      }
    });
  }

 private:
  // tile<kChannels>(channel) for channels side by side, one by one at the end.
  template <int kChannels, class Tile>
  static void by_channels(int64_t first, int64_t last, const Tile& tile) {
    int64_t channel = first;
    for (; channel + kChannels <= last; channel += kChannels) tile.template operator()<kChannels>(channel);
    for (; channel < last; ++channel) tile.template operator()<1>(channel);
  }

  template <int kChannels, int kTokens, class TokenAt>
  void tile_of(int64_t tokens, int64_t channel, int64_t from, const TokenAt& x_of) const {
    if (tokens == kTokens) {
      tile<kChannels, kTokens>(channel, from, x_of);
    } else if constexpr (kTokens > 1) {
      tile_of<kChannels, kTokens - 1>(tokens, channel, from, x_of);
    }
  }

  template <int kChannels, int kTokens, class TokenAt>
  void tile(int64_t channel, int64_t from, const TokenAt& x_of) const {
    using Rows = GateRows<kGates, kChannels>;
    const Rows rows(weights, C, channel);
    const float* x[kTokens];
    for (int t = 0; t < kTokens; ++t) x[t] = x_of(from + t);
    float sums[kTokens * Rows::kRows];
    dot_tile<Rows::kRows, kTokens>(C, rows.row, x, sums);
    for (int t = 0; t < kTokens; ++t) {
      for (int r = 0; r < Rows::kRows; ++r) {
        out[(from + t) * token_stride + r % kGates * gate_stride + channel + r / kGates] = sums[t * Rows::kRows + r];
      }
    }
  }
};

}  // namespace wkv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
