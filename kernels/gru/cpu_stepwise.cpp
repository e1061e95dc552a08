// gru cpu_stepwise: the input's products for a block of tokens at once, then h's products and the cell token by token.
// Parallel over the channels: a thread owns some, with all their gates, and waits at a barrier once a token for the
//   others' part of h (stepwise-inl.hpp).
// Moves x in and y out once; w_ih once a block of 256 KiB of x; w_hh once a token for all batch entries. For few tokens
//   and small batches rows are read as they lie, else they are packed first (panels-inl.hpp), which takes as much
//   memory again. The share of a thread, 12 C^2 / threads bytes, stays in its L2, or in L3, where it fits.
// Limit: at B = 1 the bandwidth of what holds w_hh, 12 C^2 bytes a token; at larger B the FMA rate.
// Supports everything.
#include "harness/variant.hpp"
#include "kernels/element.hpp"
#include "kernels/gru/gru.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gru/cpu_stepwise.cpp"
#include "kernels/simd_targets.hpp"
//
#include <hwy/foreach_target.h>
//
#include "kernels/simd_math-inl.hpp"
#include "kernels/stepwise-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace wkv::kernels::HWY_NAMESPACE {
namespace {

// kLanes channels of a step; gates are `stride` floats apart.
struct GruCell {
  static constexpr int kGates = Gru::kGates;
  using Tensors = GruTensors;

  static void begin(const GruTensors&, float*, int64_t, int64_t, int64_t) {}
  static void end(const GruTensors&, const float*, int64_t, int64_t, int64_t) {}
  HWY_INLINE static Vec step(const float* input, const float* recurrent, int64_t stride, const float* h, float*) {
    const auto sum = [&](int64_t gate) {
      return hn::Add(load_vec(input + gate * stride), load_vec(recurrent + gate * stride));
    };
    const Vec r = sigmoid_vec(sum(0)), z = sigmoid_vec(sum(1));
    const Vec n = tanh_vec(hn::MulAdd(r, load_vec(recurrent + 2 * stride), load_vec(input + 2 * stride)));
    return hn::MulAdd(z, hn::Sub(load_vec(h), n), n);
  }
};

void run(const Problem& problem, const GruTensors& tensors, Executor& executor) {
  with_element_type(problem.dtype,
                    [&]<class Element>(Element*) { run_stepwise<GruCell, Element>(problem, tensors, executor); });
}

size_t extra_bytes(const Problem& p, int threads) { return StepwiseScratch<3>::bytes(p, threads); }

}  // namespace
}  // namespace wkv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wkv::kernels {
namespace {

HWY_EXPORT(run);
HWY_EXPORT(extra_bytes);

void run_here(const Problem& problem, const GruTensors& tensors, Executor& executor) {
  HWY_DYNAMIC_DISPATCH(run)(problem, tensors, executor);
}

size_t extra_bytes_here(const Problem& p, int threads) { return HWY_DYNAMIC_DISPATCH(extra_bytes)(p, threads); }

const Registered<Gru> variant{{.name = "cpu_stepwise", .extra_bytes = extra_bytes_here, .run = run_here}};

}  // namespace
}  // namespace wkv::kernels
#endif
