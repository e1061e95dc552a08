// wkv5 cpu_serial: one pass over t, two tokens at a time so that a state row is loaded and stored once per pair.
// Parallel over (b, h), and over value columns, which do not depend on each other, when there are fewer heads than
// threads; a thread keeps its columns of one head's N x N state in the output tensor (16 KiB at N = 64, L1).
// Moves r, k, v in and y out once, the state in and out once; a tile of y stays in registers over a pass.
// Limit: FMA rate, 5 N^2 / 2 multiply-adds a token and head; at T = 1 the bandwidth of what holds the state.
// Supports every N that is a multiple of the vector width.
#include <fmt/format.h>

#include <algorithm>

#include "harness/variant.hpp"
#include "kernels/wkv5/ahead.hpp"
#include "kernels/wkv5/decay.hpp"
#include "kernels/wkv5/wkv5.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/wkv5/cpu_serial.cpp"
#include "kernels/simd_targets.hpp"
//
#include <hwy/foreach_target.h>
//
#include "kernels/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace wkv::kernels::HWY_NAMESPACE {
namespace {

// What a pass over the state reads of one or two tokens, for 64 key channels: rows at constant distances.
struct Block {
  static constexpr int64_t kChannels = 64;
  alignas(64) float r[2][kChannels];  // the second token's times w
  float k[2][kChannels];              // the first token's times w if a second one follows
  float keep[kChannels];              // the decay over both (decay.hpp)
  float gain[kChannels];
};

// A thread's scratch memory.
struct Scratch {
  Block* blocks;
  float* v[2];

