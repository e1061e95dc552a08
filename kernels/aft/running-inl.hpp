// AFT by running sums over the keys: what a single query, or all queries without biases, need no products of tiles for.
// One instance per Highway target: include after hwy/foreach_target.h, use inside HWY_NAMESPACE.
#if defined(WKV_KERNELS_AFT_RUNNING_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef WKV_KERNELS_AFT_RUNNING_INL_HPP
#undef WKV_KERNELS_AFT_RUNNING_INL_HPP
#else
#define WKV_KERNELS_AFT_RUNNING_INL_HPP
#endif

#include <algorithm>

#include "harness/executor.hpp"
#include "kernels/aft/aft.hpp"
#include "kernels/running_sums-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace wkv::kernels::HWY_NAMESPACE::aft {

HWY_INLINE Vec gated_mean(Vec q, Vec numerator, Vec denominator) {
  return hn::Div(hn::Mul(sigmoid_vec(q), numerator), denominator);
}

inline float bias_of(const AftTensors& tensors, const AftWindow& window, int64_t query, int64_t key) {
  return key < window.outside(query) ? 0 : tensors.bias[window.row(query) + key];
}

// The mean of one query in a vector of channels, key by key. k and v: of key 0; rows are `stride` elements apart.
template <class Element>
HWY_NOINLINE RunningSums sums_of_query(const AftTensors& tensors, const AftWindow& window, int64_t query,
                                       const Element* k, const Element* v, int64_t stride) {
  RunningSums sums = no_sums();
  for (int64_t key = 0; key <= window.position(query); ++key, k += stride, v += stride) {
    const Vec bias = broadcast(kLog2E * bias_of(tensors, window, query, key));
    sums.add(hn::MulAdd(load_vec(k), broadcast(kLog2E), bias), load_vec(v));
  }
  return sums;
}

inline constexpr int64_t kRunningChannels = 64;  // of a task: whole cache lines

struct alignas(64) ChannelSums {
  float numerator[kRunningChannels], denominator[kRunningChannels], exponent[kRunningChannels];
};

// Channels [first, first + channels) of batch entry b. Every query sees the sums up to its own position; with biases
// there is but one.
template <class Element>
void run_channels(const Problem& p, const AftTensors& tensors, int64_t b, int64_t first, int64_t channels) {
  const AftWindow window(p);
  const int64_t C = p.channels(), contexts = p.T - window.queries, query_at = b * window.queries * C + first;
  const auto *k = reinterpret_cast<const Element*>(tensors.k) + b * p.T * C + first,
             *v = reinterpret_cast<const Element*>(tensors.v) + b * p.T * C + first,
             *q = reinterpret_cast<const Element*>(tensors.q) + query_at;
  auto* y = reinterpret_cast<Element*>(tensors.y) + query_at;
  ChannelSums all;
  for (int64_t c = 0; c < channels; c += kLanes) {
    const RunningSums none = no_sums();
    store_vec(none.numerator, all.numerator + c);
    store_vec(none.denominator, all.denominator + c);
    store_vec(none.exponent, all.exponent + c);
  }
  for (int64_t t = 0; t < p.T; ++t, k += C, v += C) {
    if (t + kTokensAhead < p.T) {
      for (const Element* row : {k, v}) ask_for(row + kTokensAhead * C, channels);
      if (t >= contexts) {
        for (const Element* row : {q, static_cast<const Element*>(y)}) ask_for(row + kTokensAhead * C, channels);
      }
    }
    const Vec bias = broadcast(window.W == 0 ? 0 : kLog2E * bias_of(tensors, window, 0, t));
    for (int64_t c = 0; c < channels; c += kLanes) {
      RunningSums sums{load_vec(all.numerator + c), load_vec(all.denominator + c), load_vec(all.exponent + c)};
      sums.add(hn::MulAdd(load_vec(k + c), broadcast(kLog2E), bias), load_vec(v + c));
      store_vec(sums.numerator, all.numerator + c);
      store_vec(sums.denominator, all.denominator + c);
      store_vec(sums.exponent, all.exponent + c);
      if (t < contexts) continue;
      store_vec(gated_mean(load_vec(q + c), sums.numerator, sums.denominator), y + c);
    }
    if (t >= contexts) q += C, y += C;
  }
}

template <class Element>
void run_running(const Problem& p, const AftTensors& tensors, Executor& executor) {
  const int64_t C = p.channels(), blocks = (C + kRunningChannels - 1) / kRunningChannels;
  executor.parallel_for(p.B * blocks, [&](int64_t task, int) {
    const int64_t first = task % blocks * kRunningChannels;
    run_channels<Element>(p, tensors, task / blocks, first, std::min(kRunningChannels, C - first));
  });
}

}  // namespace wkv::kernels::HWY_NAMESPACE::aft
HWY_AFTER_NAMESPACE();

#endif
