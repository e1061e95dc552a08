// Runs WKV5 chunk by chunk: which thread takes which chunks and columns of a state through what chunk-inl.hpp computes.
// One instance per Highway target: include after hwy/foreach_target.h, use inside HWY_NAMESPACE.
//
// With at least as many heads as threads a thread takes whole heads, a few neighbours at a time, and takes them in
// turns through some hundred tokens: their rows lie side by side in pages of memory whose addresses are translated once
// for all of them. With fewer, several threads share a head, each with some of the state's columns, which do not depend
// on each other: what a chunk needs beside them (r', k', A; about a sixth of all work) every one of them computes for
// itself, as fetching it from another core takes longer. With more threads than panels of columns, time is cut into
// segments too: first every segment but the last is run for its final state only, all but the first from zero, then
// these are chained, S' = w^length S + local, and all segments run from the states they start at.
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
  static constexpr int64_t kTurn = 32;        // chunks that a head advances before its neighbours do
  static constexpr int64_t kHeadsOfTask = 4;  // at most, where a thread takes whole heads

  int64_t N, heads, threads, chunks;
  int64_t parts = 1;     // of a state's column panels
  int64_t segments = 1;  // of a head, in time
  int64_t segment_chunks;

  Plan(const Problem& p, int64_t chunk_tokens, int64_t thread_count)
      : N(p.N), heads(p.B * p.H), threads(thread_count), chunks((p.new_tokens() + chunk_tokens - 1) / chunk_tokens) {
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
  int64_t heads_of_task() const { return std::min(heads / threads, kHeadsOfTask); }
  int64_t streams() const { return segments * heads * parts; }
  int64_t slots() const { return whole_heads() ? threads * heads_of_task() : streams(); }  // streams in memory at once
};

struct Stream {
  int64_t head, part, segment, slot;
};

// Kernel: kTokens, kKeyRows, chunk_bytes(N), prepare, outputs, advance (see cpu_chunked.cpp).
template <class Kernel, class Element>
class ChunkSchedule {
 public:
  ChunkSchedule(const Problem& problem, const Wkv5Tensors& tensors, Executor& executor)
      : p_(problem), tensors_(tensors), executor_(executor), plan_(problem, kTokens, executor.threads()) {
    memory_ = executor.scratch(extra_bytes(problem, executor.threads())).data();
  }

  static size_t extra_bytes(const Problem& p, int threads) {
    const Plan plan(p, kTokens, threads);
    return static_cast<size_t>(plan.slots()) * slot_bytes(plan);
  }

