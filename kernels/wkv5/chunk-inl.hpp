// A chunk of tokens of one head as factors of matrix products, all of them fp32. For positions p, q of a chunk of L:
//   r'_p = r_p w^p, k'_q = k_q w^(L-1-q), A[p][q] = sum_i r_p k_q w^(p-1-q) for q < p, A[p][p] = sum_i r_p u k_p
//   y = r' S + A v,  S' = w^L S + k'^T v
// No power of w is negative, so that none overflows: a chunk is cut into sub-chunks of four tokens. Inside one, A is
// computed directly; between two, w^(p-1-q) is split at the end of the earlier one, where both exponents are >= 0.
// One instance per Highway target: include after hwy/foreach_target.h, use inside HWY_NAMESPACE.
#if defined(WKV_KERNELS_WKV5_CHUNK_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef WKV_KERNELS_WKV5_CHUNK_INL_HPP
#undef WKV_KERNELS_WKV5_CHUNK_INL_HPP
#else
#define WKV_KERNELS_WKV5_CHUNK_INL_HPP
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/element.hpp"
#include "kernels/simd-inl.hpp"
#include "kernels/wkv5/ahead.hpp"
#include "kernels/wkv5/decay.hpp"

HWY_BEFORE_NAMESPACE();
namespace wkv::kernels::HWY_NAMESPACE {

inline constexpr int kSub = 4;            // tokens of a sub-chunk
inline constexpr int64_t kChannels = 64;  // of a block: rows of a block lie at constant distances
static_assert(kChannels % kPanel == 0);

inline int64_t blocks_of(int64_t N) { return (N + kChannels - 1) / kChannels; }
// Channels that are computed; the surplus ones are zero in k, v and r.
inline int64_t padded(int64_t N) {
  constexpr int64_t kMultiple = std::max(kPanel, 8);
  return (N + kMultiple - 1) / kMultiple * kMultiple;
}

// What a head's decay and bonus contribute, 64 channels of it. kSize: tokens of a sub-chunk.
template <int kTokens, int kSize = kSub>
struct HeadBlock {
  alignas(64) float bonus[kChannels];
  float power[kSize + 1][kChannels];                 // w^0 to w^kSize
  float sub_power[kTokens / kSize][kChannels];       // w^(kSize P)
  float keep[kChannels], gain[kChannels];            // the decay over a whole chunk (decay.hpp)
  float last_keep[kChannels], last_gain[kChannels];  // over the last, shorter one
};

// w^tokens of a block's channels; loops over them that the compiler can vectorise.
inline void powers_over(int64_t tokens, const float* w, double* power) {
  double square[kChannels];
  for (int64_t c = 0; c < kChannels; ++c) power[c] = 1, square[c] = w[c];
  for (int64_t n = tokens; n > 0; n >>= 1) {
    for (int64_t c = 0; c < kChannels; ++c) {
      if (n & 1) power[c] *= square[c];
      square[c] *= square[c];
    }
  }
}

// decay_over for a block's channels.
inline void decays_over(int64_t tokens, const float* w, float* keep, float* gain) {
  double power[kChannels];
  powers_over(tokens, w, power);
  for (int64_t c = 0; c < kChannels; ++c) {
    const Decay decay = decay_of(power[c]);
    keep[c] = decay.keep, gain[c] = decay.gain;
  }
}

// w and u hold N floats; last_tokens is the length of the last chunk, whole_ones whether there is one of kTokens.
template <int kTokens, int kSize>
void prepare_head(int64_t N, const float* w, const float* u, int64_t last_tokens, bool whole_ones,
                  HeadBlock<kTokens, kSize>* blocks) {
  for (int64_t first = 0; first < padded(N); first += kChannels) {
    HeadBlock<kTokens, kSize>& block = blocks[first / kChannels];
    const int64_t count = std::min(N - first, kChannels);
    std::fill(std::copy_n(u + first, count, block.bonus), block.bonus + kChannels, 0.0f);
    std::fill_n(block.power[0], kChannels, 1.0f);
    std::fill(std::copy_n(w + first, count, block.power[1]), block.power[1] + kChannels, 0.0f);
    const auto product = [](const float* a, const float* b, float* to) {
      for (int64_t c = 0; c < kChannels; ++c) to[c] = a[c] * b[c];
    };
    for (int n = 1; n < kSize; ++n) product(block.power[n], block.power[1], block.power[n + 1]);
    std::fill_n(block.sub_power[0], kChannels, 1.0f);
    for (int sub = 1; sub < kTokens / kSize; ++sub) {
      product(block.sub_power[sub - 1], block.power[kSize], block.sub_power[sub]);
    }
    if (whole_ones) decays_over(kTokens, block.power[1], block.keep, block.gain);
    decays_over(last_tokens, block.power[1], block.last_keep, block.last_gain);
  }
}

template <int kTokens>
struct ChunkBlock {
  alignas(64) float r[kTokens][kChannels];
  float k[kTokens][kChannels];
  float v[kTokens][kChannels];
};

template <int kTokens>
inline constexpr int64_t kBlockFloats = sizeof(ChunkBlock<kTokens>) / sizeof(float);

template <int kTokens>
struct Chunk {
  explicit Chunk(std::byte* memory)
      : scores(reinterpret_cast<float (*)[kTokens]>(memory)),
        blocks(reinterpret_cast<ChunkBlock<kTokens>*>(memory + sizeof(float) * kTokens * kTokens)) {}
  static size_t bytes(int64_t N) {
    return sizeof(float) * kTokens * kTokens + static_cast<size_t>(blocks_of(N)) * sizeof(ChunkBlock<kTokens>);
  }

