// wkv5 cpu_naive: the definition as plain loops, to be read; the compiler vectorises the loop over j.
// Parallel over (b, h); a thread keeps one head's N x N state in the output tensor (16 KiB at N = 64, L1).
// Moves r, k, v in and y out once; the state through L1 once a token: N^2 loads and stores.
// Limit: L1 bandwidth and 5 N^2 FLOPs a token and head.
// Supports everything.
#include <algorithm>
#include <vector>

#include "harness/variant.hpp"
#include "kernels/element.hpp"
#include "kernels/wkv5/wkv5.hpp"

namespace wkv::kernels {
namespace {

// One token and head: y += r (S + u k v), S = w S + k v.
__attribute__((target_clones("default", "avx2,fma", "arch=skylake-avx512"))) void token(
    int64_t N, const float* __restrict r, const float* __restrict k, const float* __restrict v,
    const float* __restrict w, const float* __restrict u, float* __restrict state, float* __restrict y) {
  for (int64_t i = 0; i < N; ++i) {
    for (int64_t j = 0; j < N; ++j) {
      const float kv = k[i] * v[j];
      y[j] += r[i] * (state[i * N + j] + u[i] * kv);
      state[i * N + j] = w[i] * state[i * N + j] + kv;
    }
  }
}

template <class Element>
void run_heads(const Problem& p, const Wkv5Tensors& tensors, Executor& executor) {
  const int64_t T = p.new_tokens(), N = p.N;
  executor.parallel_for(p.B * p.H, [&](int64_t task, int) {
    const int64_t b = task / p.H, h = task % p.H;
    float* state = tensors.state_out + task * N * N;
    std::copy_n(tensors.state + task * N * N, N * N, state);
    std::vector<float> buffer(static_cast<size_t>(4 * N));
    float *r = buffer.data(), *k = r + N, *v = k + N, *y = v + N;
    for (int64_t t = 0; t < T; ++t) {
      const int64_t offset = ((b * T + t) * p.H + h) * N;
      for (int64_t i = 0; i < N; ++i) {
        r[i] = load(reinterpret_cast<const Element*>(tensors.r) + offset + i);
        k[i] = load(reinterpret_cast<const Element*>(tensors.k) + offset + i);
        v[i] = load(reinterpret_cast<const Element*>(tensors.v) + offset + i);
        y[i] = 0;
      }
      token(N, r, k, v, tensors.w + h * N, tensors.u + h * N, state, y);
      for (int64_t j = 0; j < N; ++j) store(y[j], reinterpret_cast<Element*>(tensors.y) + offset + j);
    }
  });
}

void run(const Problem& problem, const Wkv5Tensors& tensors, Executor& executor) {
  with_any_element_type(problem.dtype,
                        [&]<class Element>(Element*) { run_heads<Element>(problem, tensors, executor); });
}

const Registered<Wkv5> variant{{.name = "cpu_naive", .dtypes = {DType::f32, DType::bf16, DType::f16}, .run = run}};

}  // namespace
}  // namespace wkv::kernels
