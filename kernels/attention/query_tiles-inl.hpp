// Attention for a tile of queries of one head: blocks of keys and values pass by it once, softmax online.
// (Milakov and Gimelshein, arXiv:1805.02867; tiled as in Dao et al., FlashAttention, arXiv:2205.14135.)
// Lanes are queries: scores stand as (key, query), outputs as (channel, query). Both matrix products then have the
// form tile += scalar column * vector row, with keys and values as scalars just as they lie in memory, and the maximum,
// the sum and the rescaling are plain vectors of queries. Only queries and outputs are transposed, once each.
// One instance per Highway target: include after hwy/foreach_target.h, use inside HWY_NAMESPACE.
#if defined(WKV_KERNELS_ATTENTION_QUERY_TILES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef WKV_KERNELS_ATTENTION_QUERY_TILES_INL_HPP
#undef WKV_KERNELS_ATTENTION_QUERY_TILES_INL_HPP
#else
#define WKV_KERNELS_ATTENTION_QUERY_TILES_INL_HPP
#endif

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numbers>

#include "harness/executor.hpp"
#include "kernels/attention/attention.hpp"
#include "kernels/simd_math-inl.hpp"
#include "kernels/transpose-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace wkv::kernels::HWY_NAMESPACE::tiled {

// A register tile has kRows keys or channels by up to kStripVecs vectors of queries: 12 or 24 sums, the rest of the
// registers for a row and a scalar.
inline constexpr int kRows = kManyRegisters ? 8 : 4;
inline constexpr int kStripVecs = 3;
inline constexpr int64_t kStrip = kStripVecs * kLanes;  // queries of a strip
inline constexpr int64_t kKeys = 64;                    // of a block
static_assert(kStrip <= kKeys && kKeys % kRows == 0);

template <int kVecs>
struct Tile {
  Vec at[kRows][kVecs];
};

// tile += sum over `count` of column * row; a column is kRows scalars, `row_step` apart, the next one `step` further;
// a row is kVecs vectors, the next one behind it.
template <int kVecs>
HWY_INLINE void add_products(int64_t count, const float* scalars, int64_t row_step, int64_t step, const float* vectors,
                             Tile<kVecs>& tile) {
  for (int64_t i = 0; i < count; ++i, scalars += step, vectors += kVecs * kLanes) {
    Vec row[kVecs];
    for (int j = 0; j < kVecs; ++j) row[j] = load_vec(vectors + j * kLanes);
    for (int m = 0; m < kRows; ++m) {
      const Vec scalar = broadcast(scalars[m * row_step]);
      for (int j = 0; j < kVecs; ++j) tile.at[m][j] = hn::MulAdd(scalar, row[j], tile.at[m][j]);
    }
  }
}

// What a strip of kVecs vectors of queries carries along the keys; rows of kVecs vectors.
struct Strip {
  int64_t first_query;
  float* q;        // (N)
  float* y;        // (N rounded up to kRows): sum of p v
  float* largest;  // (1): of the scores
  float* sum;      // (1): of p
};

// A block of keys and values: rows of padded(N) floats.
struct KeyBlock {
  int64_t first_key;
  int64_t keys;
  const float* k;
  const float* v;
};

// Minus infinity for the queries before the keys of a tile, of which the first is `lead` after the strip's first query.
template <int kVecs>
HWY_INLINE void mask(int64_t lead, Tile<kVecs>& tile) {
  const Vec masked = broadcast(-std::numeric_limits<float>::infinity());
  for (int j = 0; j < kVecs; ++j) {
    const Vec query = hn::Iota(Floats(), static_cast<float>(j * kLanes));
    for (int m = 0; m < kRows; ++m) {
      const auto before = hn::Lt(query, broadcast(static_cast<float>(lead + m)));
      tile.at[m][j] = hn::IfThenElse(before, masked, tile.at[m][j]);
    }
  }
}

// p = q . k for the keys of a block (rounded up to kRows) and the strip's queries, and the largest of them so far.
template <int kVecs>
HWY_INLINE void score(int64_t N, const Strip& strip, const KeyBlock& block, float* p, Vec (&largest)[kVecs]) {
  for (int64_t key = 0; key < block.keys; key += kRows) {
    Tile<kVecs> tile;
    for (auto& row : tile.at) {
      for (Vec& vec : row) vec = zero();
    }
    add_products<kVecs>(N, block.k + key * padded(N), padded(N), 1, strip.q, tile);
    const int64_t lead = block.first_key + key - strip.first_query;
    if (lead + kRows > 1) mask<kVecs>(lead, tile);
    for (int m = 0; m < kRows; ++m) {
      for (int j = 0; j < kVecs; ++j) {
        largest[j] = hn::Max(largest[j], tile.at[m][j]);
        store_vec(tile.at[m][j], p + ((key + m) * kVecs + j) * kLanes);
      }
    }
  }
}

