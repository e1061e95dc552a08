// wkv5 cpu_serial: one pass over t, four tokens at a time, so that a state row is loaded and stored once for the four:
//   y += r' S,  S' = w^4 S + k'^T v,  y starts from A v  (r', k' and A of four tokens: chunk-inl.hpp)
// Parallel over (b, h), and over value columns, which do not depend on each other, when there are fewer heads than
// threads; a thread keeps its columns of one head's N x N state in the output tensor (16 KiB at N = 64, L1).
// Moves r, k, v in and y out once, the state in and out once; a tile of y stays in registers over a pass.
// Limit: FMA rate, 10 N^2 / 4 multiply-adds or their like a token and head, one of ten so that w^4 keeps its precision
// (decay.hpp); at T = 1, whose token is taken alone, the bandwidth of what holds the state. Supports every N that is a
// multiple of the vector width.
#include <fmt/format.h>

#include <algorithm>
#include <type_traits>

#include "harness/variant.hpp"
#include "kernels/wkv5/ahead.hpp"
#include "kernels/wkv5/wkv5.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/wkv5/cpu_serial.cpp"
#include "kernels/simd_targets.hpp"
//
#include <hwy/foreach_target.h>
//
#include "kernels/wkv5/chunk-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace wkv::kernels::HWY_NAMESPACE {
namespace {

constexpr int kGroup = kSub;                        // tokens of a pass, as long as there are that many
constexpr int kGroupVecs = kManyRegisters ? 2 : 1;  // columns of a pass: y and v of four tokens stay in registers
constexpr int kTokenVecs = 8;                       // of a single token's: with AVX2 a row of 64 columns in one go
constexpr int64_t kRowsOfAsk = 8;  // of a state, for each time that rows of later tokens are asked for (ahead.hpp)

using Head = HeadBlock<kGroup>;
using Group = Chunk<kGroup>;

// Four tokens' y and v, kVecs vectors of columns. g++ 12 keeps it in registers where every loop over it is unrolled.
template <int kVecs>
struct Tile {
  Vec y[kGroup][kVecs], v[kGroup][kVecs];
};

// y and the new state of a group for kVecs vectors of columns, of which v, `from`, `to` and y point at the first.
template <int kVecs, class Element>
HWY_NOINLINE void pass_group(int64_t N, int64_t stride, const Head* heads, const Group& group, const Element* v,
                             const float* from, float* to, Element* y, Ahead& ahead) {
  Tile<kVecs> tile;
  HWY_UNROLL(4)
  for (int t = 0; t < kGroup; ++t) {
    HWY_UNROLL(4)
    for (int j = 0; j < kVecs; ++j) {
      tile.v[t][j] = load_vec(v + t * stride + j * kLanes);
      tile.y[t][j] = hn::Mul(broadcast(group.scores[t][0]), tile.v[0][j]);
      HWY_UNROLL(4)
      for (int q = 1; q <= t; ++q) tile.y[t][j] = hn::MulAdd(broadcast(group.scores[t][q]), tile.v[q][j], tile.y[t][j]);
    }
  }
  for (int64_t i = 0; i < N;) {
    ahead.ask();
    const Head& head = heads[i / kChannels];
    const ChunkBlock<kGroup>& block = group.blocks[i / kChannels];
    const int64_t end = std::min(i + kRowsOfAsk, N), base = i / kChannels * kChannels;
    for (; i < end; ++i, from += N, to += N) {
      const int64_t c = i - base;
      Vec state[kVecs];
      HWY_UNROLL(4)
      for (int j = 0; j < kVecs; ++j) state[j] = load_vec(from + j * kLanes);
      HWY_UNROLL(4)
      for (int t = 0; t < kGroup; ++t) {
        const Vec r = broadcast(block.r[t][c]);
        HWY_UNROLL(4)
        for (int j = 0; j < kVecs; ++j) tile.y[t][j] = hn::MulAdd(r, state[j], tile.y[t][j]);
      }
      const Vec keep = broadcast(head.keep[c]), gain = broadcast(head.gain[c]);
      HWY_UNROLL(4)
      for (int j = 0; j < kVecs; ++j) state[j] = hn::MulAdd(gain, state[j], hn::And(keep, state[j]));
      HWY_UNROLL(4)
      for (int t = 0; t < kGroup; ++t) {
        const Vec k = broadcast(block.k[t][c]);
        HWY_UNROLL(4)
        for (int j = 0; j < kVecs; ++j) state[j] = hn::MulAdd(k, tile.v[t][j], state[j]);
      }
      HWY_UNROLL(4)
      for (int j = 0; j < kVecs; ++j) store_vec(state[j], to + j * kLanes);
    }
  }
  HWY_UNROLL(4)
  for (int t = 0; t < kGroup; ++t) {
    HWY_UNROLL(4)
    for (int j = 0; j < kVecs; ++j) store_vec(tile.y[t][j], y + t * stride + j * kLanes);
  }
}

// The same of a single token. score: sum_i r u k.
template <int kVecs, class Element>
HWY_INLINE void pass_token(int64_t N, const Element* r, const Element* k, const float* w, float score, const Element* v,
                           const float* from, float* to, Element* y) {
  Vec value[kVecs], sum[kVecs];
  for (int j = 0; j < kVecs; ++j) {
    value[j] = load_vec(v + j * kLanes);
    sum[j] = hn::Mul(broadcast(score), value[j]);
  }
  for (int64_t i = 0; i < N; ++i, from += N, to += N) {
    const Vec receptance = broadcast(load(r + i)), key = broadcast(load(k + i)), decay = broadcast(w[i]);
    for (int j = 0; j < kVecs; ++j) {
      const Vec state = load_vec(from + j * kLanes);
      sum[j] = hn::MulAdd(receptance, state, sum[j]);
      store_vec(hn::MulAdd(key, value[j], hn::Mul(decay, state)), to + j * kLanes);
    }
  }
  for (int j = 0; j < kVecs; ++j) store_vec(sum[j], y + j * kLanes);
}

// body<kVecs>(column) for columns [first, last), as many vectors at a time as there are.
template <int kVecs, class Body>
HWY_INLINE void for_columns(Columns columns, const Body& body) {
  auto& [first, last] = columns;
  for (; first + kVecs * kLanes <= last; first += kVecs * kLanes) body(std::integral_constant<int, kVecs>(), first);
  if constexpr (kVecs > 1) for_columns<kVecs / 2>(columns, body);
}

// One thread's work: columns of neighbouring heads, of which it keeps what a group needs of w and u.
struct Task {
  Heads heads;
  Columns columns;
  Head* prepared;  // blocks_of(N) a head
  Group group;
};

// Tokens [begin, end) of a head, whose state is in the output from the second one on.
template <class Element>
void run_tokens(const Problem& p, const Wkv5Tensors& tensors, const Task& task, int64_t head, int64_t begin,
                int64_t end, Ahead& ahead) {
  const int64_t N = p.N, stride = p.H * N;
  const int64_t offset = ((head / p.H * p.new_tokens() + begin) * p.H + head % p.H) * N;
  const float *w = tensors.w + head % p.H * N, *u = tensors.u + head % p.H * N;
  const auto *r = reinterpret_cast<const Element*>(tensors.r) + offset,
             *k = reinterpret_cast<const Element*>(tensors.k) + offset,
             *v = reinterpret_cast<const Element*>(tensors.v) + offset;
  Element* y = reinterpret_cast<Element*>(tensors.y) + offset;
  float* to = tensors.state_out + head * N * N;
  const float* from = begin == 0 ? tensors.state + head * N * N : to;
  const auto next = [&](int64_t tokens) {
    begin += tokens, r += tokens * stride, k += tokens * stride, v += tokens * stride, y += tokens * stride, from = to;
  };
  const Head* prepared = task.prepared + (head - task.heads.first) * blocks_of(N);
  for (; begin + kGroup <= end; next(kGroup)) {
    const auto in = [&](const Element* tensor) {
      return [=](int t, int64_t i) HWY_ATTR { return load_vec(tensor + t * stride + i); };
    };
    prepare_sub(N, prepared, in(r), in(k), 0, kGroup, task.group);
    for_columns<kGroupVecs>(task.columns, [&](auto vecs, int64_t column) HWY_ATTR {
      pass_group<vecs()>(N, stride, prepared, task.group, v + column, from + column, to + column, y + column, ahead);
    });
  }
  for (; begin < end; next(1)) {
    Vec score = zero();
    for (int64_t i = 0; i < N; i += kLanes) {
      score = hn::MulAdd(hn::Mul(load_vec(r + i), load_vec(u + i)), load_vec(k + i), score);
    }
    float sums[4];
    store_sums(score, zero(), zero(), zero(), sums);
    for_columns<kTokenVecs>(task.columns, [&](auto vecs, int64_t column) HWY_ATTR {
      pass_token<vecs()>(N, r, k, w, sums[0], v + column, from + column, to + column, y + column);
    });
  }
}

// How the work is divided: with at least as many heads as threads a thread takes neighbouring whole ones, in turns
// (ahead.hpp). With fewer it takes some of a state's columns, which do not depend on each other.
struct Plan {
  static constexpr int64_t kTurn = 16;  // tokens: the states change places in L1 after each
  static_assert(kTurn % kGroup == 0);

