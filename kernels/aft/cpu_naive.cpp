// aft cpu_naive: the definition as plain loops, the largest exponent first, to be read.
// Parallel over (b, h); a thread goes through the queries of its head, all channels side by side.
// Moves k and v in twice a query, the biases twice a head; three sums a channel in L1.
// Limit: an exponential for every pair of query and key in every channel.
// Supports everything.
#include <algorithm>
#include <cmath>
#include <limits>

#include "harness/variant.hpp"
#include "kernels/aft/aft.hpp"
#include "kernels/element.hpp"

namespace wkv::kernels {
namespace {

// A head's rows.
template <class Element>
struct HeadRows {
  const Element *q, *k, *v;
  int64_t stride, N;
};

// numerator / denominator of one query; all of N channels, as is largest.
template <class Element, class BiasAt>
void weighted_mean(const HeadRows<Element>& rows, int64_t keys, const BiasAt& bias_at, float* largest, float* numerator,
                   float* denominator) {
  std::fill_n(largest, rows.N, -std::numeric_limits<float>::infinity());
  std::fill_n(numerator, rows.N, 0.0f);
  std::fill_n(denominator, rows.N, 0.0f);
  for (int64_t i = 0; i < keys; ++i) {
    const float bias = bias_at(i);
    for (int64_t n = 0; n < rows.N; ++n) {
      largest[n] = std::max(largest[n], load(rows.k + i * rows.stride + n) + bias);
    }
  }
  for (int64_t i = 0; i < keys; ++i) {
    const float bias = bias_at(i);
    for (int64_t n = 0; n < rows.N; ++n) {
      const int64_t at = i * rows.stride + n;
      const float weight = std::exp(load(rows.k + at) + bias - largest[n]);
      numerator[n] += weight * load(rows.v + at);
      denominator[n] += weight;
    }
  }
}

size_t extra_bytes(const Problem& p, int threads) {
  return 3 * sizeof(float) * static_cast<size_t>(p.N) * static_cast<size_t>(threads);
}

template <class Element>
void run_heads(const Problem& p, const AftTensors& tensors, Executor& executor) {
  const AftWindow window(p);
  const int64_t C = p.channels(), N = p.N;
  auto* scratch = reinterpret_cast<float*>(executor.scratch(extra_bytes(p, executor.threads())).data());
  executor.parallel_for(p.B * p.H, [&](int64_t task, int thread) {
    const int64_t b = task / p.H, first = task % p.H * N;
    const int64_t query_at = b * window.queries * C + first, key_at = b * p.T * C + first;
    const HeadRows<Element> rows{reinterpret_cast<const Element*>(tensors.q) + query_at,
                                 reinterpret_cast<const Element*>(tensors.k) + key_at,
                                 reinterpret_cast<const Element*>(tensors.v) + key_at, C, N};
    auto* y = reinterpret_cast<Element*>(tensors.y) + query_at;
    float *largest = scratch + 3 * N * thread, *numerator = largest + N, *denominator = numerator + N;
    for (int64_t query = 0; query < window.queries; ++query) {
      const auto bias_at = [&](int64_t key) {
        return key < window.outside(query) ? 0.0f : tensors.bias[window.row(query) + key];
      };
      weighted_mean(rows, window.position(query) + 1, bias_at, largest, numerator, denominator);
      for (int64_t n = 0; n < N; ++n) {
        const float gate = 1 / (1 + std::exp(-load(rows.q + query * C + n)));
        store(gate * numerator[n] / denominator[n], y + query * C + n);
      }
    }
  });
}

void run(const Problem& problem, const AftTensors& tensors, Executor& executor) {
  with_element_type(problem.dtype, [&]<class Element>(Element*) { run_heads<Element>(problem, tensors, executor); });
}

const Registered<Aft> variant{{.name = "cpu_naive", .extra_bytes = extra_bytes, .run = run}};

}  // namespace
}  // namespace wkv::kernels