// p = 2^(p - largest) in place; gives the sums over the keys.
template <int kVecs>
HWY_INLINE void exponentiate(int64_t keys, const Vec (&largest)[kVecs], float* p, Vec (&sum)[kVecs]) {
  for (Vec& vec : sum) vec = zero();
  for (int64_t key = 0; key < keys; ++key, p += kVecs * kLanes) {
    for (int j = 0; j < kVecs; ++j) {
      const Vec power = exp2_vec(hn::Sub(load_vec(p + j * kLanes), largest[j]));
      store_vec(power, p + j * kLanes);
      sum[j] = hn::Add(sum[j], power);
    }
  }
}

// Takes a block of keys into the strip. p: scratch for kKeys rows.
template <int kVecs>
void attend(int64_t N, const Strip& strip, const KeyBlock& block, float* p) {
  Vec largest[kVecs], sum[kVecs], shrink[kVecs];
  for (int j = 0; j < kVecs; ++j) largest[j] = load_vec(strip.largest + j * kLanes);
  score<kVecs>(N, strip, block, p, largest);
  exponentiate<kVecs>(block.keys, largest, p, sum);
  for (int j = 0; j < kVecs; ++j) {
    shrink[j] = exp2_vec(hn::Sub(load_vec(strip.largest + j * kLanes), largest[j]));
    store_vec(largest[j], strip.largest + j * kLanes);
    store_vec(hn::MulAdd(load_vec(strip.sum + j * kLanes), shrink[j], sum[j]), strip.sum + j * kLanes);
  }
  for (int64_t n = 0; n < N; n += kRows) {
    float* y = strip.y + n * kVecs * kLanes;
    Tile<kVecs> tile;
    for (int m = 0; m < kRows; ++m) {
      for (int j = 0; j < kVecs; ++j) tile.at[m][j] = hn::Mul(shrink[j], load_vec(y + (m * kVecs + j) * kLanes));
    }
    add_products<kVecs>(block.keys, block.v + n, 1, padded(N), p, tile);
    for (int m = 0; m < kRows; ++m) {
      for (int j = 0; j < kVecs; ++j) store_vec(tile.at[m][j], y + (m * kVecs + j) * kLanes);
    }
  }
}

// A thread's scratch memory for a tile of some queries, a multiple of kStrip.
class TileScratch {
 public:
  static int64_t floats(int64_t N, int64_t queries) {
    return 2 * (queries + kKeys) * padded(N) + kKeys * kStrip + 2 * queries;
  }

  TileScratch(float* memory, int64_t N, int64_t queries)
      : q(memory),
        y(q + queries * padded(N)),
        k(y + queries * padded(N)),
        v(k + kKeys * padded(N)),
        p(v + kKeys * padded(N)),
        largest(p + kKeys * kStrip),
        sum(largest + queries) {}

  float *q, *y;  // a strip behind the other
  float *k, *v;  // a block's keys and values; k also rows of q and y on their way
  float* p;      // a strip's scores
  float *largest, *sum;
};

// Rows of one head's tensor.
template <class Element>
struct HeadRows {
  Element* first;
  int64_t stride;
  Element* at(int64_t t) const { return first + t * stride; }
};

template <class Element>
class QueryTile {
 public:
  // Queries [first_query, last_query).
  QueryTile(int64_t N, int64_t first_query, int64_t last_query, const TileScratch& scratch)
      : N_(N), first_query_(first_query), last_query_(last_query), scratch_(scratch) {}

  void run(HeadRows<const Element> q, HeadRows<const Element> k, HeadRows<const Element> v, HeadRows<Element> y) const {
    for_strips([&]<int kVecs>(const Strip& strip) { begin<kVecs>(strip, q); });
    for (int64_t key = 0; key < last_query_; key += kKeys) {
      const KeyBlock block{key, std::min(kKeys, last_query_ - key), scratch_.k, scratch_.v};
      load_rows(N_, block.keys, k.at(key), k.stride, scratch_.k);
      load_rows(N_, block.keys, v.at(key), v.stride, scratch_.v);
      std::fill(scratch_.k + block.keys * padded(N_), scratch_.k + kKeys * padded(N_), 0.0f);
      for_strips([&]<int kVecs>(const Strip& strip) {
        KeyBlock seen = block;
        seen.keys = std::min(block.keys, strip.first_query + kVecs * kLanes - key);
        if (seen.keys > 0) attend<kVecs>(N_, strip, seen, scratch_.p);
      });
    }
    for_strips([&]<int kVecs>(const Strip& strip) { end<kVecs>(strip, y); });
  }

