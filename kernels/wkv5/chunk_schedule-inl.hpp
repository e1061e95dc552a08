// Runs WKV5 chunk by chunk: who prepares which chunk (chunk-inl.hpp) and who applies it to which columns of a state.
// One instance per Highway target: include after hwy/foreach_target.h, use inside HWY_NAMESPACE.
//
// With at least as many heads as threads a thread takes a whole head. With fewer, the heads advance together in groups
// of chunks, in two parallel steps: all chunks of a group are prepared, which needs no state, so that this is parallel
// in time; then the state passes through the group, parallel over its columns, which do not depend on each other. With
// more threads than column panels, time is cut into segments too: first every segment is run from a zero state for its
// final state only, then these are chained, S' = w^length S + local, and all segments run from the states they start
// at.
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

// How the work is divided. A stream is a segment in time of one head; it has its own state.
struct Plan {
  static constexpr int64_t kGroup = 64;       // chunks of a stream that are prepared before the state passes through
  static constexpr int64_t kMinSegment = 16;  // chunks

  int64_t heads, threads, chunks;
  int64_t parts = 1;     // of a state's column panels, run in parallel
  int64_t segments = 1;  // of a head, in time
  int64_t segment_chunks;

  Plan(const Problem& p, int64_t chunk_tokens, int64_t thread_count)
      : heads(p.B * p.H), threads(thread_count), chunks((p.new_tokens() + chunk_tokens - 1) / chunk_tokens) {
    if (heads < threads) {
      parts = std::min((threads + heads - 1) / heads, padded(p.N) / kPanel);
      segments = std::clamp<int64_t>(threads / (heads * parts), 1, std::max<int64_t>(chunks / kMinSegment, 1));
    }
    segment_chunks = (chunks + segments - 1) / segments;
    segments = (chunks + segment_chunks - 1) / segment_chunks;
  }

  bool head_per_thread() const { return heads >= threads; }
  // Streams in memory at once, and prepared chunks of each.
  int64_t slots() const { return head_per_thread() ? threads : heads * segments; }
  int64_t slot_chunks() const { return head_per_thread() ? 1 : std::min(kGroup, segment_chunks); }
};

// Kernel: kTokens, chunk_bytes(N), prepare, outputs, advance (see cpu_chunked.cpp).
template <class Kernel, class Element>
class ChunkSchedule {
 public:
  ChunkSchedule(const Problem& problem, const Wkv5Tensors& tensors, Executor& executor)
      : p_(problem), tensors_(tensors), executor_(executor), plan_(problem, kTokens, executor.threads()) {
    memory_ = executor.scratch(extra_bytes(problem, executor.threads())).data();
  }

  static size_t extra_bytes(const Problem& p, int threads) {
    const Plan plan(p, kTokens, threads);
    return static_cast<size_t>(plan.slots()) * slot_bytes(p.N, plan);
  }

  void run() {
    if (plan_.head_per_thread()) {
      executor_.parallel_for(plan_.heads, [&](int64_t head, int thread) { run_head(head, thread); });
    } else {
      run_segments();
    }
  }

 private:
  static constexpr int kTokens = Kernel::kTokens;
  using Head = HeadBlock<kTokens>;

  static size_t head_bytes(int64_t N) { return static_cast<size_t>(blocks_of(N)) * sizeof(Head); }
  static size_t state_bytes(int64_t N) { return static_cast<size_t>(padded(N) * padded(N)) * sizeof(float); }
  static size_t slot_bytes(int64_t N, const Plan& plan) {
    return head_bytes(N) + state_bytes(N) + static_cast<size_t>(plan.slot_chunks()) * Kernel::chunk_bytes(N);
  }

  std::byte* slot(int64_t index) const { return memory_ + static_cast<size_t>(index) * slot_bytes(p_.N, plan_); }
  Head* head_of(int64_t slot_index) const { return reinterpret_cast<Head*>(slot(slot_index)); }
  // Panels one after the other, each padded(N) x kPanel.
  float* state_of(int64_t slot_index) const { return reinterpret_cast<float*>(slot(slot_index) + head_bytes(p_.N)); }
  std::byte* chunk_of(int64_t slot_index, int64_t chunk) const {
    return slot(slot_index) + head_bytes(p_.N) + state_bytes(p_.N) +
           static_cast<size_t>(chunk) * Kernel::chunk_bytes(p_.N);
  }

