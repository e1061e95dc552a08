// AFT as a product of matrices: exp(k + b) = exp(b) exp(k), so that numerator and denominator of a tile of queries are
// exp(b), computed once for all channels, times exp(k) v and exp(k), computed once for all queries.
// Every factor is at most 1: exp(b) is relative to its row's largest b, exp(k) to the largest k of its channel up to
// the end of its block of keys, and the sums so far shrink where that grows. Where the keys with a large b are not
// those with a large k, the sums underflow; a denominator below 2^-60 tells, and what it loses from there on is
// nothing. Those outputs are summed up key by key (running-inl.hpp). One instance per Highway target: include after
// hwy/foreach_target.h, use inside HWY_NAMESPACE.
#if defined(WKV_KERNELS_AFT_TILES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef WKV_KERNELS_AFT_TILES_INL_HPP
#undef WKV_KERNELS_AFT_TILES_INL_HPP
#else
#define WKV_KERNELS_AFT_TILES_INL_HPP
#endif

#include <cstring>
#include <limits>

#include "kernels/aft/running-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace wkv::kernels::HWY_NAMESPACE::aft {

// A register tile has kRows queries by two vectors of channels, numerators and denominators: 12 or 24 sums, the rest of
// the registers for a scalar of each row and a vector.
inline constexpr int kRows = kManyRegisters ? 6 : 3;
inline constexpr int64_t kQueries = 48;  // of a tile
inline constexpr int64_t kKeys = 128;    // of a block
inline constexpr int kVecs = 2;
inline constexpr int64_t kGroup = kVecs * kLanes;  // channels
inline constexpr int64_t kWidth = 2 * kGroup;      // floats of a key's or a query's row: of v, then of 1
inline constexpr float kLeastDenominator = 0x1p-60f;
static_assert(kQueries % kRows == 0);

inline int64_t blocks_of(int64_t keys) { return (keys + kKeys - 1) / kKeys; }

// What is made of the keys of a group of channels, for all queries: rows of exp(k) v and exp(k); for each block of keys
// the largest k up to its end and, relative to that, the sums of all blocks before it.
struct PackedGroup {
  static int64_t floats(int64_t T) { return T * kWidth + blocks_of(T) * (kGroup + kWidth); }

  PackedGroup(float* memory, int64_t T)
      : rows(memory), largest(rows + T * kWidth), before(largest + blocks_of(T) * kGroup) {}

  float *rows, *largest, *before;
};

// 2^(log2(e) (a - b))
HWY_INLINE Vec exp_difference(Vec a, Vec b) { return exp2_vec(hn::Mul(hn::Sub(a, b), broadcast(kLog2E))); }

// One vector of a group; k and v: of key 0, rows `stride` elements apart.
template <class Element>
void pack(int64_t T, const Element* k, const Element* v, int64_t stride, int vec, const PackedGroup& to) {
  Vec largest = broadcast(-1e30f), numerator = zero(), denominator = zero();
  const int64_t at = vec * kLanes;
  for (int64_t block = 0; block < blocks_of(T); ++block) {
    const int64_t first = block * kKeys, end = std::min(first + kKeys, T);
    const Vec old = largest;
    for (int64_t key = first; key < end; ++key) largest = hn::Max(largest, load_vec(k + key * stride));
    const Vec shrink = exp_difference(old, largest);
    numerator = hn::Mul(numerator, shrink);
    denominator = hn::Mul(denominator, shrink);
    store_vec(largest, to.largest + block * kGroup + at);
    store_vec(numerator, to.before + block * kWidth + at);
    store_vec(denominator, to.before + block * kWidth + kGroup + at);
    for (int64_t key = first; key < end; ++key) {
      const Vec weight = exp_difference(load_vec(k + key * stride), largest);
      const Vec weighted = hn::Mul(weight, load_vec(v + key * stride));
      store_vec(weighted, to.rows + key * kWidth + at);
      store_vec(weight, to.rows + key * kWidth + kGroup + at);
      numerator = hn::Add(numerator, weighted);
      denominator = hn::Add(denominator, weight);
    }
  }
}

// Calls body(i, vector) for whole vectors of some floats, the last one filled up with `rest`.
template <class Body>
HWY_INLINE void for_vectors(const float* from, int64_t count, float rest, const Body& body) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) body(i, load_vec(from + i));
  if (i == count) return;
  float last[kLanes];
  std::fill_n(last, kLanes, rest);
  std::memcpy(last, from + i, static_cast<size_t>(count - i) * sizeof(float));
  body(i, load_vec(last));
}

