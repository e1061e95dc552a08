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
#include <bit>
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

constexpr int kGroup = kManyRegisters ? 6 : 4;      // tokens of a pass, as long as there are that many
constexpr int kGroupVecs = kManyRegisters ? 2 : 1;  // columns of a pass: y and v of a group stay in registers
constexpr int kTokenVecs = 8;                       // of a single token's: with AVX2 a row of 64 columns in one go
constexpr int kRowsOfAsk =
    std::min(kLanes, 8);  // of a state, for each time that rows of later tokens are asked for (ahead.hpp)

using HeadBlocks = HeadBlock<kGroup, kGroup>;
using Block = ChunkBlock<kGroup>;

// A state's row, key channel i.
struct Row {
  int32_t state;   // N i
  int32_t factor;  // where r' and k' of channel i are, from channel 0's
  float gain;      // the decay over a group (decay.hpp)
  bool kept;
};

// What w and u of a head contribute to every group.
struct Head {
  HeadBlocks* blocks;
  Row* rows;     // first those that are kept: S + gain S, then the others: gain S
  int64_t kept;  // of them
};

// r', k' and A of a group; A[p][q] = scores[p (p + 1) / 2 + q].
struct Group {
  static constexpr int kScores = (kGroup * (kGroup + 1) / 2 + 3) / 4 * 4;

  Block* blocks;
  float* scores;
};

// A group's y and v, kVecs vectors of columns. g++ 12 keeps it in registers where every loop over it is unrolled.
template <int kVecs>
struct Tile {
  Vec y[kGroup][kVecs], v[kGroup][kVecs];

  // Through one row of the state.
  template <bool kKept>
  HWY_INLINE void pass(const Block& block, const Row& row, const float* from, float* to) {
    const float *r = block.r[0] + row.factor, *k = block.k[0] + row.factor;
    from += row.state, to += row.state;
    Vec state[kVecs];
    HWY_UNROLL(4)
    for (int j = 0; j < kVecs; ++j) state[j] = load_vec(from + j * kLanes);
    HWY_UNROLL(8)
    for (int t = 0; t < kGroup; ++t) {
      const Vec receptance = broadcast(r[t * kChannels]);
      HWY_UNROLL(4)
      for (int j = 0; j < kVecs; ++j) y[t][j] = hn::MulAdd(receptance, state[j], y[t][j]);
    }
    const Vec gain = broadcast(row.gain);
    HWY_UNROLL(4)
    for (int j = 0; j < kVecs; ++j) {
      state[j] = kKept ? hn::MulAdd(gain, state[j], state[j]) : hn::Mul(gain, state[j]);
    }
    HWY_UNROLL(8)
    for (int t = 0; t < kGroup; ++t) {
      const Vec key = broadcast(k[t * kChannels]);
      HWY_UNROLL(4)
      for (int j = 0; j < kVecs; ++j) state[j] = hn::MulAdd(key, v[t][j], state[j]);
    }
    HWY_UNROLL(4)
    for (int j = 0; j < kVecs; ++j) store_vec(state[j], to + j * kLanes);
  }
};