  int64_t stride() const { return p_.H * p_.N; }
  int64_t offset(int64_t head, int64_t chunk) const {
    return ((head / p_.H * p_.new_tokens() + chunk * kTokens) * p_.H + head % p_.H) * p_.N;
  }
  int tokens_of(int64_t chunk) const {
    return static_cast<int>(std::min<int64_t>(p_.new_tokens() - chunk * kTokens, kTokens));
  }

  void prepare(int64_t head, int64_t chunk, const Head* blocks, std::byte* memory) const {
    const auto at = [&](const std::byte* tensor) {
      return reinterpret_cast<const Element*>(tensor) + offset(head, chunk);
    };
    Kernel::template prepare<Element>(p_.N, blocks, at(tensors_.r), at(tensors_.k), at(tensors_.v), stride(),
                                      tokens_of(chunk), memory);
  }

  // The rows that a chunk reads and writes; nothing for one behind the last.
  Ahead rows_of(int64_t head, int64_t chunk) const {
    if (chunk >= plan_.chunks) return {};
    constexpr int64_t kSize = sizeof(Element);
    const int64_t at = offset(head, chunk) * kSize;
    return {.rows = {tensors_.r + at, tensors_.k + at, tensors_.v + at, tensors_.y + at},
            .row_bytes = p_.N * kSize,
            .stride_bytes = stride() * kSize,
            .rows_left = tokens_of(chunk)};
  }

  // A chunk that was prepared, perhaps by another thread.
  Ahead prepared(int64_t slot_index, int64_t chunk) const {
    const std::byte* memory = chunk_of(slot_index, chunk);
    const auto quarter = static_cast<int64_t>(Kernel::chunk_bytes(p_.N) / 4);
    return {.rows = {memory, memory + quarter, memory + 2 * quarter, memory + 3 * quarter},
            .row_bytes = quarter,
            .rows_left = 1};
  }

  // Panels [first, last) of a state through one chunk.
  void apply(int64_t head, int64_t chunk, const Head* blocks, std::byte* memory, float* state, int64_t first,
             int64_t last, bool with_outputs, Ahead ahead = {}) const {
    const int tokens = tokens_of(chunk);
    Element* y = reinterpret_cast<Element*>(tensors_.y) + offset(head, chunk);
    ahead = ahead.in((last - first) * padded(p_.N) / Kernel::kKeyRows);
    for (int64_t panel = first; panel < last; ++panel) {
      float* columns = state + panel * padded(p_.N) * kPanel;
      if (with_outputs) Kernel::outputs(p_.N, memory, tokens, panel * kPanel, columns, y, stride());
      Kernel::advance(p_.N, blocks, memory, tokens, panel * kPanel, columns, ahead);
    }
  }

  int64_t panels() const { return padded(p_.N) / kPanel; }

  // Rows of the state as it lies in memory, one after the other, and the panels that they are spread over.
  void load_state(int64_t head, float* state) const {
    const float* row = tensors_.state + head * p_.N * p_.N;
    for (int64_t i = 0; i < padded(p_.N); ++i, row += p_.N, state += kPanel) {
      float* panel = state;
      for (int64_t column = 0; column < padded(p_.N); column += kPanel, panel += padded(p_.N) * kPanel) {
        if (i < p_.N && column + kPanel <= p_.N) {
          copy_panel_row(row + column, panel);
        } else {
          const int64_t count = i < p_.N ? std::clamp<int64_t>(p_.N - column, 0, kPanel) : 0;
          std::fill(std::copy_n(row + (count > 0 ? column : 0), count, panel), panel + kPanel, 0.0f);
        }
      }
    }
  }

