// Runs WKV5 chunk by chunk: which thread takes which chunks and columns of a state through what chunk-inl.hpp computes.
// One instance per Highway target: include after hwy/foreach_target.h, use inside HWY_NAMESPACE.
//
// With at least as many heads as threads a thread takes neighbouring whole ones, in turns (ahead.hpp). With fewer,
// several threads share a head, each with some of the state's columns, which do not depend on each other: what a chunk
// needs beside them (r', k', A; about a sixth of all work) every one of them computes for itself, as fetching it from
// another core takes longer. With more threads than panels of columns, time is cut into segments too: first every
// segment but the last is run for its final state only, all but the first from zero, then these are chained, S' =
// w^length S + local, and all segments run from the states they start at.
#if defined(WKV_KERNELS_WKV5_CHUNK_SCHEDULE_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef WKV_KERNELS_WKV5_CHUNK_SCHEDULE_INL_HPP
#undef WKV_KERNELS_WKV5_CHUNK_SCHEDULE_INL_HPP
#else
#define WKV_KERNELS_WKV5_CHUNK_SCHEDULE_INL_HPP
#endif

#include <algorithm>
#include <cmath>
#include <cstring>

#include "harness/executor.hpp"
#include "harness/problem.hpp"
#include "kernels/wkv5/ahead.hpp"
#include "kernels/wkv5/chunk-inl.hpp"
#include "kernels/wkv5/wkv5.hpp"

HWY_BEFORE_NAMESPACE();
namespace wkv::kernels::HWY_NAMESPACE {

// How the work is divided: into streams, each a segment in time and a part of the columns of one head's state.
struct Plan {
  static constexpr int64_t kMinSegment = 16;  // chunks

  int64_t N, heads, threads, chunks;
  TurnPlan turns;
  int64_t parts = 1;     // of a state's column panels
  int64_t segments = 1;  // of a head, in time
  int64_t segment_chunks;

  Plan(const Problem& p, int64_t chunk_tokens, int64_t thread_count)
      : N(p.N),
        heads(p.B * p.H),
        threads(thread_count),
        chunks((p.new_tokens() + chunk_tokens - 1) / chunk_tokens),
        turns(p, thread_count) {
    if (heads < threads) {
      parts = std::min((threads + heads - 1) / heads, panels());
      segments = std::clamp<int64_t>(threads / (heads * parts), 1, std::max<int64_t>(chunks / kMinSegment, 1));
    }
    segment_chunks = (chunks + segments - 1) / segments;
    segments = (chunks + segment_chunks - 1) / segment_chunks;
  }

  int64_t panels() const { return padded(N) / kPanel; }
  int64_t widest_part() const { return (panels() + parts - 1) / parts * kPanel; }
  bool whole_heads() const { return heads >= threads; }
  int64_t streams() const { return segments * heads * parts; }
  // Streams in memory at once.
  int64_t slots() const { return whole_heads() ? threads * turns.most_heads() : streams(); }
};

// Where a chunk's y goes.
template <class Element>
struct Outputs {
  Element* first;  // token's
  int64_t stride;  // from token to token
  bool bypass;     // the caches (ahead.hpp)
};

struct Stream {
  int64_t head, part, segment, slot;
};

// Kernel: kTokens, chunk_bytes(N), rounded_bytes(N), asks_of_panel(N), prepare, round, outputs, advance (see
// cpu_bf16_dot.cpp).
template <class Kernel, class Element>
class ChunkSchedule {
 public:
  ChunkSchedule(const Problem& problem, const Wkv5Tensors& tensors, Executor& executor)
      : p_(problem),
        tensors_(tensors),
        executor_(executor),
        plan_(problem, kTokens, executor.threads()),
        bypass_(bypasses_caches(problem, tensors.y)) {
    memory_ = executor.scratch(extra_bytes(problem, executor.threads())).data();
  }

  static size_t extra_bytes(const Problem& p, int threads) {
    const Plan plan(p, kTokens, threads);
    return static_cast<size_t>(plan.threads) * Kernel::chunk_bytes(p.N) +
           static_cast<size_t>(plan.slots()) * slot_bytes(plan);
  }

  void run() {
    if (plan_.whole_heads()) {
      executor_.parallel_for(plan_.turns.tasks(), [&](int64_t task, int thread) {
        run_heads(plan_.turns.heads(task), thread * plan_.turns.most_heads(), chunk_memory(thread));
      });
      return;
    }
    for_streams(0, plan_.segments, [&](const Stream& stream, int) {
      start(stream);
      if (stream.segment == 0) {
        load_state(stream);
      } else {
        std::memset(state_of(stream), 0, state_bytes(plan_));
      }
    });
    if (plan_.segments > 1) {
      for_streams(0, plan_.segments - 1,
                  [&](const Stream& stream, int thread) { run_segment(stream, false, chunk_memory(thread)); });
      for_streams(0, 1, [&](const Stream& stream, int) { chain_segments(stream); });
    }
    for_streams(0, plan_.segments, [&](const Stream& stream, int thread) {
      if (plan_.segments > 1 && stream.segment == 0) load_state(stream);
      run_segment(stream, true, chunk_memory(thread));
      if (stream.segment == plan_.segments - 1) store_state(stream);
    });
  }

