// wkv5 cpu_serial: one pass over t, six tokens at a time (four where there are 16 vector registers), so that a state
// row is loaded and stored once for the six:
//   y = r' S + A v,  S' = w^6 S + k'^T v  (r', k' and A of six tokens: chunk-inl.hpp)
// Parallel over (b, h), and with fewer heads than threads over segments of time, whose y takes a second look
// (segments-inl.hpp), or over value columns; a thread keeps its columns of one head's N x N state in the output tensor
// (16 KiB at N = 64, L1). Moves r, k, v in and y out once, the state in and out once; a tile of y stays in registers
// over a pass, in which rows of S that w^6 takes more than half of come last, as they are rounded differently
// (decay.hpp). Limit: FMA rate, 13 N^2 / 6 multiply-adds a token and head; at T = 1, whose token is taken alone, the
// bandwidth of what holds the state. Supports every N that is a multiple of the vector width.
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
#include "kernels/wkv5/segments-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace wkv::kernels::HWY_NAMESPACE {
namespace {

constexpr int kGroup = kManyRegisters ? 6 : 4;      // tokens of a pass, as long as there are that many
constexpr int kGroupVecs = kManyRegisters ? 2 : 1;  // columns of a pass: y and v of a group stay in registers
constexpr int kTokenVecs = 8;                       // of a single token's: with AVX2 a row of 64 columns in one go
constexpr int kRowsOfAsk = 8;  // of a state, for each time that rows of later tokens are asked for (ahead.hpp)

using HeadBlocks = HeadBlock<kGroup, kGroup>;
using Block = ChunkBlock<kGroup>;

// A state's row, key channel i.
struct Row {
  int64_t state;   // N i
  int64_t factor;  // where r' and k' of channel i are, from channel 0's
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
struct GroupTile {
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
template <int kVecs, class Element, class Output>
HWY_NOINLINE void pass_group(int64_t N, int64_t stride, const Head& head, const Group& group, const Element* v,
                             const float* from, float* to, const Outputs<Output>& y, Ahead& ahead) {
  GroupTile<kVecs> tile;
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
      store_output(tile.y[t][j], y.bypass, y.first + t * y.stride + j * kLanes);
    }
  }
}

// The same of a single token. score: sum_i r u k.
template <int kVecs, class Element, class Output>
HWY_INLINE void pass_token(int64_t N, const Element* r, const Element* k, const float* w, float score, const Element* v,
                           const float* from, float* to, Output* y) {
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

// One thread's work: tokens [begin, end) of columns of neighbouring heads.
struct Task {
  Heads heads;
  Columns columns;
  int64_t begin, end;
  const float* from;  // the first head's state before them
  float* to;          // and after, which may be the same
  float* local;       // where y goes in fp32, one row of N after the other, instead of where it belongs; or null
};

// A thread's memory.
struct Workspace {
  Head* heads;  // of the task
  Group group;
};

// Tokens [begin, end) of a head, whose state is where it goes to from the task's second token on.
template <class Element, class Output>
void run_tokens(const Problem& p, const Wkv5Tensors& tensors, const Task& task, const Workspace& workspace,
                int64_t head, int64_t begin, int64_t end, Outputs<Output> y, Ahead& ahead) {
  const int64_t N = p.N, stride = p.H * N;
  const int64_t offset = row_offset(p, head, begin);
  const float *w = tensors.w + head % p.H * N, *u = tensors.u + head % p.H * N;
  const auto *r = reinterpret_cast<const Element*>(tensors.r) + offset,
             *k = reinterpret_cast<const Element*>(tensors.k) + offset,
             *v = reinterpret_cast<const Element*>(tensors.v) + offset;
  const int64_t of_task = head - task.heads.first;
  float* to = task.to + of_task * N * N;
  const float* from = begin == task.begin ? task.from + of_task * N * N : to;
  const auto next = [&](int64_t tokens) {
    begin += tokens, r += tokens * stride, k += tokens * stride, v += tokens * stride, from = to;
    y.first += tokens * y.stride;
  };
  const Head& prepared = workspace.heads[of_task];
  for (; begin + kGroup <= end; next(kGroup)) {
    const auto in = [&](const Element* tensor) {
      return [=](int t, int64_t i) HWY_ATTR { return load_vec(tensor + t * stride + i); };
    };
    Vec scores[Group::kScores];
    factor_sub(N, prepared.blocks, in(r), in(k), 0, kGroup, workspace.group.blocks, scores);
    HWY_UNROLL(8)
    for (int n = kGroup * (kGroup + 1) / 2; n < Group::kScores; ++n) scores[n] = zero();
    HWY_UNROLL(8)
    for (int n = 0; n < Group::kScores; n += 4) {
      store_sums(scores[n], scores[n + 1], scores[n + 2], scores[n + 3], workspace.group.scores + n);
    }
    for_columns<kGroupVecs>(task.columns, [&](auto vecs, int64_t column) HWY_ATTR {
      pass_group<vecs()>(N, stride, prepared, workspace.group, v + column, from + column, to + column, y.from(column),
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
      pass_token<vecs()>(N, r, k, w, sums[0], v + column, from + column, to + column, y.first + column);
    });
  }
}

void prepare(int64_t N, const float* w, const float* u, Head& head) {
  prepare_head<kGroup>(N, w, u, kGroup, true, head.blocks);
  const auto row = [&](int64_t i) {
    const HeadBlocks& block = head.blocks[i / kChannels];
    return Row{.state = N * i,
               .factor = i / kChannels * kBlockFloats<kGroup> + i % kChannels,
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

// How the work is divided: with at least as many heads as threads a thread takes neighbouring whole ones, in turns
// (ahead.hpp). With fewer, time is cut into segments (segments-inl.hpp), and if T is too short for them it takes some
// of a state's columns, which do not depend on each other.
struct Plan {
  static constexpr int64_t kTurn = kGroup == 6 ? 18 : 16;  // tokens: the states change places in L1 after each
  static_assert(kTurn % kGroup == 0);

  int64_t N, threads;
  TurnPlan turns;
  Division division;

  Plan(const Problem& p, int64_t thread_count)
      : N(p.N), threads(thread_count), turns(p, thread_count), division(p, thread_count, kTurn, N / kLanes) {}

  // A thread's memory: what it needs of a group and of heads, or to add what segments miss.
  size_t thread_bytes() const {
    const auto most = static_cast<size_t>(turns.most_heads()), blocks = static_cast<size_t>(blocks_of(N));
    const size_t bytes = most * (blocks * sizeof(HeadBlocks) + static_cast<size_t>(N) * sizeof(Row) + sizeof(Head)) +
                         blocks * sizeof(Block) + Group::kScores * sizeof(float);
    return whole_pages(std::max(bytes, Missing::bytes(N)));
  }
  // A segment's state, after which a vector may be read.
  size_t state_bytes() const { return whole_pages(static_cast<size_t>(N * N + kPanel) * sizeof(float)); }
  size_t states_end() const {
    const int64_t states = division.segments == 1 ? 0 : division.heads * division.segments;
    return thread_bytes() * static_cast<size_t>(threads) + static_cast<size_t>(states) * state_bytes();
  }
  size_t bytes() const { return states_end() + division.all_local_bytes(); }
};

template <class Element>
class Serial {
 public:
  Serial(const Problem& problem, const Wkv5Tensors& tensors, Executor& executor)
      : p_(problem),
        tensors_(tensors),
        executor_(executor),
        plan_(problem, executor.threads()),
        memory_(executor.scratch(plan_.bytes()).data()) {}

  void run() const {
    const Division& division = plan_.division;
    if (division.segments == 1) {
      executor_.parallel_for(plan_.turns.tasks() * division.parts, [&](int64_t index, int thread) {
        run_task(whole(plan_.turns.heads(index / division.parts), index % division.parts), workspace(thread));
      });
    } else {
      SegmentRun<Element, Serial>(p_, tensors_, executor_, division, memory_ + plan_.states_end(), *this).run();
    }
  }

  // What SegmentRun asks for.
  void run(const Segment& segment, int thread) const {
    Task task{.heads = {.first = segment.head, .last = segment.head + 1},
              .columns = columns(segment.part),
              .begin = segment.begin,
              .end = segment.end,
              .from = (segment.begin == 0 ? tensors_.state : tensors_.state_out) + segment.head * p_.N * p_.N,
              .to = state_of(segment.slot),
              .local = segment.local};
    if (segment.index > 0) {
      for (int64_t i = 0; i < p_.N; ++i) {
        std::fill_n(task.to + i * p_.N + task.columns.first, task.columns.count(), 0.0f);
      }
      task.from = task.to;
    }
    run_task(task, workspace(thread));
  }
  Columns columns(int64_t part) const {
    const int64_t vectors = p_.N / kLanes, parts = plan_.division.parts;
    return {.first = vectors * part / parts * kLanes, .last = vectors * (part + 1) / parts * kLanes};
  }
  StatePanels panels(int64_t slot) const {
    const int64_t first = columns(slot % plan_.division.parts).first;
    return {.first = state_of(slot) + first, .row_step = p_.N, .panel_step = kPanel};
  }
  void store_state(const Segment& segment) const {
    const auto [first, last] = columns(segment.part);
    for (int64_t i = 0; i < p_.N; ++i) {
      const float* row = state_of(segment.slot) + i * p_.N;
      std::copy(row + first, row + last, tensors_.state_out + (segment.head * p_.N + i) * p_.N + first);
    }
  }
  std::byte* scratch(int thread) const { return memory_ + plan_.thread_bytes() * static_cast<size_t>(thread); }

 private:
  const float* w_of(int64_t head) const { return tensors_.w + head % p_.H * p_.N; }

  // Of a segment, whose parts share it.
  float* state_of(int64_t slot) const {
    return reinterpret_cast<float*>(scratch(static_cast<int>(plan_.threads)) +
                                    static_cast<size_t>(slot / plan_.division.parts) * plan_.state_bytes());
  }

  Task whole(Heads heads, int64_t part) const {
    const int64_t at = heads.first * p_.N * p_.N;
    return {.heads = heads,
            .columns = columns(part),
            .begin = 0,
            .end = p_.new_tokens(),
            .from = tensors_.state + at,
            .to = tensors_.state_out + at,
            .local = nullptr};
  }

  Workspace workspace(int thread) const {
    const int64_t heads = plan_.turns.most_heads(), blocks = blocks_of(p_.N);
    auto* group = reinterpret_cast<Block*>(scratch(thread));
    auto* head_blocks = reinterpret_cast<HeadBlocks*>(group + blocks);
    auto* prepared = reinterpret_cast<Head*>(head_blocks + heads * blocks);
    auto* rows = reinterpret_cast<Row*>(prepared + heads);
    for (int64_t head = 0; head < heads; ++head) {
      prepared[head] = {.blocks = head_blocks + head * blocks, .rows = rows + head * p_.N, .kept = 0};
    }
    return {.heads = prepared, .group = {.blocks = group, .scores = reinterpret_cast<float*>(rows + heads * p_.N)}};
  }

  void run_task(const Task& task, const Workspace& workspace) const {
    for (int64_t head = task.heads.first; task.end - task.begin >= kGroup && head < task.heads.last; ++head) {
      prepare(p_.N, w_of(head), tensors_.u + head % p_.H * p_.N, workspace.heads[head - task.heads.first]);
    }
    if constexpr (std::is_same_v<Element, BFloat16>) {
      if (task.local != nullptr) {
        return run_turns<float>(task, workspace, [&](int64_t, int64_t t) {
          return Outputs<float>{task.local + (t - task.begin) * p_.N, p_.N, false};
        });
      }
    }
    const bool bypass = plan_.division.segments == 1 && bypasses_caches(p_, tensors_.y);
    run_turns<Element>(task, workspace, [&](int64_t head, int64_t t) {
      return Outputs<Element>{reinterpret_cast<Element*>(tensors_.y) + row_offset(p_, head, t), p_.H * p_.N, bypass};
    });
  }

  // outputs(head, t): where y of a head goes from token t on.
  template <class Output, class Where>
  void run_turns(const Task& task, const Workspace& workspace, const Where& outputs) const {
    const int64_t passes = (task.columns.count() + kGroupVecs * kLanes - 1) / (kGroupVecs * kLanes);
    const int64_t asks_of_pass = (p_.N + kRowsOfAsk - 1) / kRowsOfAsk;
    const bool asks_outputs = task.local == nullptr && !outputs(task.heads.first, task.begin).bypass;
    Ahead ahead(p_, tensors_, task.heads, task.columns, asks_outputs, Plan::kTurn,
                task.heads.count() * Plan::kTurn / kGroup * passes * asks_of_pass);
    for (int64_t t = task.begin; t < task.end; t += Plan::kTurn) {
      if (t + Plan::kTurn < task.end) ahead.start(t + Plan::kTurn);
      for (int64_t head = task.heads.first; head < task.heads.last; ++head) {
        run_tokens<Element>(p_, tensors_, task, workspace, head, t, std::min(t + Plan::kTurn, task.end),
                            outputs(head, t), ahead);
      }
    }
    hwy::FlushStream();
  }

  const Problem& p_;
  const Wkv5Tensors& tensors_;
  Executor& executor_;
  Plan plan_;
  std::byte* memory_;
};

void run(const Problem& problem, const Wkv5Tensors& tensors, Executor& executor) {
  if (problem.dtype == DType::f32) {
    Serial<float>(problem, tensors, executor).run();
  } else {
    Serial<BFloat16>(problem, tensors, executor).run();
  }
}

size_t extra_bytes(const Problem& p, int threads) { return Plan(p, threads).bytes(); }

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
