// Attention of one new query a head against a cache of keys and values: each is read once, in the order it lies in.
// The cache is cut into parts of time; a task takes all heads of a part, because their keys and values lie side by
// side, and leaves for each head the largest score, the sum and the output relative to it; a second step joins the
// parts. One instance per Highway target: include after hwy/foreach_target.h, use inside HWY_NAMESPACE.
#if defined(WKV_KERNELS_ATTENTION_CACHE_SCAN_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef WKV_KERNELS_ATTENTION_CACHE_SCAN_INL_HPP
#undef WKV_KERNELS_ATTENTION_CACHE_SCAN_INL_HPP
#else
#define WKV_KERNELS_ATTENTION_CACHE_SCAN_INL_HPP
#endif

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numbers>

#include "harness/executor.hpp"
#include "kernels/attention/attention.hpp"
#include "kernels/element.hpp"
#include "kernels/simd_math-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace wkv::kernels::HWY_NAMESPACE::tiled {

inline constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// The four rows that a step of the scan takes at once; at the end of a part the last row stands for those behind it.
template <class Element>
struct FourRows {
  const Element* at[4];
  FourRows(const Element* first, int64_t stride, int64_t rows) {
    for (int64_t i = 0; i < 4; ++i) at[i] = first + std::min(i, rows - 1) * stride;
  }
};

template <class Element>
HWY_INLINE void four_products(int64_t N, const float* q, const FourRows<Element>& k, int64_t offset, float* score) {
  Vec sum[4] = {zero(), zero(), zero(), zero()};
  int64_t n = 0;
  for (; n + kLanes <= N; n += kLanes) {
    const Vec query = load_vec(q + n);
    for (int i = 0; i < 4; ++i) sum[i] = hn::MulAdd(query, load_vec(k.at[i] + offset + n), sum[i]);
  }
  store_sums(sum[0], sum[1], sum[2], sum[3], score);
  for (; n < N; ++n) {
    for (int i = 0; i < 4; ++i) score[i] += q[n] * load(k.at[i] + offset + n);
  }
}

template <class Element>
HWY_INLINE void add_four(int64_t N, const float* p, const FourRows<Element>& v, int64_t offset, float* y) {
  const Vec weight[4] = {broadcast(p[0]), broadcast(p[1]), broadcast(p[2]), broadcast(p[3])};
  int64_t n = 0;
  for (; n + kLanes <= N; n += kLanes) {
    Vec sum = load_vec(y + n);
    for (int i = 0; i < 4; ++i) sum = hn::MulAdd(weight[i], load_vec(v.at[i] + offset + n), sum);
    store_vec(sum, y + n);
  }
  for (; n < N; ++n) {
    for (int i = 0; i < 4; ++i) y[n] += p[i] * load(v.at[i] + offset + n);
  }
}

HWY_INLINE void scale(int64_t N, float factor, float* y) {
  int64_t n = 0;
  for (; n + kLanes <= N; n += kLanes) store_vec(hn::Mul(load_vec(y + n), broadcast(factor)), y + n);
  for (; n < N; ++n) y[n] *= factor;
}

HWY_INLINE float exp2_of(float x) { return hn::GetLane(exp2_vec(broadcast(x))); }

// What a part of the cache contributes to the outputs of all heads.
struct Partial {
  float* largest;  // (H)
  float* sum;      // (H): of 2^(score - largest)
  float* y;        // (H, N): sum of 2^(score - largest) v

  static int64_t floats(const Problem& p) { return p.H * (p.N + 2); }
  Partial(float* memory, const Problem& p) : largest(memory), sum(memory + p.H), y(memory + 2 * p.H) {}
};

template <class Element>
class CacheScan {
 public:
  static constexpr int64_t kKeys = 64;  // of a block: its scores of all heads stay in the cache nearest to the core

  // Floats of a thread: the queries and a block's scores.
  static int64_t floats(const Problem& p) { return p.H * (p.N + kKeys); }

  CacheScan(const Problem& p, const Element* q, const Element* k, const Element* v, float* memory)
      : H_(p.H), N_(p.N), stride_(p.H * p.N), k_(k), v_(v), q_(memory), score_(memory + p.H * p.N) {
    const auto factor = static_cast<float>(std::numbers::log2e / std::sqrt(static_cast<double>(p.N)));
    for (int64_t i = 0; i < stride_; ++i) q_[i] = load(q + i) * factor;
  }

  // Keys [first, last).
  void run(int64_t first, int64_t last, const Partial& partial) const {
    std::fill_n(partial.largest, H_, kMinusInfinity);
    std::fill_n(partial.sum, H_, 0.0f);
    std::fill_n(partial.y, stride_, 0.0f);
    for (int64_t key = first; key < last; key += kKeys) {
      const int64_t keys = std::min(kKeys, last - key);
      for_fours(keys, k_ + key * stride_, [&](const FourRows<Element>& rows, int64_t i, int64_t h) {
        four_products(N_, q_ + h * N_, rows, h * N_, score_ + h * kKeys + i);
      });
      for (int64_t h = 0; h < H_; ++h) exponentiate(keys, score_ + h * kKeys, h, partial);
      for_fours(keys, v_ + key * stride_, [&](const FourRows<Element>& rows, int64_t i, int64_t h) {
        add_four(N_, score_ + h * kKeys + i, rows, h * N_, partial.y + h * N_);
      });
    }
  }