 private:
  static constexpr int kTokens = Kernel::kTokens;
  using Head = HeadBlock<kTokens>;

  static size_t head_bytes(int64_t N) { return static_cast<size_t>(blocks_of(N)) * sizeof(Head); }
  static size_t state_bytes(const Plan& plan) {
    return static_cast<size_t>(padded(plan.N) * plan.widest_part()) * sizeof(float);
  }
  static size_t slot_bytes(const Plan& plan) {
    const size_t bytes = head_bytes(plan.N) + state_bytes(plan) +
                         static_cast<size_t>(plan.widest_part() / kPanel) * Kernel::rounded_bytes(plan.N);
    return (bytes + alignof(Head) - 1) / alignof(Head) * alignof(Head);
  }

  // Memory of a thread for the chunk that it is at; zero in the beginning.
  std::byte* chunk_memory(int thread) const {
    std::byte* memory = memory_ + static_cast<size_t>(thread) * Kernel::chunk_bytes(p_.N);
    std::memset(memory, 0, Kernel::chunk_bytes(p_.N));
    return memory;
  }
  std::byte* slot(const Stream& stream) const {
    return memory_ + static_cast<size_t>(plan_.threads) * Kernel::chunk_bytes(p_.N) +
           static_cast<size_t>(stream.slot) * slot_bytes(plan_);
  }
  Head* head_of(const Stream& stream) const { return reinterpret_cast<Head*>(slot(stream)); }
  // The part's panels one after the other, each padded(N) x kPanel.
  float* state_of(const Stream& stream) const { return reinterpret_cast<float*>(slot(stream) + head_bytes(p_.N)); }
  // What a kernel keeps of each of these panels in another form.
  std::byte* rounded_of(const Stream& stream) const { return slot(stream) + head_bytes(p_.N) + state_bytes(plan_); }

  Columns columns_of(const Stream& stream) const {
    return {.first = plan_.panels() * stream.part / plan_.parts * kPanel,
            .last = plan_.panels() * (stream.part + 1) / plan_.parts * kPanel};
  }

  // In parallel over the streams of the segments [first, last).
  template <class Body>
  void for_streams(int64_t first, int64_t last, const Body& body) const {
    const int64_t per_segment = plan_.heads * plan_.parts;
    executor_.parallel_for((last - first) * per_segment, [&](int64_t task, int thread) {
      const int64_t slot = first * per_segment + task;
      body(Stream{.head = slot / plan_.parts % plan_.heads,
                  .part = slot % plan_.parts,
                  .segment = slot / per_segment,
                  .slot = slot},
           thread);
    });
  }

  int64_t stride() const { return p_.H * p_.N; }
  int64_t offset(int64_t head, int64_t chunk) const {
    return ((head / p_.H * p_.new_tokens() + chunk * kTokens) * p_.H + head % p_.H) * p_.N;
  }
  int tokens_of(int64_t chunk) const {
    return static_cast<int>(std::min<int64_t>(p_.new_tokens() - chunk * kTokens, kTokens));
  }

  // What a stream's head contributes to every chunk.
  void start(const Stream& stream) const {
    const int64_t h = stream.head % p_.H;
    prepare_head<kTokens>(p_.N, tensors_.w + h * p_.N, tensors_.u + h * p_.N, tokens_of(plan_.chunks - 1),
                          p_.new_tokens() >= kTokens, head_of(stream));
  }

  // Whole heads, in the slots from `slot` on.
  void run_heads(Heads heads, int64_t slot, std::byte* memory) const {
    const auto for_heads = [&](const auto& body) {
      for (int64_t head = heads.first; head < heads.last; ++head) {
        body(Stream{.head = head, .part = 0, .segment = 0, .slot = slot + head - heads.first});
      }
    };
    const Columns columns{.first = 0, .last = padded(p_.N)};
    Ahead ahead(p_, tensors_, heads, columns, kTokens, heads.count() * asks_of_chunk(columns));
    for_heads([&](const Stream& stream) { start(stream), load_state(stream), round(stream); });
    for (int64_t chunk = 0; chunk < plan_.chunks; ++chunk) {  // a turn is a chunk
      ahead.start((chunk + 1) * kTokens);
      for_heads([&](const Stream& stream) { run_chunk(stream, chunk, true, memory, ahead); });
    }
    for_heads([&](const Stream& stream) { store_state(stream); });
    hwy::FlushStream();
  }

  void run_segment(const Stream& stream, bool with_outputs, std::byte* memory) const {
    const int64_t first = stream.segment * plan_.segment_chunks;
    const int64_t last = std::min(first + plan_.segment_chunks, plan_.chunks);
    const Columns columns = columns_of(stream);
    Ahead ahead(p_, tensors_, {stream.head, stream.head + 1}, columns, kTokens, asks_of_chunk(columns));
    round(stream);
    for (int64_t chunk = first; chunk < last; ++chunk) {
      ahead.start((chunk + 1) * kTokens);
      run_chunk(stream, chunk, with_outputs, memory, ahead);
    }
    hwy::FlushStream();
  }

