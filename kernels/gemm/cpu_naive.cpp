// gemm cpu_naive: the definition as plain loops, to be read: an outer product a channel, four tokens side by side; the
//   compiler vectorises the loop over the output channels.
// Parallel over groups of four tokens.
// Moves x in once for every 64 output channels, y out once, the weights once for each group, a column of 64 gathered at
//   a time; sums through L1 once an input channel and token.
// Limit: loads, two and a store for each vector multiply-add, and the gathering, a load for four multiply-adds.
// Supports everything.
#include <algorithm>
#include <vector>

#include "harness/variant.hpp"
#include "kernels/element.hpp"
#include "kernels/gemm/gemm.hpp"

namespace wkv::kernels {
namespace {

constexpr int64_t kTokens = 4, kBlock = 64;

// sums[t][n] += x[t] w[n] for one input channel.
__attribute__((target_clones("default", "avx2,fma", "arch=skylake-avx512"))) void outer_product(
    int64_t outputs, const float* __restrict x, const float* __restrict w, float* __restrict sums) {
  for (int64_t t = 0; t < kTokens; ++t) {
    for (int64_t n = 0; n < outputs; ++n) sums[t * kBlock + n] += x[t] * w[n];
  }
}

template <class Element>
void run_tokens(const Problem& p, const GemmTensors& tensors, Executor& executor) {
  const int64_t C = p.channels(), M = Gemm::outputs(p), tokens = p.B * p.new_tokens();
  const auto* x = reinterpret_cast<const Element*>(tensors.x);
  const auto* w = reinterpret_cast<const Element*>(tensors.w);
  auto* y = reinterpret_cast<Element*>(tensors.y);
  executor.parallel_for((tokens + kTokens - 1) / kTokens, [&](int64_t task, int) {
    const int64_t first = task * kTokens, last = std::min(tokens, first + kTokens);
    std::vector<float> sums(kTokens * kBlock), w_row(kBlock), x_column(kTokens);
    for (int64_t n0 = 0; n0 < M; n0 += kBlock) {
      const int64_t outputs = std::min(kBlock, M - n0);
      std::fill(sums.begin(), sums.end(), 0.0f);
      for (int64_t k = 0; k < C; ++k) {
        for (int64_t t = first; t < last; ++t) x_column[static_cast<size_t>(t - first)] = load(x + t * C + k);
        for (int64_t n = 0; n < outputs; ++n) w_row[static_cast<size_t>(n)] = load(w + (n0 + n) * C + k);
        outer_product(outputs, x_column.data(), w_row.data(), sums.data());
      }
      for (int64_t t = first; t < last; ++t) {
        for (int64_t n = 0; n < outputs; ++n) {
          store(sums[static_cast<size_t>((t - first) * kBlock + n)], y + t * M + n0 + n);
        }
      }
    }
  });
}

void run(const Problem& problem, const GemmTensors& tensors, Executor& executor) {
  with_any_element_type(problem.dtype,
                        [&]<class Element>(Element*) { run_tokens<Element>(problem, tensors, executor); });
}

const Registered<Gemm> variant{{.name = "cpu_naive", .dtypes = {DType::f32, DType::bf16, DType::f16}, .run = run}};

}  // namespace
}  // namespace wkv::kernels