// exp(b) of a tile of queries: rows over its keys from the first block that holds one with a bias.
class TileWeights {
 public:
  static int64_t stride_of(int64_t T) { return blocks_of(T) * kKeys + kLanes; }

  TileWeights(const AftTensors& tensors, const AftWindow& window, int64_t first_query, int64_t queries, float* memory)
      : first_key(window.outside(first_query) / kKeys * kKeys), stride(stride_of(window.T)), rows(memory) {
    for (int64_t r = 0; r < (queries + kRows - 1) / kRows * kRows; ++r) {
      float* row = rows + r * stride;
      if (r >= queries) {
        std::fill_n(row, blocks_of(first_query + queries - first_key) * kKeys, 0.0f);
        outside[r] = 0;
        continue;
      }
      const int64_t query = first_query + r, begin = window.outside(query), end = query + 1;
      const float* bias = tensors.bias + (window.row(query) + begin);
      Vec most = broadcast(begin > 0 ? 0 : -std::numeric_limits<float>::infinity());
      for_vectors(bias, end - begin, bias[0], [&](int64_t, Vec b) { most = hn::Max(most, b); });
      most = hn::MaxOfLanes(Floats(), most);
      outside[r] = hn::GetLane(exp_difference(zero(), most));
      std::fill(row, row + (begin - first_key), outside[r]);
      float* inside = row + (begin - first_key);
      for_vectors(bias, end - begin, 0, [&](int64_t i, Vec b) { store_vec(exp_difference(b, most), inside + i); });
      std::fill(row + (end - first_key), row + blocks_of(first_query + queries - first_key) * kKeys, 0.0f);
    }
  }

  int64_t first_key, stride;
  float* rows;
  float outside[kQueries];  // of keys without a bias
};

// sums += weights * rows of keys, kRows queries at once.
HWY_INLINE void add_products(int64_t keys, const float* weights, int64_t stride, const float* rows, float* sums) {
  Vec sum[kRows][2 * kVecs];
  for (int m = 0; m < kRows; ++m) {
    for (int j = 0; j < 2 * kVecs; ++j) sum[m][j] = load_vec(sums + m * kWidth + j * kLanes);
  }
  for (int64_t key = 0; key < keys; ++key, rows += kWidth) {
    Vec weight[kRows];
    for (int m = 0; m < kRows; ++m) weight[m] = broadcast(weights[m * stride + key]);
    for (int j = 0; j < 2 * kVecs; ++j) {
      const Vec row = load_vec(rows + j * kLanes);
      for (int m = 0; m < kRows; ++m) sum[m][j] = hn::MulAdd(weight[m], row, sum[m][j]);
    }
  }
  for (int m = 0; m < kRows; ++m) {
    for (int j = 0; j < 2 * kVecs; ++j) store_vec(sum[m][j], sums + m * kWidth + j * kLanes);
  }
}

// Numerators and denominators of a tile in one group of channels: kQueries rows of kWidth.
inline void sum_tile(const PackedGroup& group, const TileWeights& weights, int64_t first_query, int64_t queries,
                     float* sums) {
  const int64_t first_block = weights.first_key / kKeys, blocks = blocks_of(first_query + queries);
  for (int64_t r = 0; r < kQueries; ++r) {
    const Vec weight = broadcast(r < queries ? weights.outside[r] : 0);
    for (int64_t i = 0; i < kWidth; i += kLanes) {
      store_vec(hn::Mul(weight, load_vec(group.before + first_block * kWidth + i)), sums + r * kWidth + i);
    }
  }
  for (int64_t block = first_block; block < blocks; ++block) {
    const float* largest = group.largest + block * kGroup;
    for (int64_t i = 0; block > first_block && i < kGroup; i += kLanes) {
      const Vec shrink = exp_difference(load_vec(largest - kGroup + i), load_vec(largest + i));
      if (hn::AllTrue(Floats(), hn::Eq(shrink, broadcast(1)))) continue;
      for (float* row = sums + i; row < sums + kQueries * kWidth; row += kGroup) {
        store_vec(hn::Mul(shrink, load_vec(row)), row);
      }
    }
    const int64_t first_key = block * kKeys;
    for (int64_t r = 0; r < queries; r += kRows) {
      const int64_t seen = std::min(first_query + std::min(r + kRows, queries), first_key + kKeys) - first_key;
      if (seen <= 0) continue;
      add_products(seen, weights.rows + r * weights.stride + (first_key - weights.first_key), weights.stride,
                   group.rows + first_key * kWidth, sums + r * kWidth);
    }
  }
}

