// gemm cpu_rows: each weight row, as it lies, times a few tokens' vectors; for decode, where a weight is used once.
// Parallel over blocks of neighbouring rows of about 64 KiB.
// Moves every weight once, from one end of a block to the other, asked for 2 KiB ahead; the tokens, widened to fp32,
//   stay in L1 or L2; groups of more than four tokens find the four rows that they share in L1 or L2 again.
// Limit: the bandwidth of what holds the weights; at many tokens loads, which are not blocked for the tokens' sake.
// Supports everything.
#include <algorithm>

#include "harness/variant.hpp"
#include "kernels/element.hpp"
#include "kernels/gemm/gemm.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gemm/cpu_rows.cpp"
#include "kernels/simd_targets.hpp"
//
#include <hwy/foreach_target.h>
//
#include <hwy/cache_control.h>

#include "kernels/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace wkv::kernels::HWY_NAMESPACE {
namespace {

constexpr int kRows = 4;    // whose sums over lanes are made together
constexpr int kTokens = 4;  // for which a weight is loaded once

// One row's products with kCount tokens, `stride` floats apart: vectors whose lanes are to be added up, and from where
// on a rest of the row is left.
template <int kCount, class Element>
HWY_INLINE int64_t add_row(int64_t K, const Element* w, const float* x, int64_t stride, Vec (&sums)[kCount]) {
  constexpr int kChains = kCount == 1 ? 4 : kCount == 2 ? 2 : 1;
  constexpr int64_t kStep = kChains * kLanes, kAhead = 2048 / static_cast<int64_t>(sizeof(Element));
  Vec chain[kChains][kCount];
  for (auto& of_tokens : chain) {
    for (Vec& each : of_tokens) each = zero();
  }
  int64_t k = 0;
  for (; k + kStep <= K; k += kStep) {
    hwy::Prefetch(w + k + kAhead);
    for (int c = 0; c < kChains; ++c) {
      const Vec weights = load_vec(w + k + c * kLanes);
      for (int t = 0; t < kCount; ++t) {
        chain[c][t] = hn::MulAdd(weights, load_vec(x + t * stride + k + c * kLanes), chain[c][t]);
      }
    }
  }
  for (int t = 0; t < kCount; ++t) {
    sums[t] = chain[0][t];
    for (int c = 1; c < kChains; ++c) sums[t] = hn::Add(sums[t], chain[c][t]);
  }
  return k;
}

// kCount tokens times up to kRows rows.
template <int kCount, class Element>
HWY_NOINLINE void rows_times_tokens(int64_t K, int64_t rows, const Element* w, const float* x, int64_t stride,
                                    Element* y, int64_t y_stride) {
  Vec sums[kRows][kCount];
  int64_t done = 0;
  for (int r = 0; r < kRows; ++r) done = add_row<kCount>(K, w + std::min<int64_t>(r, rows - 1) * K, x, stride, sums[r]);
  for (int t = 0; t < kCount; ++t) {
    float totals[kRows];
    store_sums(sums[0][t], sums[1][t], sums[2][t], sums[3][t], totals);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t k = done; k < K; ++k) totals[r] += load(w + r * K + k) * x[t * stride + k];
      store(totals[r], y + t * y_stride + r);
    }
  }
}

template <class Element>
void some_tokens(int64_t count, int64_t K, int64_t rows, const Element* w, const float* x, int64_t stride, Element* y,
                 int64_t y_stride) {
  switch (count) {
    case 1:
      return rows_times_tokens<1>(K, rows, w, x, stride, y, y_stride);
    case 2:
      return rows_times_tokens<2>(K, rows, w, x, stride, y, y_stride);
    case 3:
      return rows_times_tokens<3>(K, rows, w, x, stride, y, y_stride);
    default:
      return rows_times_tokens<4>(K, rows, w, x, stride, y, y_stride);
  }
}

// Floats between widened tokens.
int64_t stride_of(const Problem& p) { return (p.channels() + 15) / 16 * 16; }

size_t extra_bytes(const Problem& p, int) {
  return static_cast<size_t>(p.B * p.new_tokens() * stride_of(p)) * sizeof(float);
}

template <class Element>
void run_rows(const Problem& p, const GemmTensors& tensors, Executor& executor) {
  constexpr int64_t kBlockBytes = 1 << 16;
  const int64_t K = p.channels(), M = Gemm::outputs(p), tokens = p.B * p.new_tokens(), stride = stride_of(p);
  const auto* w = reinterpret_cast<const Element*>(tensors.w);
  auto* y = reinterpret_cast<Element*>(tensors.y);
  auto* x = reinterpret_cast<float*>(executor.scratch(extra_bytes(p, 1)).data());
  for (int64_t t = 0; t < tokens; ++t) {
    const Element* from = reinterpret_cast<const Element*>(tensors.x) + t * K;
    int64_t k = 0;
    for (; k + kLanes <= K; k += kLanes) store_vec(load_vec(from + k), x + t * stride + k);
    for (; k < K; ++k) x[t * stride + k] = load(from + k);
  }
  const int64_t row_bytes = K * static_cast<int64_t>(sizeof(Element));
  const int64_t block = std::max<int64_t>(1, kBlockBytes / row_bytes / kRows) * kRows;
  executor.parallel_for((M + block - 1) / block, [&](int64_t task, int) {
    const int64_t last = std::min(M, (task + 1) * block);
    for (int64_t row = task * block; row < last; row += kRows) {
      const int64_t rows = std::min<int64_t>(kRows, last - row);
      for (int64_t t = 0; t < tokens; t += kTokens) {
        some_tokens(std::min<int64_t>(kTokens, tokens - t), K, rows, w + row * K, x + t * stride, stride,
                    y + t * M + row, M);
      }
    }
  });
}

void run(const Problem& problem, const GemmTensors& tensors, Executor& executor) {
  with_element_type(problem.dtype, [&]<class Element>(Element*) { run_rows<Element>(problem, tensors, executor); });
}

}  // namespace
}  // namespace wkv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wkv::kernels {
namespace {

HWY_EXPORT(run);
HWY_EXPORT(extra_bytes);

void run_here(const Problem& problem, const GemmTensors& tensors, Executor& executor) {
  HWY_DYNAMIC_DISPATCH(run)(problem, tensors, executor);
}

size_t extra_bytes_here(const Problem& p, int threads) { return HWY_DYNAMIC_DISPATCH(extra_bytes)(p, threads); }

const Registered<Gemm> variant{{.name = "cpu_rows", .extra_bytes = extra_bytes_here, .run = run_here}};

}  // namespace
}  // namespace wkv::kernels
#endif
