// gemm cpu_rows: weight rows, as they lie, times a few tokens' vectors; for decode, where a weight is used once.
// Parallel over blocks of neighbouring rows of about 256 KiB.
// Moves every weight once, from four places of a block side by side, each of them read from one row to the next: a core
//   reads faster so than from one place, and asking ahead (prefetch) made it slower. The tokens, widened to fp32, stay
//   in L1 or L2; of more than two tokens each pair finds the four rows in L1 or L2 again.
// Limit: the bandwidth of what holds the weights; at many tokens loads, which are not blocked for the tokens' sake.
// Supports everything.
#include <algorithm>
#include <type_traits>

#include "harness/variant.hpp"
#include "kernels/element.hpp"
#include "kernels/gemm/gemm.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gemm/cpu_rows.cpp"
#include "kernels/simd_targets.hpp"
//
#include <hwy/foreach_target.h>
//
#include "kernels/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace wkv::kernels::HWY_NAMESPACE {
namespace {

constexpr int kRows = 4;    // whose sums over lanes are made together
constexpr int kTokens = 2;  // for which a weight is loaded once

// kCount tokens, `stride` floats apart, times up to kRows rows, `apart` rows apart.
template <int kCount, class Element>
HWY_NOINLINE void rows_times_tokens(int64_t K, int64_t rows, int64_t apart, const Element* w, const float* x,
                                    int64_t stride, Element* y, int64_t y_stride) {
  constexpr int kChains = kTokens / kCount;  // of additions for one sum
  const Element* row[kRows];
  for (int r = 0; r < kRows; ++r) row[r] = w + std::min<int64_t>(r, rows - 1) * apart * K;
  Vec sums[kCount * kChains][kRows];
  for (auto& of_rows : sums) {
    for (Vec& sum : of_rows) sum = zero();
  }
  int64_t k = 0;
  for (; k + kChains * kLanes <= K; k += kChains * kLanes) {
    for (int c = 0; c < kChains; ++c) {
      const int64_t at = k + c * kLanes;
      Vec token[kCount];
      for (int t = 0; t < kCount; ++t) token[t] = load_vec(x + t * stride + at);
      for (int r = 0; r < kRows; ++r) {
        const Vec weights = load_vec(row[r] + at);
        for (int t = 0; t < kCount; ++t) {
          sums[t * kChains + c][r] = hn::MulAdd(weights, token[t], sums[t * kChains + c][r]);
        }
      }
    }
  }
  for (int t = 0; t < kCount; ++t) {
    Vec(&own)[kRows] = sums[t * kChains];
    for (int c = 1; c < kChains; ++c) {
      for (int r = 0; r < kRows; ++r) own[r] = hn::Add(own[r], sums[t * kChains + c][r]);
    }
    float totals[kRows];
    store_sums(own[0], own[1], own[2], own[3], totals);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t rest = k; rest < K; ++rest) totals[r] += load(row[r] + rest) * x[t * stride + rest];
      store(totals[r], y + t * y_stride + r * apart);
    }
  }
}

// Floats between widened tokens.
int64_t stride_of(const Problem& p) { return (p.channels() + 15) / 16 * 16; }

size_t extra_bytes(const Problem& p, int) {
  return static_cast<size_t>(p.B * p.new_tokens() * stride_of(p)) * sizeof(float);
}

template <class Element>
void run_rows(const Problem& p, const GemmTensors& tensors, Executor& executor) {
  constexpr int64_t kBlockBytes = 1 << 18;
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
  const int64_t row_bytes = K * static_cast<int64_t>(sizeof(Element)), share = M / (4 * executor.threads());
  const int64_t apart = std::max<int64_t>(1, std::min(kBlockBytes / row_bytes, share) / kRows), block = apart * kRows;
  executor.parallel_for((M + block - 1) / block, [&](int64_t task, int) {
    const int64_t first = task * block;
    for (int64_t row = first; row < std::min(M, first + apart); ++row) {
      const int64_t rows = std::min<int64_t>(kRows, (M - row + apart - 1) / apart);
      const auto times = [&]<int kCount>(std::integral_constant<int, kCount>, int64_t t) {
        rows_times_tokens<kCount>(K, rows, apart, w + row * K, x + t * stride, stride, y + t * M + row, M);
      };
      int64_t t = 0;
      for (; t + kTokens <= tokens; t += kTokens) times(std::integral_constant<int, kTokens>(), t);
      if (t < tokens) times(std::integral_constant<int, 1>(), t);
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