// A tile's outputs in one vector of channels; q, y: of the tile's first query, k and v of key 0.
template <class Element>
void store_tile(const AftTensors& tensors, const AftWindow& window, int64_t first_query, int64_t queries,
                const float* sums, const Element* q, const Element* k, const Element* v, int64_t stride, Element* y) {
  for (int64_t r = 0; r < queries; ++r, sums += kWidth) {
    Vec numerator = load_vec(sums), denominator = load_vec(sums + kGroup);
    const auto lost = hn::Lt(denominator, broadcast(kLeastDenominator));
    if (!hn::AllFalse(Floats(), lost)) {
      const RunningSums exact = sums_of_query(tensors, window, first_query + r, k, v, stride);
      numerator = hn::IfThenElse(lost, exact.numerator, numerator);
      denominator = hn::IfThenElse(lost, exact.denominator, denominator);
    }
    store_vec(gated_mean(load_vec(q + r * stride), numerator, denominator), y + r * stride);
  }
}

struct TilePlan {
  int64_t groups, tiles, parts;  // groups of channels of all batch entries; a task is a tile in a part of them

  TilePlan(const Problem& p, int threads)
      : groups(p.B * ((p.channels() + kGroup - 1) / kGroup)), tiles((p.T + kQueries - 1) / kQueries) {
    constexpr int64_t kTasksPerThread = 4;
    parts = std::clamp<int64_t>(kTasksPerThread * threads / tiles, 1, groups);
  }
  static int64_t floats(const Problem& p, int threads) {
    return TilePlan(p, threads).groups * PackedGroup::floats(p.T) + threads * kQueries * TileWeights::stride_of(p.T);
  }
};

inline size_t tiles_bytes(const Problem& p, int threads) {
  return sizeof(float) * static_cast<size_t>(TilePlan::floats(p, threads));
}

// Longest tiles of a part first, so that the last tasks are short.
template <class Element>
void run_tiles(const Problem& p, const AftTensors& tensors, Executor& executor) {
  const AftWindow window(p);
  const TilePlan plan(p, executor.threads());
  const int64_t C = p.channels(), groups_of_entry = plan.groups / p.B, packed_floats = PackedGroup::floats(p.T);
  auto* memory = reinterpret_cast<float*>(executor.scratch(tiles_bytes(p, executor.threads())).data());
  const auto of_group = [&](const std::byte* tensor, int64_t group) {
    return reinterpret_cast<const Element*>(tensor) + group / groups_of_entry * p.T * C +
           group % groups_of_entry * kGroup;
  };
  const auto vecs_of = [&](int64_t group) {
    return std::min<int64_t>(kVecs, (C - group % groups_of_entry * kGroup) / kLanes);
  };
  executor.parallel_for(plan.groups, [&](int64_t group, int) {
    const PackedGroup packed(memory + group * packed_floats, p.T);
    if (vecs_of(group) < kVecs) std::fill_n(packed.rows, packed_floats, 0.0f);
    for (int vec = 0; vec < vecs_of(group); ++vec) {
      pack(p.T, of_group(tensors.k, group) + vec * kLanes, of_group(tensors.v, group) + vec * kLanes, C, vec, packed);
    }
  });
  executor.parallel_for(plan.tiles * plan.parts, [&](int64_t task, int thread) {
    const int64_t first = (plan.tiles - 1 - task % plan.tiles) * kQueries, queries = std::min(kQueries, p.T - first);
    const int64_t part = task / plan.tiles;
    const TileWeights weights(tensors, window, first, queries,
                              memory + plan.groups * packed_floats + thread * kQueries * TileWeights::stride_of(p.T));
    alignas(64) float sums[kQueries * kWidth];
    for (int64_t group = part * plan.groups / plan.parts; group < (part + 1) * plan.groups / plan.parts; ++group) {
      sum_tile(PackedGroup(memory + group * packed_floats, p.T), weights, first, queries, sums);
      for (int64_t vec = 0; vec < vecs_of(group); ++vec) {
        const int64_t at = vec * kLanes, row = first * C + at;
        auto* y = const_cast<Element*>(of_group(tensors.y, group));
        store_tile(tensors, window, first, queries, sums + at, of_group(tensors.q, group) + row,
                   of_group(tensors.k, group) + at, of_group(tensors.v, group) + at, C, y + row);
      }
    }
  });
}

}  // namespace wkv::kernels::HWY_NAMESPACE::aft
HWY_AFTER_NAMESPACE();

#endif
