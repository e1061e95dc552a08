// wkv4 cpu_serial: one pass over t, a vector lane a channel, with two exponentials a token (running_sums-inl.hpp).
// Parallel over (b, block of 64 channels: whole cache lines); a thread owns a block's sums, in L1 between tokens.
// Moves k, v in and y out once, the state in and out once.
// Limit: FP rate: two exponentials, a division and some 20 other vector operations; memory bandwidth from some threads
// on. Supports every number of channels that is a multiple of the vector width.
#include <fmt/format.h>

#include <algorithm>
#include <numbers>

#include "harness/variant.hpp"
#include "kernels/element.hpp"
#include "kernels/wkv4/wkv4.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/wkv4/cpu_serial.cpp"
#include "kernels/simd_targets.hpp"
//
#include <hwy/foreach_target.h>
//
#include "kernels/running_sums-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace wkv::kernels::HWY_NAMESPACE {
namespace {

constexpr int64_t kBlockChannels = 64;
constexpr float kLn2 = std::numbers::ln2_v<float>;

// A block's channels between tokens; exponents, w and u as powers of two.
struct alignas(64) BlockState {
  float numerator[kBlockChannels], denominator[kBlockChannels], exponent[kBlockChannels];
  float age[kBlockChannels];  // tokens since the one that the exponent is of: now it is less by age times w
  float w[kBlockChannels], u[kBlockChannels];
};

template <class Element>
HWY_INLINE void token(int64_t channels, const Element* k, const Element* v, BlockState& state, Element* y) {
  for (int64_t c = 0; c < channels; c += kLanes) {
    const Vec key = hn::Mul(load_vec(k + c), broadcast(kLog2E)), value = load_vec(v + c);
    const Vec exponent = load_vec(state.exponent + c), w = load_vec(state.w + c), age = load_vec(state.age + c);
    RunningSums sums{load_vec(state.numerator + c), load_vec(state.denominator + c), hn::NegMulAdd(age, w, exponent)};
    RunningSums with_bonus = sums;
    with_bonus.add(hn::Add(load_vec(state.u + c), key), value);
    store_vec(hn::Div(with_bonus.numerator, with_bonus.denominator), y + c);
    const Vec older = hn::Add(age, broadcast(1));
    sums.exponent = hn::NegMulAdd(older, w, exponent);
    const auto replaces = hn::Gt(key, sums.exponent);
    sums.add(key, value);
    store_vec(sums.numerator, state.numerator + c);
    store_vec(sums.denominator, state.denominator + c);
    store_vec(hn::IfThenElse(replaces, key, exponent), state.exponent + c);
    store_vec(hn::IfThenZeroElse(replaces, older), state.age + c);
  }
}

template <class Element>
void run_block(const Problem& p, const Wkv4Tensors& tensors, int64_t b, int64_t first, int64_t channels) {
  const int64_t T = p.new_tokens(), C = p.channels(), at = b * C + first;
  BlockState state;
  for (int64_t c = 0; c < channels; ++c) {
    state.numerator[c] = tensors.numerator[at + c];
    state.denominator[c] = tensors.denominator[at + c];
    state.exponent[c] = tensors.exponent[at + c] * kLog2E;
    state.age[c] = 0;
    state.w[c] = tensors.w[first + c] * kLog2E;
    state.u[c] = tensors.u[first + c] * kLog2E;
  }
  const int64_t offset = b * T * C + first;
  const Element *k = reinterpret_cast<const Element*>(tensors.k) + offset,
                *v = reinterpret_cast<const Element*>(tensors.v) + offset;
  Element* y = reinterpret_cast<Element*>(tensors.y) + offset;
  for (int64_t t = 0; t < T; ++t, k += C, v += C, y += C) {
    if (t + kTokensAhead < T) {
      for (const Element* row : {k, v, static_cast<const Element*>(y)}) ask_for(row + kTokensAhead * C, channels);
    }
    token(channels, k, v, state, y);
  }
  std::copy_n(state.numerator, channels, tensors.numerator_out + at);
  std::copy_n(state.denominator, channels, tensors.denominator_out + at);
  for (int64_t c = 0; c < channels; ++c) {
    tensors.exponent_out[at + c] = (state.exponent[c] - state.age[c] * state.w[c]) * kLn2;
  }
}

void run(const Problem& p, const Wkv4Tensors& tensors, Executor& executor) {
  const int64_t C = p.channels(), blocks = (C + kBlockChannels - 1) / kBlockChannels;
  with_element_type(p.dtype, [&]<class Element>(Element*) {
    executor.parallel_for(p.B * blocks, [&](int64_t task, int) {
      const int64_t first = task % blocks * kBlockChannels;
      run_block<Element>(p, tensors, task / blocks, first, std::min(kBlockChannels, C - first));
    });
  });
}

int lanes() { return kLanes; }

}  // namespace
}  // namespace wkv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wkv::kernels {
namespace {

HWY_EXPORT(run);
HWY_EXPORT(lanes);

std::optional<std::string> unsupported(const Problem& p) {
  const int lanes = HWY_DYNAMIC_DISPATCH(lanes)();
  if (p.channels() % lanes == 0) return std::nullopt;
  return fmt::format("{} channels are not a multiple of the vector width, {}", p.channels(), lanes);
}

void run_here(const Problem& problem, const Wkv4Tensors& tensors, Executor& executor) {
  HWY_DYNAMIC_DISPATCH(run)(problem, tensors, executor);
}

const Registered<Wkv4> variant{{.name = "cpu_serial", .unsupported = unsupported, .run = run_here}};

}  // namespace
}  // namespace wkv::kernels
#endif
