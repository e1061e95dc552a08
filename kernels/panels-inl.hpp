// Products of packed rows: weights in panels of two vectors of outputs, tokens side by side, both channel by channel.
// One instance per Highway target: include after hwy/foreach_target.h, use inside HWY_NAMESPACE.
#if defined(WKV_KERNELS_PANELS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef WKV_KERNELS_PANELS_INL_HPP
#undef WKV_KERNELS_PANELS_INL_HPP
#else
#define WKV_KERNELS_PANELS_INL_HPP
#endif

#include <algorithm>

#include "kernels/transpose-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace wkv::kernels::HWY_NAMESPACE {

inline constexpr int kPanelTokens = kManyRegisters ? 12 : 6;  // of a tile: their sums stay in registers

// Rows of K floats, of which there are up to kPanel, to K times kPanel floats; rows beyond the last one are zero.
// `dense` has room for kLanes padded rows.
inline void pack_panel(int64_t K, int64_t rows, const float* from, float* to, float* dense) {
  const int64_t row = tiled::padded(K);
  for (int64_t r = 0; r < kPanel; r += kLanes) {
    const int64_t here = std::clamp<int64_t>(rows - r, 0, kLanes);
    tiled::load_rows(K, here, from + r * K, K, dense);
    std::fill(dense + here * row, dense + kLanes * row, 0.0f);
    tiled::rows_to_lanes(K, dense, 1, to + r, kPanel);
  }
}

// out[token * stride + output] for a panel and kTokens tokens, K products each.
template <int kTokens>
HWY_NOINLINE void panel_tile(int64_t K, const float* panel, const float* x, float* out, int64_t stride) {
  Vec sum[kTokens][2];
  for (auto& pair : sum) pair[0] = pair[1] = zero();
  for (int64_t k = 0; k < K; ++k, panel += kPanel, x += kTokens) {
    const Vec w0 = load_vec(panel), w1 = load_vec(panel + kLanes);
    HWY_UNROLL(12)
    for (int t = 0; t < kTokens; ++t) {
      const Vec token = broadcast(x[t]);
      sum[t][0] = hn::MulAdd(token, w0, sum[t][0]);
      sum[t][1] = hn::MulAdd(token, w1, sum[t][1]);
    }
  }
  for (int t = 0; t < kTokens; ++t) {
    store_vec(sum[t][0], out + t * stride);
    store_vec(sum[t][1], out + t * stride + kLanes);
  }
}

// The gates' sums for channels [first, last), multiples of kPanel but for the end of all, and some tokens, as
// GateProducts makes them.
template <int kGates>
struct PanelProducts {
  float* panels;  // [gate][panel of gate_stride / kPanel]
  int64_t C;
  float* out;
  int64_t token_stride, gate_stride;

  // Floats of a panel: rows are padded, as transposes write them.
  static int64_t floats(int64_t C) { return tiled::padded(C) * kPanel; }

  float* panel(int64_t gate, int64_t channel) const {
    return panels + (gate * gate_stride + channel) / kPanel * floats(C);
  }

  // From (kGates * C, C); `dense` as for pack_panel.
  void pack(int64_t first, int64_t last, const float* weights, float* dense) const {
    for (int64_t gate = 0; gate < kGates; ++gate) {
      for (int64_t channel = first; channel < last; channel += kPanel) {
        pack_panel(C, last - channel, weights + (gate * C + channel) * C, panel(gate, channel), dense);
      }
    }
  }

  // Packs the tokens, x_of(token) being one's C elements, to tokens * C floats.
  template <class TokenAt>
  void run(int64_t first, int64_t last, int64_t tokens, const TokenAt& x_of, float* packed) const {
    const int64_t parts = (tokens + kPanelTokens - 1) / kPanelTokens;
    const auto start = [&](int64_t part) { return part * tokens / parts; };
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t from = start(part), count = start(part + 1) - from;
      for (int64_t t = 0; t < count; ++t) {
        const auto* x = x_of(from + t);
        float* to = packed + from * C + t;
        for (int64_t k = 0; k < C; ++k) to[k * count] = static_cast<float>(x[k]);
      }
    }
    for (int64_t gate = 0; gate < kGates; ++gate) {
      for (int64_t channel = first; channel < last; channel += kPanel) {
        for (int64_t part = 0; part < parts; ++part) {
          tile_of<kPanelTokens>(start(part + 1) - start(part), panel(gate, channel), packed + start(part) * C,
                                out + start(part) * token_stride + gate * gate_stride + channel);
        }
      }
    }
  }

 private:
  template <int kTokens>
  void tile_of(int64_t tokens, const float* panel, const float* x, float* to) const {
    if (tokens == kTokens) {
      panel_tile<kTokens>(C, panel, x, to, token_stride);
    } else if constexpr (kTokens > 1) {
      tile_of<kTokens - 1>(tokens, panel, x, to);
    }
  }
};

}  // namespace wkv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
