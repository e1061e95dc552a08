// attention cpu_naive: scores, softmax and weighted sum as three plain loops, to be read.
// Parallel over (b, h); a thread materialises the scores of its head (T^2 floats, the causal half of them used).
// Moves the scores through memory three times: written, normalised, read; limit: memory beyond T of some hundreds.
// Supports everything.
#include <algorithm>
#include <cmath>

#include "harness/variant.hpp"
#include "kernels/attention/attention.hpp"
#include "kernels/element.hpp"

namespace wkv::kernels {
namespace {

#define WKV_CLONES __attribute__((target_clones("default", "avx2,fma", "arch=skylake-avx512")))

// score[i] = q . k_i / sqrt(N) for i < context; k transposed to (N, stride) so that the loop over i vectorises.
WKV_CLONES void scores(int64_t N, int64_t context, int64_t stride, const float* __restrict q,
                       const float* __restrict k_transposed, float* __restrict score) {
  const float scale = 1 / std::sqrt(static_cast<float>(N));
  for (int64_t i = 0; i < context; ++i) score[i] = 0;
  for (int64_t n = 0; n < N; ++n) {
    const float factor = q[n] * scale;
    for (int64_t i = 0; i < context; ++i) score[i] += factor * k_transposed[n * stride + i];
  }
}

void softmax(int64_t context, float* score) {
  const float largest = *std::max_element(score, score + context);
  float sum = 0;
  for (int64_t i = 0; i < context; ++i) {
    score[i] = std::exp(score[i] - largest);
    sum += score[i];
  }
  for (int64_t i = 0; i < context; ++i) score[i] /= sum;
}

WKV_CLONES void weighted_sum(int64_t N, int64_t context, const float* __restrict weight, const float* __restrict v,
                             float* __restrict y) {
  for (int64_t n = 0; n < N; ++n) y[n] = 0;
  for (int64_t i = 0; i < context; ++i) {
    for (int64_t n = 0; n < N; ++n) y[n] += weight[i] * v[i * N + n];
  }
}

size_t floats_per_thread(const Problem& p) {
  return static_cast<size_t>(p.new_tokens() * p.T + 2 * p.T * p.N + 2 * p.N);
}

size_t extra_bytes(const Problem& p, int threads) {
  return floats_per_thread(p) * sizeof(float) * static_cast<size_t>(threads);
}

template <class Element>
void run_heads(const Problem& p, const AttentionTensors& tensors, Executor& executor) {
  const int64_t T = p.T, N = p.N, queries = p.new_tokens();
  auto* scratch = reinterpret_cast<float*>(executor.scratch(extra_bytes(p, executor.threads())).data());
  const auto at = [&](int64_t b, int64_t t, int64_t h, int64_t rows) { return ((b * rows + t) * p.H + h) * N; };
  executor.parallel_for(p.B * p.H, [&](int64_t task, int thread) {
    const int64_t b = task / p.H, h = task % p.H;
    float* score = scratch + floats_per_thread(p) * static_cast<size_t>(thread);
    float *k_transposed = score + queries * T, *v = k_transposed + N * T, *q = v + T * N, *y = q + N;
    for (int64_t t = 0; t < T; ++t) {
      for (int64_t n = 0; n < N; ++n) {
        k_transposed[n * T + t] = load(reinterpret_cast<const Element*>(tensors.k) + at(b, t, h, T) + n);
        v[t * N + n] = load(reinterpret_cast<const Element*>(tensors.v) + at(b, t, h, T) + n);
      }
    }
    const auto context = [&](int64_t t) { return queries == T ? t + 1 : T; };
    for (int64_t t = 0; t < queries; ++t) {
      for (int64_t n = 0; n < N; ++n)
        q[n] = load(reinterpret_cast<const Element*>(tensors.q) + at(b, t, h, queries) + n);
      scores(N, context(t), T, q, k_transposed, score + t * T);
    }
    for (int64_t t = 0; t < queries; ++t) softmax(context(t), score + t * T);
    for (int64_t t = 0; t < queries; ++t) {
      weighted_sum(N, context(t), score + t * T, v, y);
      for (int64_t n = 0; n < N; ++n) store(y[n], reinterpret_cast<Element*>(tensors.y) + at(b, t, h, queries) + n);
    }
  });
}

void run(const Problem& problem, const AttentionTensors& tensors, Executor& executor) {
  with_element_type(problem.dtype, [&]<class Element>(Element*) { run_heads<Element>(problem, tensors, executor); });
}

const Registered<Attention> variant{{.name = "cpu_naive", .extra_bytes = extra_bytes, .run = run}};

}  // namespace
}  // namespace wkv::kernels