  static int64_t blocks_of(int64_t N) { return (N + Block::kChannels - 1) / Block::kChannels; }
  static size_t bytes(int64_t N) { return static_cast<size_t>(blocks_of(N)) * (sizeof(Block) + 2 * 256); }
  Scratch(std::byte* memory, int64_t N) : blocks(reinterpret_cast<Block*>(memory)) {
    v[0] = reinterpret_cast<float*>(blocks + blocks_of(N));
    v[1] = v[0] + blocks_of(N) * Block::kChannels;
  }
};

// The pairs (p, q) of tokens with q <= p of a group of two: sum_i r_p k_q, times u on the diagonal.
struct Scores {
  float s00, s10, s11;
};

// Brings one or two tokens into the scratch memory.
template <int kTokens, class Element>
HWY_INLINE Scores prepare(int64_t N, const Element* const (&r)[2], const Element* const (&k)[2],
                          const Element* const (&v)[2], const float* w, const float* u, const Scratch& scratch) {
  Vec s00 = zero(), s10 = zero(), s11 = zero();
  for (int64_t i = 0; i < N; i += kLanes) {
    Block& block = scratch.blocks[i / Block::kChannels];
    const int64_t n = i % Block::kChannels;
    const Vec r0 = load_vec(r[0] + i), k0 = load_vec(k[0] + i), bonus = load_vec(u + i);
    s00 = hn::MulAdd(hn::Mul(r0, bonus), k0, s00);
    store_vec(r0, block.r[0] + n);
    store_vec(load_vec(v[0] + i), scratch.v[0] + i);
    if constexpr (kTokens == 1) {
      store_vec(k0, block.k[0] + n);
    } else {
      const Vec r1 = load_vec(r[1] + i), k1 = load_vec(k[1] + i), decay = load_vec(w + i);
      s10 = hn::MulAdd(r1, k0, s10);
      s11 = hn::MulAdd(hn::Mul(r1, bonus), k1, s11);
      store_vec(hn::Mul(r1, decay), block.r[1] + n);
      store_vec(hn::Mul(k0, decay), block.k[0] + n);
      store_vec(k1, block.k[1] + n);
      store_vec(load_vec(v[1] + i), scratch.v[1] + i);
    }
  }
  float sums[4];
  store_sums(s00, s10, s11, zero(), sums);
  return {sums[0], sums[1], sums[2]};
}

// y and the new state for kVecs vectors of columns, of which `from`, `to`, v and y point at the first.
template <int kTokens, int kVecs, class Element>
HWY_INLINE void pass(int64_t N, const Scratch& scratch, const Scores& scores, int64_t column, const float* w,
                     const float* from, float* to, Element* const (&y)[2], Ahead& ahead) {
  const int64_t stride = N;
  Vec v[kTokens][kVecs], sum[kTokens][kVecs];
  for (int j = 0; j < kVecs; ++j) {
    for (int t = 0; t < kTokens; ++t) v[t][j] = load_vec(scratch.v[t] + column + j * kLanes);
    sum[0][j] = hn::Mul(broadcast(scores.s00), v[0][j]);
    if constexpr (kTokens == 2) {
      sum[1][j] = hn::MulAdd(broadcast(scores.s11), v[1][j], hn::Mul(broadcast(scores.s10), v[0][j]));
    }
  }
  from += column;
  to += column;
  for (const Block* block = scratch.blocks; N > 0; ++block, N -= Block::kChannels, w += Block::kChannels) {
    const int64_t rows = std::min(N, Block::kChannels);
    for (int64_t i = 0; i < rows; ++i, from += stride, to += stride) {
      if (i % 8 == 0) ahead.ask();
      Vec state[kVecs];
      for (int j = 0; j < kVecs; ++j) state[j] = load_vec(from + j * kLanes);
      for (int t = 0; t < kTokens; ++t) {
        const Vec r = broadcast(block->r[t][i]);
        for (int j = 0; j < kVecs; ++j) sum[t][j] = hn::MulAdd(r, state[j], sum[t][j]);
      }
      if constexpr (kTokens == 1) {
        const Vec decay = broadcast(w[i]);
        for (int j = 0; j < kVecs; ++j) state[j] = hn::Mul(decay, state[j]);
      } else {
        const Vec keep = broadcast(block->keep[i]), gain = broadcast(block->gain[i]);
        for (int j = 0; j < kVecs; ++j) state[j] = hn::MulAdd(gain, state[j], hn::And(keep, state[j]));
      }
      for (int t = 0; t < kTokens; ++t) {
        const Vec k = broadcast(block->k[t][i]);
        for (int j = 0; j < kVecs; ++j) state[j] = hn::MulAdd(k, v[t][j], state[j]);
      }
      for (int j = 0; j < kVecs; ++j) store_vec(state[j], to + j * kLanes);
    }
  }
  for (int t = 0; t < kTokens; ++t) {
    for (int j = 0; j < kVecs; ++j) store_vec(sum[t][j], y[t] + column + j * kLanes);
  }
}

// Columns [first, last) in passes of kVecs vectors, the rest in narrower ones.
template <int kTokens, int kVecs, class Element>
HWY_INLINE void passes(int64_t N, const Scratch& scratch, const Scores& scores, int64_t first, int64_t last,
                       const float* w, const float* from, float* to, Element* const (&y)[2], Ahead& ahead) {
  for (; first + kVecs * kLanes <= last; first += kVecs * kLanes) {
    pass<kTokens, kVecs>(N, scratch, scores, first, w, from, to, y, ahead);
  }
  if constexpr (kVecs > 1) passes<kTokens, kVecs / 2>(N, scratch, scores, first, last, w, from, to, y, ahead);
}

// One head, columns [first, last), from its first token to its last.
template <class Element>
void run_columns(const Problem& p, const Wkv5Tensors& tensors, int64_t head, int64_t first, int64_t last,
                 const Scratch& scratch) {
  constexpr int kPairVecs = kManyRegisters ? 4 : 2;  // y and v, two tokens each, stay in registers
  constexpr int kSingleVecs = 8;                     // y: 8 registers; a row of 64 columns in one go
  const int64_t N = p.N, T = p.new_tokens(), stride = p.H * N;
  const int64_t offset = (head / p.H * T * p.H + head % p.H) * N;
  const float *w = tensors.w + head % p.H * N, *u = tensors.u + head % p.H * N;
  const auto *r = reinterpret_cast<const Element*>(tensors.r) + offset,
             *k = reinterpret_cast<const Element*>(tensors.k) + offset,
             *v = reinterpret_cast<const Element*>(tensors.v) + offset;
  Element* y = reinterpret_cast<Element*>(tensors.y) + offset;
  const float* from = tensors.state + head * N * N;
  float* to = tensors.state_out + head * N * N;

  if (T > 1) {
    for (int64_t i = 0; i < N; ++i) {
      const Decay decay = decay_over(2, w[i]);
      scratch.blocks[i / Block::kChannels].keep[i % Block::kChannels] = decay.keep;
      scratch.blocks[i / Block::kChannels].gain[i % Block::kChannels] = decay.gain;
    }
  }
  constexpr int64_t kAhead = 4;  // tokens: a pair later than the next, to be there in time
  const int64_t asks = (last - first + kPairVecs * kLanes - 1) / (kPairVecs * kLanes) * (N / 8);
  Ahead ahead(p, tensors, head, {.first = first, .last = last}, 2, asks);
  int64_t t = 0;
  for (; t + 2 <= T; t += 2, from = to) {
    const int64_t a = t * stride, b = a + stride;
    ahead.start(t + kAhead);
    const Scores scores = prepare<2, Element>(N, {r + a, r + b}, {k + a, k + b}, {v + a, v + b}, w, u, scratch);
    passes<2, kPairVecs, Element>(N, scratch, scores, first, last, w, from, to, {y + a, y + b}, ahead);
  }
  if (t < T) {
    const int64_t a = t * stride;
    ahead.start(T);
    const Scores scores = prepare<1, Element>(N, {r + a}, {k + a}, {v + a}, w, u, scratch);
    passes<1, kSingleVecs, Element>(N, scratch, scores, first, last, w, from, to, {y + a}, ahead);
  }
}

template <class Element>
void run_heads(const Problem& p, const Wkv5Tensors& tensors, Executor& executor) {
  const int64_t heads = p.B * p.H, threads = executor.threads();
  const int64_t parts = std::min((threads + heads - 1) / heads, p.N / kLanes);
  const int64_t columns = (p.N / kLanes + parts - 1) / parts * kLanes;
  const size_t bytes = Scratch::bytes(p.N);
  std::byte* memory = executor.scratch(bytes * static_cast<size_t>(threads)).data();
  executor.parallel_for(heads * parts, [&](int64_t task, int thread) {
    const int64_t first = task % parts * columns;
    run_columns<Element>(p, tensors, task / parts, first, std::min(first + columns, p.N),
                         Scratch(memory + bytes * static_cast<size_t>(thread), p.N));
  });
}

void run(const Problem& problem, const Wkv5Tensors& tensors, Executor& executor) {
  if (problem.dtype == DType::f32) {
    run_heads<float>(problem, tensors, executor);
  } else {
    run_heads<BFloat16>(problem, tensors, executor);
  }
}

size_t extra_bytes(const Problem& p, int threads) { return Scratch::bytes(p.N) * static_cast<size_t>(threads); }

int lanes() { return kLanes; }

}  // namespace
}  // namespace wkv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wkv::kernels {
namespace {

HWY_EXPORT(run);
HWY_EXPORT(lanes);
HWY_EXPORT(extra_bytes);

std::optional<std::string> unsupported(const Problem& p) {
  const int lanes = HWY_DYNAMIC_DISPATCH(lanes)();
  if (p.N % lanes == 0) return std::nullopt;
  return fmt::format("N = {} is not a multiple of the vector width, {}", p.N, lanes);
}

const Registered<Wkv5> variant{
    {.name = "cpu_serial",
     .unsupported = unsupported,
     .extra_bytes = [](const Problem& p, int threads) { return HWY_DYNAMIC_DISPATCH(extra_bytes)(p, threads); },
     .run =
         [](const Problem& problem, const Wkv5Tensors& tensors, Executor& executor) {
           HWY_DYNAMIC_DISPATCH(run)
           (problem, tensors, executor);
         }}};

}  // namespace
}  // namespace wkv::kernels
#endif