  float (*scores)[kTokens];  // A; zero above the diagonal, as far as whole sub-chunks go
  ChunkBlock<kTokens>* blocks;
};

// Columns, whole panels, of one row of a tensor, or zeros in place of none, as fp32 in blocks: row[block][c] = from[64
// block + c].
template <int kTokens, class Element>
HWY_INLINE void copy_row(int64_t N, Columns columns, const Element* from, float* row) {
  for (int64_t first = columns.first; first < columns.last;) {
    const int64_t last = std::min(columns.last, first / kChannels * kChannels + kChannels);
    const int64_t end = from == nullptr ? first : std::clamp(N, first, last);
    float* to = row + first / kChannels * kBlockFloats<kTokens> + first % kChannels;
    int64_t i = first;
    for (; i + kLanes <= end; i += kLanes, to += kLanes) store_vec(load_vec(from + i), to);
    for (; i < end; ++i) *to++ = load(from + i);
    std::fill_n(to, last - i, 0.0f);
    first = last;
  }
}

// Where y goes.
template <class Element>
struct Outputs {
  Element* first;  // token's
  int64_t stride;  // from token to token
  bool bypass;     // the caches (ahead.hpp)

  Outputs from(int64_t column) const { return {first + column, stride, bypass}; }
};

// A panel of one row of y, of which `columns` from its first on exist; `bypass`: past the caches (ahead.hpp).
template <class Element>
HWY_INLINE void store_row(Vec left, Vec right, int64_t columns, bool bypass, Element* to) {
  if (columns >= kPanel) {
    store_output(left, bypass, to);
    store_output(right, bypass, to + kLanes);
    return;
  }
  Element row[kPanel];
  store_vec(left, row);
  store_vec(right, row + kLanes);
  std::copy_n(row, columns, to);
}

// Of a sub-chunk of kSize tokens, the chunk's from `first` on, of which `count` exist: makes r' and k' of r and k,
// relative to the sub-chunk's start and end, and sums up A inside it, A[p][q] in scores[p (p + 1) / 2 + q] before its
// lanes are added. `channels` is a multiple of the vector width; r(p, i) and k(p, i) load those from i on of token p.
template <int kTokens, int kSize, class LoadR, class LoadK>
HWY_INLINE void factor_sub(int64_t channels, const HeadBlock<kTokens, kSize>* heads, const LoadR& r, const LoadK& k,
                           int first, int count, ChunkBlock<kTokens>* blocks, Vec* scores) {
  HWY_UNROLL(32)
  for (int n = 0; n < kSize * (kSize + 1) / 2; ++n) scores[n] = zero();
  for (int64_t i = 0; i < channels; i += kLanes) {
    const HeadBlock<kTokens, kSize>& head = heads[i / kChannels];
    ChunkBlock<kTokens>& block = blocks[i / kChannels];
    const int64_t c = i % kChannels;
    float(*r_out)[kChannels] = block.r + first;
    float(*k_out)[kChannels] = block.k + first;
    const Vec w = load_vec(head.power[1] + c), bonus = load_vec(head.bonus + c);
    Vec key[kSize];  // relative to token p
    HWY_UNROLL(8)
    for (int p = 0; p < kSize; ++p) {
      const Vec receptance = r(p, i);
      HWY_UNROLL(8)
      for (int q = 0; q < p; ++q) {
        if (q + 1 < p) key[q] = hn::Mul(key[q], w);
        Vec& sum = scores[p * (p + 1) / 2 + q];
        sum = hn::MulAdd(receptance, key[q], sum);
      }
      key[p] = k(p, i);
      Vec& sum = scores[p * (p + 1) / 2 + p];
      sum = hn::MulAdd(hn::Mul(receptance, bonus), key[p], sum);
      store_vec(p == 0 ? receptance : hn::Mul(receptance, load_vec(head.power[p] + c)), r_out[p] + c);
      store_vec(p + 1 < count ? hn::Mul(key[p], load_vec(head.power[count - 1 - p] + c)) : key[p], k_out[p] + c);
    }
  }
}

// The same of sub-chunk `sub`, with A inside it where it belongs.
template <int kTokens, class LoadR, class LoadK>
HWY_INLINE void prepare_sub(int64_t channels, const HeadBlock<kTokens>* heads, const LoadR& r, const LoadK& k, int sub,
                            int count, const Chunk<kTokens>& chunk) {
  const int first = sub * kSub;
  Vec s[kSub * (kSub + 1) / 2];
  factor_sub(channels, heads, r, k, first, count, chunk.blocks, s);
  store_sums(s[0], zero(), zero(), zero(), chunk.scores[first] + first);
  store_sums(s[1], s[2], zero(), zero(), chunk.scores[first + 1] + first);
  store_sums(s[3], s[4], s[5], zero(), chunk.scores[first + 2] + first);
  store_sums(s[6], s[7], s[8], s[9], chunk.scores[first + 3] + first);
}

// A between the tokens of sub-chunk `kLater` and all earlier ones. r' comes relative to the sub-chunk's start; times
// w^4 after each earlier one, of which the nearest comes first, it is relative to the start of the next, at last the
// chunk's.
template <int kLater, int kTokens>
HWY_INLINE void score_sub(int64_t N, const HeadBlock<kTokens>* heads, const Chunk<kTokens>& chunk) {
  constexpr int kRows = kManyRegisters ? 2 : 1;
  for (int p = kLater * kSub; p < (kLater + 1) * kSub; p += kRows) {
    Vec sum[kRows][kLater][kSub];
    HWY_UNROLL(4)
    for (int m = 0; m < kRows; ++m) {
      HWY_UNROLL(4)
      for (int earlier = 0; earlier < kLater; ++earlier) {
        HWY_UNROLL(4)
        for (int q = 0; q < kSub; ++q) sum[m][earlier][q] = zero();
      }
    }
    for (int64_t i = 0; i < padded(N); i += kLanes) {
      ChunkBlock<kTokens>& block = chunk.blocks[i / kChannels];
      const int64_t c = i % kChannels;
      const Vec over_sub = load_vec(heads[i / kChannels].power[kSub] + c);
      Vec r[kRows];
      HWY_UNROLL(4)
      for (int m = 0; m < kRows; ++m) r[m] = load_vec(block.r[p + m] + c);
      HWY_UNROLL(4)
      for (int earlier = kLater - 1; earlier >= 0; --earlier) {
        HWY_UNROLL(4)
        for (int q = 0; q < kSub; ++q) {
          const Vec k = load_vec(block.k[earlier * kSub + q] + c);
          HWY_UNROLL(4)
          for (int m = 0; m < kRows; ++m) sum[m][earlier][q] = hn::MulAdd(r[m], k, sum[m][earlier][q]);
        }
        HWY_UNROLL(4)
        for (int m = 0; m < kRows; ++m) r[m] = hn::Mul(r[m], over_sub);
      }
      HWY_UNROLL(4)
      for (int m = 0; m < kRows; ++m) store_vec(r[m], block.r[p + m] + c);
    }
    HWY_UNROLL(4)
    for (int m = 0; m < kRows; ++m) {
      HWY_UNROLL(4)
      for (int earlier = 0; earlier < kLater; ++earlier) {
        const auto& sums = sum[m][earlier];
        store_sums(sums[0], sums[1], sums[2], sums[3], chunk.scores[p + m] + earlier * kSub);
      }
    }
  }
}

template <int kTokens, int kLater = 1>
HWY_INLINE void score_subs(int64_t N, const HeadBlock<kTokens>* heads, int tokens, const Chunk<kTokens>& chunk,
                           Ahead& ahead) {
  if constexpr (kLater * kSub < kTokens) {
    if (kLater * kSub >= tokens) return;
    ahead.ask();
    score_sub<kLater>(N, heads, chunk);
    score_subs<kTokens, kLater + 1>(N, heads, tokens, chunk, ahead);
  }
}

// Calls of ask by prepare_scores.
template <int kTokens>
inline constexpr int64_t kAsksOfScores = 2 * kTokens / kSub - 1;

// r', A, and k' relative to the end of its sub-chunk, of a chunk of which `tokens` tokens exist; r and k point at the
// first's. Rows of tokens that do not exist are zero, in the first sub-chunk or, where there is a second one, in all.
template <int kTokens, class Element>
HWY_INLINE void prepare_scores(int64_t N, const HeadBlock<kTokens>* heads, const Element* r, const Element* k,
                               int64_t stride, int tokens, const Chunk<kTokens>& chunk, Ahead& ahead) {
  const Columns all{.first = 0, .last = padded(N)};
  const auto row = [&](const Element* tensor, int t) { return t < tokens ? tensor + t * stride : nullptr; };
  // Whole sub-chunks of whole panels are taken from where they lie.
  const int direct = N == padded(N) ? tokens / kSub : 0;
  for (int t = direct * kSub, rows = tokens > kSub ? kTokens : kSub; t < rows; ++t) {
    copy_row<kTokens>(N, all, row(r, t), chunk.blocks->r[t]);
    copy_row<kTokens>(N, all, row(k, t), chunk.blocks->k[t]);
  }
  for (int sub = 0; sub * kSub < tokens; ++sub) {
    const int first = sub * kSub, count = std::min(tokens - first, kSub);
    ahead.ask();
    if (sub < direct) {
      const auto in = [&](const Element* tensor) {
        return [=](int p, int64_t i) HWY_ATTR { return load_vec(tensor + (first + p) * stride + i); };
      };
      prepare_sub(padded(N), heads, in(r), in(k), sub, kSub, chunk);
    } else {
      const auto in = [&](const float(*rows)[kChannels]) {
        return [=](int p, int64_t i) HWY_ATTR {
          return load_vec(rows[first + p] + i / kChannels * kBlockFloats<kTokens> + i % kChannels);
        };
      };
      prepare_sub(padded(N), heads, in(chunk.blocks->r), in(chunk.blocks->k), sub, count, chunk);
    }
  }
  score_subs(N, heads, tokens, chunk, ahead);
}

// What k' of a sub-chunk is to be multiplied with: the decay of channels c and on over the tokens after the sub-chunk.
template <int kTokens>
HWY_INLINE Vec decay_after(const HeadBlock<kTokens>& head, int sub, int tokens, int64_t c) {
  const int last_sub = (tokens - 1) / kSub;
  if (sub >= last_sub) return load_vec(head.power[0] + c);
  return hn::Mul(load_vec(head.sub_power[last_sub - 1 - sub] + c), load_vec(head.power[tokens - last_sub * kSub] + c));
}

}  // namespace wkv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