  void store_state(const float* state, int64_t head) const {
    float* row = tensors_.state_out + head * p_.N * p_.N;
    for (int64_t i = 0; i < p_.N; ++i, row += p_.N, state += kPanel) {
      const float* panel = state;
      for (int64_t column = 0; column < p_.N; column += kPanel, panel += padded(p_.N) * kPanel) {
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

  void start_stream(int64_t head, int64_t slot_index) const {
    const int64_t h = head % p_.H;
    prepare_head<kTokens>(p_.N, tensors_.w + h * p_.N, tensors_.u + h * p_.N, tokens_of(plan_.chunks - 1),
                          p_.new_tokens() >= kTokens, head_of(slot_index));
    for (int64_t chunk = 0; chunk < plan_.slot_chunks(); ++chunk) {
      std::memset(chunk_of(slot_index, chunk), 0, Kernel::chunk_bytes(p_.N));
    }
  }

  void run_head(int64_t head, int thread) const {
    float* state = state_of(thread);
    std::byte* memory = chunk_of(thread, 0);
    start_stream(head, thread);
    load_state(head, state);
    for (int64_t chunk = 0; chunk < plan_.chunks; ++chunk) {
      prepare(head, chunk, head_of(thread), memory);
      apply(head, chunk, head_of(thread), memory, state, 0, panels(), true, rows_of(head, chunk + 1));
    }
    store_state(state, head);
  }

  // All streams of the first `segments` segments, from the states in their slots.
  void run_streams(int64_t segments, bool with_outputs) const {
    const int64_t streams = plan_.heads * segments, chunks = plan_.slot_chunks();
    for (int64_t start = 0; start < plan_.segment_chunks; start += chunks) {
      const auto chunk_at = [&](int64_t stream, int64_t index) {
        return start + index < plan_.segment_chunks ? stream / plan_.heads * plan_.segment_chunks + start + index
                                                    : plan_.chunks;
      };
      executor_.parallel_for(streams * chunks, [&](int64_t task, int) {
        const int64_t stream = task / chunks, chunk = chunk_at(stream, task % chunks);
        if (chunk >= plan_.chunks) return;
        prepare(stream % plan_.heads, chunk, head_of(stream), chunk_of(stream, task % chunks));
      });
      executor_.parallel_for(streams * plan_.parts, [&](int64_t task, int) {
        const int64_t stream = task / plan_.parts, part = task % plan_.parts;
        for (int64_t index = 0; index < chunks; ++index) {
          const int64_t chunk = chunk_at(stream, index);
          if (chunk >= plan_.chunks) return;
          apply(stream % plan_.heads, chunk, head_of(stream), chunk_of(stream, index), state_of(stream),
                panels() * part / plan_.parts, panels() * (part + 1) / plan_.parts, with_outputs,
                index + 1 < chunks ? prepared(stream, index + 1) : Ahead());
        }
      });
    }
  }

  // From the final states of the first segment and, run from zero, of the next: the states that segments start from.
  void chain_segments() const {
    const int64_t rows = padded(p_.N);
    executor_.parallel_for(plan_.heads * p_.N, [&](int64_t task, int) {
      const int64_t head = task / p_.N, i = task % p_.N;
      const double w = tensors_.w[head % p_.H * p_.N + i];
      const auto decay = static_cast<float>(std::pow(w, plan_.segment_chunks * kTokens));
      for (int64_t panel = 0; panel < panels(); ++panel) {
        for (int64_t c = 0; c < kPanel; ++c) {
          const int64_t at = (panel * rows + i) * kPanel + c;
          float start = state_of(head)[at];
          for (int64_t segment = 1; segment < plan_.segments; ++segment) {
            float& state = state_of(segment * plan_.heads + head)[at];
            const float local = state;
            state = start;
            start = decay * start + local;
          }
        }
      }
    });
  }

  void run_segments() const {
    executor_.parallel_for(plan_.slots(), [&](int64_t stream, int) {
      start_stream(stream % plan_.heads, stream);
      if (stream >= plan_.heads) std::memset(state_of(stream), 0, state_bytes(p_.N));
    });
    const auto load_first = [&](int64_t head, int) { load_state(head, state_of(head)); };
    executor_.parallel_for(plan_.heads, load_first);
    if (plan_.segments > 1) {
      run_streams(plan_.segments - 1, false);
      chain_segments();
      executor_.parallel_for(plan_.heads, load_first);
    }
    run_streams(plan_.segments, true);
    const int64_t last = (plan_.segments - 1) * plan_.heads;
    executor_.parallel_for(plan_.heads, [&](int64_t head, int) { store_state(state_of(last + head), head); });
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