  void run() {
    if (plan_.whole_heads()) {
      const int64_t at_once = plan_.threads * plan_.heads_of_task();
      const int64_t tasks = (plan_.heads + at_once - 1) / at_once * plan_.threads;
      executor_.parallel_for(tasks, [&](int64_t task, int thread) {
        run_heads(plan_.heads * task / tasks, plan_.heads * (task + 1) / tasks, thread * plan_.heads_of_task());
      });
      return;
    }
    for_streams(0, plan_.segments, [&](const Stream& stream) {
      start(stream);
      if (stream.segment == 0) {
        load_state(stream);
      } else {
        std::memset(state_of(stream), 0, state_bytes(plan_));
      }
    });
    if (plan_.segments > 1) {
      for_streams(0, plan_.segments - 1, [&](const Stream& stream) { run_segment(stream, false); });
      for_streams(0, 1, [&](const Stream& stream) { chain_segments(stream); });
    }
    for_streams(0, plan_.segments, [&](const Stream& stream) {
      if (plan_.segments > 1 && stream.segment == 0) load_state(stream);
      run_segment(stream, true);
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
    return head_bytes(plan.N) + state_bytes(plan) + Kernel::chunk_bytes(plan.N);
  }

  std::byte* slot(const Stream& stream) const { return memory_ + static_cast<size_t>(stream.slot) * slot_bytes(plan_); }
  Head* head_of(const Stream& stream) const { return reinterpret_cast<Head*>(slot(stream)); }
  // The part's panels one after the other, each padded(N) x kPanel.
  float* state_of(const Stream& stream) const { return reinterpret_cast<float*>(slot(stream) + head_bytes(p_.N)); }
  std::byte* chunk_of(const Stream& stream) const { return slot(stream) + head_bytes(p_.N) + state_bytes(plan_); }

  Columns columns_of(const Stream& stream) const {
    return {.first = plan_.panels() * stream.part / plan_.parts * kPanel,
            .last = plan_.panels() * (stream.part + 1) / plan_.parts * kPanel};
  }

  // In parallel over the streams of the segments [first, last).
  template <class Body>
  void for_streams(int64_t first, int64_t last, const Body& body) const {
    const int64_t per_segment = plan_.heads * plan_.parts;
    executor_.parallel_for((last - first) * per_segment, [&](int64_t task, int) {
      const int64_t slot = first * per_segment + task;
      body(Stream{.head = slot / plan_.parts % plan_.heads,
                  .part = slot % plan_.parts,
                  .segment = slot / per_segment,
                  .slot = slot});
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
    std::memset(chunk_of(stream), 0, Kernel::chunk_bytes(p_.N));
  }

  // Heads [first, last) in the slots from `slot` on.
  void run_heads(int64_t first, int64_t last, int64_t slot) const {
    const auto for_heads = [&](const auto& body) {
      for (int64_t head = first; head < last; ++head) {
        body(Stream{.head = head, .part = 0, .segment = 0, .slot = slot + head - first});
      }
    };
    for_heads([&](const Stream& stream) { start(stream), load_state(stream); });
    for (int64_t turn = 0; turn < plan_.chunks; turn += Plan::kTurn) {
      const int64_t end = std::min(turn + Plan::kTurn, plan_.chunks);
      for_heads([&](const Stream& stream) { run_chunks(stream, turn, end, true); });
    }
    for_heads([&](const Stream& stream) { store_state(stream); });
  }

  void run_segment(const Stream& stream, bool with_outputs) const {
    const int64_t first = stream.segment * plan_.segment_chunks;
    run_chunks(stream, first, std::min(first + plan_.segment_chunks, plan_.chunks), with_outputs);
  }

  void run_chunks(const Stream& stream, int64_t first, int64_t last, bool with_outputs) const {
    const Columns columns = columns_of(stream);
    const int64_t asks = columns.count() / kPanel * (padded(p_.N) / Kernel::kKeyRows);
    Ahead ahead(p_, tensors_, stream.head, columns, kTokens, asks);
    for (int64_t chunk = first; chunk < last; ++chunk) run_chunk(stream, columns, chunk, with_outputs, ahead);
  }

  void run_chunk(const Stream& stream, Columns columns, int64_t chunk, bool with_outputs, Ahead& ahead) const {
    const auto at = [&](const std::byte* tensor) {
      return reinterpret_cast<const Element*>(tensor) + offset(stream.head, chunk);
    };
    Element* y = reinterpret_cast<Element*>(tensors_.y) + offset(stream.head, chunk);
    const int tokens = tokens_of(chunk);
    std::byte* memory = chunk_of(stream);
    Kernel::template prepare<Element>(p_.N, head_of(stream), at(tensors_.r), at(tensors_.k), at(tensors_.v), stride(),
                                      tokens, columns, memory);
    ahead.start((chunk + 1) * kTokens);
    float* panel = state_of(stream);
    for (int64_t column = columns.first; column < columns.last; column += kPanel, panel += padded(p_.N) * kPanel) {
      if (with_outputs) Kernel::outputs(p_.N, memory, tokens, column, panel, y, stride());
      Kernel::advance(p_.N, head_of(stream), memory, tokens, column, panel, ahead);
    }
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
  std::byte* memory_;
};

}  // namespace wkv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