// y and the new state of a group for kVecs vectors of columns, of which v, `from`, `to` and y point at the first.
template <int kVecs, class Element>
HWY_NOINLINE void pass_group(int64_t N, int64_t stride, const Head& head, const Group& group, const Element* v,
                             const float* from, float* to, Element* y, bool bypass, Ahead& ahead) {
  Tile<kVecs> tile;
  HWY_UNROLL(8)
  for (int t = 0; t < kGroup; ++t) {
    HWY_UNROLL(4)
    for (int j = 0; j < kVecs; ++j) {
      tile.v[t][j] = load_vec(v + t * stride + j * kLanes);
      tile.y[t][j] = zero();
    }
  }
  const Block& block = group.blocks[0];
  const Row *row = head.rows, *kept = row + head.kept, *last = row + N;
  while (row < kept) {
    ahead.ask();
    const Row* end = std::min(row + kRowsOfAsk, kept);
    for (; row < end; ++row) tile.template pass<true>(block, *row, from, to);
  }
  while (row < last) {
    ahead.ask();
    const Row* end = std::min(row + kRowsOfAsk, last);
    for (; row < end; ++row) tile.template pass<false>(block, *row, from, to);
  }
  HWY_UNROLL(8)
  for (int t = 0; t < kGroup; ++t) {
    const float* scores = group.scores + t * (t + 1) / 2;
    HWY_UNROLL(8)
    for (int q = 0; q <= t; ++q) {
      HWY_UNROLL(4)
      for (int j = 0; j < kVecs; ++j) tile.y[t][j] = hn::MulAdd(broadcast(scores[q]), tile.v[q][j], tile.y[t][j]);
    }
    HWY_UNROLL(4)
    for (int j = 0; j < kVecs; ++j) {
      Element* row = y + t * stride + j * kLanes;
      if constexpr (std::is_same_v<Element, float>) {
        if (bypass) {
          stream_vec(tile.y[t][j], row);
          continue;
        }
      }
      store_vec(tile.y[t][j], row);
    }
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
  Head* prepared;  // of each head
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
  const Head& prepared = task.prepared[head - task.heads.first];
  const bool bypass = bypasses_caches(p, tensors.y);
  for (; begin + kGroup <= end; next(kGroup)) {
    const auto in = [&](const Element* tensor) {
      return [=](int t, int64_t i) HWY_ATTR { return load_vec(tensor + t * stride + i); };
    };
    Vec scores[Group::kScores];
    factor_sub(N, prepared.blocks, in(r), in(k), 0, kGroup, task.group.blocks, scores);
    HWY_UNROLL(8)
    for (int n = kGroup * (kGroup + 1) / 2; n < Group::kScores; ++n) scores[n] = zero();
    HWY_UNROLL(8)
    for (int n = 0; n < Group::kScores; n += 4) {
      store_sums(scores[n], scores[n + 1], scores[n + 2], scores[n + 3], task.group.scores + n);
    }
    for_columns<kGroupVecs>(task.columns, [&](auto vecs, int64_t column) HWY_ATTR {
      pass_group<vecs()>(N, stride, prepared, task.group, v + column, from + column, to + column, y + column, bypass,
                         ahead);
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
  static constexpr int64_t kTurn = kGroup == 6 ? 18 : 16;  // tokens: the states change places in L1 after each
  static_assert(kTurn % kGroup == 0);

  int64_t N, threads;
  TurnPlan turns;
  int64_t parts;  // of a state's columns

  Plan(const Problem& p, int64_t thread_count) : N(p.N), threads(thread_count), turns(p, thread_count) {
    const int64_t heads = p.B * p.H;
    parts = std::min((threads + heads - 1) / heads, N / kLanes);
  }
  int64_t tasks() const { return turns.tasks() * parts; }

  size_t thread_bytes() const {
    const auto heads = static_cast<size_t>(turns.most_heads()), blocks = static_cast<size_t>(blocks_of(N));
    const size_t bytes = heads * (blocks * sizeof(HeadBlocks) + static_cast<size_t>(N) * sizeof(Row) + sizeof(Head)) +
                         blocks * sizeof(Block) + Group::kScores * sizeof(float);
    return (bytes + alignof(Block) - 1) / alignof(Block) * alignof(Block);
  }

  Task task(int64_t index, std::byte* memory) const {
    const int64_t vectors = N / kLanes, part = index % parts, heads = turns.most_heads(), blocks = blocks_of(N);
    auto* group = reinterpret_cast<Block*>(memory);
    auto* head_blocks = reinterpret_cast<HeadBlocks*>(group + blocks);
    auto* prepared = reinterpret_cast<Head*>(head_blocks + heads * blocks);
    auto* rows = reinterpret_cast<Row*>(prepared + heads);
    for (int64_t head = 0; head < heads; ++head) {
      prepared[head] = {.blocks = head_blocks + head * blocks, .rows = rows + head * N, .kept = 0};
    }
    return {.heads = turns.heads(index / parts),
            .columns = {.first = vectors * part / parts * kLanes, .last = vectors * (part + 1) / parts * kLanes},
            .prepared = prepared,
            .group = {.blocks = group, .scores = reinterpret_cast<float*>(rows + heads * N)}};
  }
};

void prepare(int64_t N, const float* w, const float* u, Head& head) {
  prepare_head<kGroup>(N, w, u, kGroup, true, head.blocks);
  const auto row = [&](int64_t i) {
    const HeadBlocks& block = head.blocks[i / kChannels];
    return Row{.state = static_cast<int32_t>(N * i),
               .factor = static_cast<int32_t>(i / kChannels * kBlockFloats<kGroup> + i % kChannels),
               .gain = block.gain[i % kChannels],
               .kept = std::bit_cast<uint32_t>(block.keep[i % kChannels]) != 0};
  };
  Row* to = head.rows;
  for (const bool kept : {true, false}) {
    for (int64_t i = 0; i < N; ++i) {
      if (row(i).kept == kept) *to++ = row(i);
    }
    if (kept) head.kept = to - head.rows;
  }
}

template <class Element>
void run_heads(const Problem& p, const Wkv5Tensors& tensors, Executor& executor) {
  const Plan plan(p, executor.threads());
  std::byte* memory = executor.scratch(plan.thread_bytes() * static_cast<size_t>(plan.threads)).data();
  const int64_t T = p.new_tokens();
  executor.parallel_for(plan.tasks(), [&](int64_t index, int thread) {
    const Task task = plan.task(index, memory + plan.thread_bytes() * static_cast<size_t>(thread));
    for (int64_t head = task.heads.first; T >= kGroup && head < task.heads.last; ++head) {
      const int64_t at = head % p.H * p.N;
      prepare(p.N, tensors.w + at, tensors.u + at, task.prepared[head - task.heads.first]);
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
    hwy::FlushStream();
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