  int64_t N, threads;
  TurnPlan turns;
  int64_t parts;  // of a state's columns

  Plan(const Problem& p, int64_t thread_count) : N(p.N), threads(thread_count), turns(p, thread_count) {
    const int64_t heads = p.B * p.H;
    parts = std::min((threads + heads - 1) / heads, N / kLanes);
  }
  size_t head_bytes() const { return static_cast<size_t>(blocks_of(N)) * sizeof(Head); }
  size_t thread_bytes() const { return Group::bytes(N) + static_cast<size_t>(turns.most_heads()) * head_bytes(); }
  int64_t tasks() const { return turns.tasks() * parts; }

  Task task(int64_t index, std::byte* memory) const {
    const int64_t vectors = N / kLanes, part = index % parts;
    return {.heads = turns.heads(index / parts),
            .columns = {.first = vectors * part / parts * kLanes, .last = vectors * (part + 1) / parts * kLanes},
            .prepared = reinterpret_cast<Head*>(memory + Group::bytes(N)),
            .group = Group(memory)};
  }
};

template <class Element>
void run_heads(const Problem& p, const Wkv5Tensors& tensors, Executor& executor) {
  const Plan plan(p, executor.threads());
  std::byte* memory = executor.scratch(plan.thread_bytes() * static_cast<size_t>(plan.threads)).data();
  const int64_t T = p.new_tokens();
  executor.parallel_for(plan.tasks(), [&](int64_t index, int thread) {
    const Task task = plan.task(index, memory + plan.thread_bytes() * static_cast<size_t>(thread));
    for (int64_t head = task.heads.first; T >= kGroup && head < task.heads.last; ++head) {
      const int64_t at = head % p.H * p.N;
      prepare_head<kGroup>(p.N, tensors.w + at, tensors.u + at, kGroup, true,
                           task.prepared + (head - task.heads.first) * blocks_of(p.N));
    }
    const int64_t passes = (task.columns.count() + kGroupVecs * kLanes - 1) / (kGroupVecs * kLanes);
    const int64_t asks_of_pass = (p.N + kRowsOfAsk - 1) / kRowsOfAsk;
    Ahead ahead(p, tensors, task.heads, task.columns, Plan::kTurn,
                task.heads.count() * Plan::kTurn / kGroup * passes * asks_of_pass);
    for (int64_t t = 0; t < T; t += Plan::kTurn) {
      ahead.start(t + Plan::kTurn);
      for (int64_t head = task.heads.first; head < task.heads.last; ++head) {
        run_tokens<Element>(p, tensors, task, head, t, std::min(t + Plan::kTurn, T), ahead);
      }
    }
  });
}

void run(const Problem& problem, const Wkv5Tensors& tensors, Executor& executor) {
  if (problem.dtype == DType::f32) {
    run_heads<float>(problem, tensors, executor);
  } else {
    run_heads<BFloat16>(problem, tensors, executor);
  }
}

size_t extra_bytes(const Problem& p, int threads) {
  return Plan(p, threads).thread_bytes() * static_cast<size_t>(threads);
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