 private:
  // Calls body<kVecs>(strip) for every strip; the last one has as few vectors as hold its queries.
  template <class Body>
  void for_strips(const Body& body) const {
    for (int64_t query = first_query_; query < last_query_; query += kStrip) {
      const int64_t i = query - first_query_;
      const Strip strip{query, scratch_.q + i * padded(N_), scratch_.y + i * padded(N_), scratch_.largest + i,
                        scratch_.sum + i};
      const int64_t queries = last_query_ - query;
      if (queries > 2 * kLanes) {
        body.template operator()<3>(strip);
      } else if (queries > kLanes) {
        body.template operator()<2>(strip);
      } else {
        body.template operator()<1>(strip);
      }
    }
  }

  int64_t queries_of(const Strip& strip, int64_t width) const {
    return std::min(width, last_query_ - strip.first_query);
  }

  template <int kVecs>
  void begin(const Strip& strip, HeadRows<const Element> q) const {
    constexpr int64_t kWidth = kVecs * kLanes;
    const int64_t queries = queries_of(strip, kWidth);
    load_rows(N_, queries, q.at(strip.first_query), q.stride, scratch_.k);
    std::fill(scratch_.k + queries * padded(N_), scratch_.k + kWidth * padded(N_), 0.0f);
    const float scale = static_cast<float>(std::numbers::log2e / std::sqrt(static_cast<double>(N_)));
    for (int j = 0; j < kVecs; ++j) {
      rows_to_lanes(N_, scratch_.k + j * kLanes * padded(N_), scale, strip.q + j * kLanes, kWidth);
    }
    std::fill_n(strip.y, kWidth * padded(N_), 0.0f);
    std::fill_n(strip.largest, kWidth, -std::numeric_limits<float>::infinity());
    std::fill_n(strip.sum, kWidth, 0.0f);
  }

  template <int kVecs>
  void end(const Strip& strip, HeadRows<Element> y) const {
    constexpr int64_t kWidth = kVecs * kLanes;
    for (int j = 0; j < kVecs; ++j) {
      const Vec factor = hn::Div(broadcast(1), load_vec(strip.sum + j * kLanes));
      lanes_to_rows(N_, strip.y + j * kLanes, kWidth, factor, scratch_.k + j * kLanes * padded(N_));
    }
    store_rows(N_, queries_of(strip, kWidth), scratch_.k, y.at(strip.first_query), y.stride);
  }

  int64_t N_, first_query_, last_query_;
  TileScratch scratch_;
};

// A key block is copied once per tile, so tiles are as large as q and y fit into a part of L2 (192 KiB), but small
// enough that there are some for every thread.
inline int64_t queries_of_tile(const Problem& p, int64_t threads) {
  constexpr int64_t kStep = 48, kMax = 384, kMaxFloats = int64_t{48} << 10, kTilesPerThread = 8;
  static_assert(kStep % kStrip == 0 && kMax % kStep == 0);
  const int64_t most = std::clamp(kMaxFloats / (2 * padded(p.N)) / kStep * kStep, kStep, kMax);
  const int64_t share = p.B * p.H * p.T / (kTilesPerThread * threads);
  return std::clamp((std::min(share, p.T) + kStep - 1) / kStep * kStep, kStep, most);
}

inline size_t query_tiles_bytes(const Problem& p, int threads) {
  return sizeof(float) * static_cast<size_t>(TileScratch::floats(p.N, queries_of_tile(p, threads)) * threads);
}

// Longest tiles of a head first, so that the last tasks are short.
template <class Element>
void run_query_tiles(const Problem& p, const AttentionTensors& tensors, Executor& executor) {
  const int64_t heads = p.B * p.H, threads = executor.threads(), stride = p.H * p.N;
  const int64_t queries = queries_of_tile(p, threads), tiles = (p.T + queries - 1) / queries;
  const int64_t floats = TileScratch::floats(p.N, queries);
  auto* memory = reinterpret_cast<float*>(executor.scratch(query_tiles_bytes(p, executor.threads())).data());
  executor.parallel_for(heads * tiles, [&](int64_t task, int thread) {
    const int64_t head = task / tiles, first = (tiles - 1 - task % tiles) * queries;
    const int64_t offset = (head / p.H * p.T * p.H + head % p.H) * p.N;
    const auto rows = [&](const std::byte* tensor) {
      return HeadRows<const Element>{reinterpret_cast<const Element*>(tensor) + offset, stride};
    };
    const QueryTile<Element> tile(p.N, first, std::min(first + queries, p.T),
                                  TileScratch(memory + thread * floats, p.N, queries));
    tile.run(rows(tensors.q), rows(tensors.k), rows(tensors.v),
             {reinterpret_cast<Element*>(tensors.y) + offset, stride});
  });
}

}  // namespace wkv::kernels::HWY_NAMESPACE::tiled
HWY_AFTER_NAMESPACE();

#endif
