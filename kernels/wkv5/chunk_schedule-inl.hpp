// Runs WKV5 chunk by chunk: which thread takes which chunks and columns of a state through what chunk-inl.hpp computes.
// One instance per Highway target: include after hwy/foreach_target.h, use inside HWY_NAMESPACE.
//
// With at least as many heads as threads a thread takes neighbouring whole ones, in turns (ahead.hpp). With fewer, time
// is cut into segments (segments-inl.hpp); with fewer of these too, several threads share a segment, each with some of
// the state's columns, which do not depend on each other: what a chunk needs beside them (r', k', A; about a sixth of
// all work) every one of them computes for itself, as fetching it from another core takes longer.
#if defined(WKV_KERNELS_WKV5_CHUNK_SCHEDULE_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef WKV_KERNELS_WKV5_CHUNK_SCHEDULE_INL_HPP
#undef WKV_KERNELS_WKV5_CHUNK_SCHEDULE_INL_HPP
#else
#define WKV_KERNELS_WKV5_CHUNK_SCHEDULE_INL_HPP
#endif

#include <algorithm>
#include <cstring>

#include "harness/executor.hpp"
#include "harness/problem.hpp"
#include "kernels/wkv5/ahead.hpp"
#include "kernels/wkv5/chunk-inl.hpp"
#include "kernels/wkv5/segments-inl.hpp"
#include "kernels/wkv5/wkv5.hpp"

HWY_BEFORE_NAMESPACE();
namespace wkv::kernels::HWY_NAMESPACE {

// How the work is divided: into streams, each a segment in time and a part of the columns of one head's state.
struct Plan {
  int64_t N, threads, chunks;
  TurnPlan turns;
  Division division;

  Plan(const Problem& p, int64_t chunk_tokens, int64_t thread_count)
      : N(p.N),
        threads(thread_count),
        chunks((p.new_tokens() + chunk_tokens - 1) / chunk_tokens),
        turns(p, thread_count),
        division(p, thread_count, chunk_tokens, panels()) {}

  int64_t panels() const { return padded(N) / kPanel; }
  int64_t widest_part() const { return (panels() + division.parts - 1) / division.parts * kPanel; }
  bool whole_heads() const { return division.heads >= threads; }
  // Streams in memory at once.
  int64_t slots() const { return whole_heads() ? threads * turns.most_heads() : division.slots(); }
};

struct Stream {
  int64_t head, part, slot;
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
        bypass_(plan_.division.segments == 1 && bypasses_caches(problem, tensors.y)) {
    memory_ = executor.scratch(extra_bytes(problem, executor.threads())).data();
  }

  static size_t extra_bytes(const Problem& p, int threads) {
    const Plan plan(p, kTokens, threads);
    return slots_end(plan) + plan.division.all_local_bytes();
  }

  void run() {
    if (plan_.whole_heads()) {
      executor_.parallel_for(plan_.turns.tasks(), [&](int64_t task, int thread) {
        run_heads(plan_.turns.heads(task), thread * plan_.turns.most_heads(), chunk_memory(thread));
      });
      return;
    }
    SegmentRun<Element, ChunkSchedule>(p_, tensors_, executor_, plan_.division, memory_ + slots_end(plan_), *this)
        .run();
  }

  // What SegmentRun asks for.
  void run(const Segment& segment, int thread) const {
    const Stream stream = stream_of(segment);
    const Columns columns = columns_of(stream);
    std::byte* memory = chunk_memory(thread);
    Ahead ahead(p_, tensors_, {stream.head, stream.head + 1}, columns, !bypass_ && segment.local == nullptr, kTokens,
                asks_of_chunk(columns));
    start(stream);
    if (segment.index == 0) {
      load_state(stream, segment.begin == 0 ? tensors_.state : tensors_.state_out);
    } else {
      std::memset(state_of(stream), 0, state_bytes(plan_));
    }
    round(stream);
    for (int64_t t = segment.begin; t < segment.end; t += kTokens) {
      if (t + kTokens < segment.end) ahead.start(t + kTokens);
      if (segment.local != nullptr) {
        run_chunk(stream, t / kTokens, Outputs<float>{segment.local + (t - segment.begin) * p_.N, p_.N, false}, memory,
                  ahead);
      } else {
        run_chunk(stream, t / kTokens, outputs(stream.head, t), memory, ahead);
      }
    }
    hwy::FlushStream();
  }
  Columns columns(int64_t part) const { return columns_of({.head = 0, .part = part, .slot = 0}); }
  StatePanels panels(int64_t slot) const {
    return {.first = state_of({.head = 0, .part = 0, .slot = slot}),
            .row_step = kPanel,
            .panel_step = padded(p_.N) * kPanel};
  }
  void store_state(const Segment& segment) const { store_state(stream_of(segment)); }
  std::byte* scratch(int thread) const { return memory_ + static_cast<size_t>(thread) * thread_bytes(p_.N); }

 private:
  static constexpr int kTokens = Kernel::kTokens;
  using Head = HeadBlock<kTokens>;