  int64_t asks_of_chunk(Columns columns) const {
    return kAsksOfScores<kTokens> + columns.count() / kPanel * Kernel::asks_of_panel(p_.N);
  }

  // body(column, panel, rounded) for the panels of a stream's state, each of which begins with a column.
  template <class Body>
  void for_panels(const Stream& stream, const Body& body) const {
    const auto [first, last] = columns_of(stream);
    float* panel = state_of(stream);
    std::byte* rounded = rounded_of(stream);
    for (int64_t column = first; column < last; column += kPanel) {
      body(column, panel, rounded);
      panel += padded(p_.N) * kPanel;
      rounded += Kernel::rounded_bytes(p_.N);
    }
  }

  void round(const Stream& stream) const {
    for_panels(stream, [&](int64_t, const float* panel, std::byte* rounded) { Kernel::round(p_.N, panel, rounded); });
  }

  void run_chunk(const Stream& stream, int64_t chunk, bool with_outputs, std::byte* memory, Ahead& ahead) const {
    const auto at = [&](const std::byte* tensor) {
      return reinterpret_cast<const Element*>(tensor) + offset(stream.head, chunk);
    };
    const Outputs<Element> y{.first = reinterpret_cast<Element*>(tensors_.y) + offset(stream.head, chunk),
                             .stride = stride(),
                             .bypass = bypass_};
    const int tokens = tokens_of(chunk);
    const Head* head = head_of(stream);
    Kernel::template prepare<Element>(p_.N, head, at(tensors_.r), at(tensors_.k), at(tensors_.v), stride(), tokens,
                                      columns_of(stream), memory, ahead);
    for_panels(stream, [&](int64_t column, float* panel, std::byte* rounded) {
      if (with_outputs) Kernel::outputs(p_.N, memory, tokens, column, panel, rounded, y, ahead);
      Kernel::advance(p_.N, head, memory, tokens, column, panel, rounded, ahead);
    });
  }

  // Rows of the state as it lies in memory, one after the other, and the panels that they are spread over.
  void load_state(const Stream& stream) const {
    const auto [first, last] = columns_of(stream);
    const float* row = tensors_.state + stream.head * p_.N * p_.N;
    float* state = state_of(stream);
    for (int64_t i = 0; i < padded(p_.N); ++i, row += p_.N, state += kPanel) {
      float* panel = state;
      for (int64_t column = first; column < last; column += kPanel, panel += padded(p_.N) * kPanel) {
        if (i < p_.N && column + kPanel <= p_.N) {
          copy_panel_row(row + column, panel);
        } else {
          const int64_t count = i < p_.N ? std::clamp<int64_t>(p_.N - column, 0, kPanel) : 0;
          std::fill(std::copy_n(row + (count > 0 ? column : 0), count, panel), panel + kPanel, 0.0f);
        }
      }
    }
  }

  void store_state(const Stream& stream) const {
    const auto [first, last] = columns_of(stream);
    const float* state = state_of(stream);
    float* row = tensors_.state_out + stream.head * p_.N * p_.N;
    for (int64_t i = 0; i < p_.N; ++i, row += p_.N, state += kPanel) {
      const float* panel = state;
      for (int64_t column = first; column < std::min(last, p_.N); column += kPanel, panel += padded(p_.N) * kPanel) {
        if (column + kPanel <= p_.N) {
          copy_panel_row(panel, row + column);
        } else {
          std::copy_n(panel, p_.N - column, row + column);
        }
      }
    }
  }

  static void copy_panel_row(const float* from, float* to) {
    store_vec(load_vec(from), to);
    store_vec(load_vec(from + kLanes), to + kLanes);
  }

  // From the final states of a head's first segment and, run from zero, of the next: the states that segments start
  // from.
  void chain_segments(const Stream& first) const {
    const int64_t rows = padded(p_.N), panels = columns_of(first).count() / kPanel;
    const auto state_at = [&](int64_t segment) {
      Stream stream = first;
      stream.slot += segment * plan_.heads * plan_.parts;
      return state_of(stream);
    };
    for (int64_t i = 0; i < p_.N; ++i) {
      const double w = tensors_.w[first.head % p_.H * p_.N + i];
      const auto decay = static_cast<float>(std::pow(w, plan_.segment_chunks * kTokens));
      for (int64_t panel = 0; panel < panels; ++panel) {
        for (int64_t at = (panel * rows + i) * kPanel, end = at + kPanel; at < end; ++at) {
          float start = state_at(0)[at];
          for (int64_t segment = 1; segment < plan_.segments; ++segment) {
            float& state = state_at(segment)[at];
            const float local = state;
            state = start;
            start = decay * start + local;
          }
        }
      }
    }
  }

  const Problem& p_;
  const Wkv5Tensors& tensors_;
  Executor& executor_;
  Plan plan_;
  bool bypass_;
  std::byte* memory_;
};

}  // namespace wkv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