 private:
  template <class Body>
  HWY_INLINE void for_fours(int64_t keys, const Element* rows, const Body& body) const {
    for (int64_t i = 0; i < keys; i += 4) {
      const FourRows<Element> four(rows + i * stride_, stride_, keys - i);
      for (int64_t h = 0; h < H_; ++h) body(four, i, h);
    }
  }

  // The scores of a head become its 2^(score - largest), zero behind the last key, and what it has so far is rescaled.
  void exponentiate(int64_t keys, float* score, int64_t h, const Partial& partial) const {
    std::fill(score + keys, score + kKeys, kMinusInfinity);
    Vec most = broadcast(partial.largest[h]);
    for (int64_t i = 0; i < keys; i += kLanes) most = hn::Max(most, load_vec(score + i));
    most = hn::MaxOfLanes(Floats(), most);
    Vec sum = zero();
    for (int64_t i = 0; i < kKeys; i += kLanes) {
      const Vec power = exp2_vec(hn::Sub(load_vec(score + i), most));
      store_vec(power, score + i);
      sum = hn::Add(sum, power);
    }
    const float largest = hn::GetLane(most);
    if (largest > partial.largest[h]) {
      const float shrink = exp2_of(partial.largest[h] - largest);
      scale(N_, shrink, partial.y + h * N_);
      partial.sum[h] *= shrink;
      partial.largest[h] = largest;
    }
    partial.sum[h] += hn::GetLane(hn::SumOfLanes(Floats(), sum));
  }

  int64_t H_, N_, stride_;
  const Element* k_;
  const Element* v_;
  float* q_;      // (H, N), in units of log2
  float* score_;  // (H, kKeys)
};

// Parts of time of one batch entry.
inline int64_t cache_parts(const Problem& p, int64_t threads) {
  constexpr int64_t kPartsPerThread = 4, kMinKeys = 16;
  const int64_t wanted = (kPartsPerThread * threads + p.B - 1) / p.B;
  return std::clamp(wanted, int64_t{1}, (p.T + kMinKeys - 1) / kMinKeys);
}

inline size_t cache_scan_bytes(const Problem& p, int threads) {
  const int64_t floats = CacheScan<float>::floats(p) * threads + Partial::floats(p) * p.B * cache_parts(p, threads);
  return sizeof(float) * static_cast<size_t>(floats);
}

// y = sum of the parts' outputs, each brought to the largest score of all.
template <class Element>
void join(const Problem& p, int64_t h, int64_t parts, float* partials, Element* y) {
  const auto partial = [&](int64_t part) { return Partial(partials + part * Partial::floats(p), p); };
  float largest = kMinusInfinity, sum = 0;
  for (int64_t part = 0; part < parts; ++part) largest = std::max(largest, partial(part).largest[h]);
  const Partial total = partial(0);
  for (int64_t part = 0; part < parts; ++part) {
    const Partial one = partial(part);
    const float factor = exp2_of(one.largest[h] - largest);
    sum += factor * one.sum[h];
    scale(p.N, factor, one.y + h * p.N);
    if (part == 0) continue;
    for (int64_t n = 0; n < p.N; ++n) total.y[h * p.N + n] += one.y[h * p.N + n];
  }
  for (int64_t n = 0; n < p.N; ++n) store(total.y[h * p.N + n] / sum, y + h * p.N + n);
}

template <class Element>
void run_cache_scan(const Problem& p, const AttentionTensors& tensors, Executor& executor) {
  const int64_t parts = cache_parts(p, executor.threads());
  const int64_t keys = (p.T + parts - 1) / parts;
  const size_t bytes = cache_scan_bytes(p, executor.threads());
  auto* partials = reinterpret_cast<float*>(executor.scratch(bytes).data());
  float* threads = partials + Partial::floats(p) * p.B * parts;
  const auto *q = reinterpret_cast<const Element*>(tensors.q), *k = reinterpret_cast<const Element*>(tensors.k),
             *v = reinterpret_cast<const Element*>(tensors.v);
  const int64_t query = p.H * p.N, cache = p.T * query;
  executor.parallel_for(p.B * parts, [&](int64_t task, int thread) {
    const int64_t b = task / parts, first = task % parts * keys;
    const CacheScan<Element> scan(p, q + b * query, k + b * cache, v + b * cache,
                                  threads + thread * CacheScan<Element>::floats(p));
    scan.run(first, std::min(first + keys, p.T), Partial(partials + task * Partial::floats(p), p));
  });
  executor.parallel_for(p.B * p.H, [&](int64_t task, int) {
    const int64_t b = task / p.H;
    join(p, task % p.H, parts, partials + b * parts * Partial::floats(p),
         reinterpret_cast<Element*>(tensors.y) + b * query);
  });
}

}  // namespace wkv::kernels::HWY_NAMESPACE::tiled
HWY_AFTER_NAMESPACE();

#endif