  static size_t head_bytes(int64_t N) { return static_cast<size_t>(blocks_of(N)) * sizeof(Head); }
  static size_t state_bytes(const Plan& plan) {
    return static_cast<size_t>(padded(plan.N) * plan.widest_part()) * sizeof(float);
  }
  static size_t slot_bytes(const Plan& plan) {
    return whole_pages(head_bytes(plan.N) + state_bytes(plan) +
                       static_cast<size_t>(plan.widest_part() / kPanel) * Kernel::rounded_bytes(plan.N));
  }

  static size_t thread_bytes(int64_t N) { return whole_pages(std::max(Kernel::chunk_bytes(N), Missing::bytes(N))); }
  // For the chunk that a thread is at; zero in the beginning.
  std::byte* chunk_memory(int thread) const {
    std::byte* memory = scratch(thread);
    std::memset(memory, 0, Kernel::chunk_bytes(p_.N));
    return memory;
  }
  static size_t slots_end(const Plan& plan) {
    return static_cast<size_t>(plan.threads) * thread_bytes(plan.N) +
           static_cast<size_t>(plan.slots()) * slot_bytes(plan);
  }
  std::byte* slot(const Stream& stream) const {
    return memory_ + static_cast<size_t>(plan_.threads) * thread_bytes(p_.N) +
           static_cast<size_t>(stream.slot) * slot_bytes(plan_);
  }
  Head* head_of(const Stream& stream) const { return reinterpret_cast<Head*>(slot(stream)); }
  // The part's panels one after the other, each padded(N) x kPanel.
  float* state_of(const Stream& stream) const { return reinterpret_cast<float*>(slot(stream) + head_bytes(p_.N)); }
  // What a kernel keeps of each of these panels in another form.
  std::byte* rounded_of(const Stream& stream) const { return slot(stream) + head_bytes(p_.N) + state_bytes(plan_); }

  Columns columns_of(const Stream& stream) const {
    return {.first = plan_.panels() * stream.part / plan_.division.parts * kPanel,
            .last = plan_.panels() * (stream.part + 1) / plan_.division.parts * kPanel};
  }

  static Stream stream_of(const Segment& segment) {
    return {.head = segment.head, .part = segment.part, .slot = segment.slot};
  }

  int64_t stride() const { return p_.H * p_.N; }
  Outputs<Element> outputs(int64_t head, int64_t t) const {
    return {reinterpret_cast<Element*>(tensors_.y) + row_offset(p_, head, t), stride(), bypass_};
  }
  int tokens_of(int64_t chunk) const {
    return static_cast<int>(std::min<int64_t>(p_.new_tokens() - chunk * kTokens, kTokens));
  }

  const float* w_of(const Stream& stream) const { return tensors_.w + stream.head % p_.H * p_.N; }
  // What a stream's head contributes to every chunk.
  void start(const Stream& stream) const {
    prepare_head<kTokens>(p_.N, w_of(stream), tensors_.u + stream.head % p_.H * p_.N, tokens_of(plan_.chunks - 1),
                          p_.new_tokens() >= kTokens, head_of(stream));
  }

  // Whole heads, in the slots from `slot` on.
  void run_heads(Heads heads, int64_t slot, std::byte* memory) const {
    const auto for_heads = [&](const auto& body) {
      for (int64_t head = heads.first; head < heads.last; ++head) {
        body(Stream{.head = head, .part = 0, .slot = slot + head - heads.first});
      }
    };
    const Columns columns{.first = 0, .last = padded(p_.N)};
    Ahead ahead(p_, tensors_, heads, columns, !bypass_, kTokens, heads.count() * asks_of_chunk(columns));
    for_heads([&](const Stream& stream) { start(stream), load_state(stream, tensors_.state), round(stream); });
    for (int64_t chunk = 0; chunk < plan_.chunks; ++chunk) {  // a turn is a chunk
      ahead.start((chunk + 1) * kTokens);
      for_heads([&](const Stream& stream) {
        run_chunk(stream, chunk, outputs(stream.head, chunk * kTokens), memory, ahead);
      });
    }
    for_heads([&](const Stream& stream) { store_state(stream); });
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

  template <class Output>
  void run_chunk(const Stream& stream, int64_t chunk, const Outputs<Output>& y, std::byte* memory, Ahead& ahead) const {
    const auto at = [&](const std::byte* tensor) {
      return reinterpret_cast<const Element*>(tensor) + row_offset(p_, stream.head, chunk * kTokens);
    };
    const int tokens = tokens_of(chunk);
    const Head* head = head_of(stream);
    Kernel::template prepare<Element>(p_.N, head, at(tensors_.r), at(tensors_.k), at(tensors_.v), stride(), tokens,
                                      columns_of(stream), memory, ahead);
    for_panels(stream, [&](int64_t column, float* panel, std::byte* rounded) {
      Kernel::outputs(p_.N, memory, tokens, column, panel, rounded, y, ahead);
      Kernel::advance(p_.N, head, memory, tokens, column, panel, rounded, ahead);
    });
  }

  // Rows of the state as it lies in memory, one after the other, and the panels that they are spread over.
  void load_state(const Stream& stream, const float* states) const {
    const auto [first, last] = columns_of(stream);
    const float* row = states + stream.head * p_.N * p_.N;
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
