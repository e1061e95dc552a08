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
  int64_t N, heads, threads, chunks;
  TurnPlan turns;
  int64_t parts;     // of a state's column panels
  int64_t segments;  // of a head, in time
  int64_t segment_chunks, wave_chunks;
  size_t local_bytes = 0;  // of a segment's y, where it is first kept in fp32 (segments-inl.hpp)

  Plan(const Problem& p, int64_t chunk_tokens, int64_t thread_count)
      : N(p.N),
        heads(p.B * p.H),
        threads(thread_count),
        chunks((p.new_tokens() + chunk_tokens - 1) / chunk_tokens),
        turns(p, thread_count) {
    const Division division(heads, threads, p.new_tokens(), chunk_tokens, panels());
    parts = division.parts;
    segments = division.segments;
    segment_chunks = division.segment_units;
    wave_chunks = division.wave_units;
    if (segments > 1) local_bytes = local_output_bytes(p.dtype, segment_chunks * chunk_tokens, N);
  }

  int64_t panels() const { return padded(N) / kPanel; }
  int64_t widest_part() const { return (panels() + parts - 1) / parts * kPanel; }
  bool whole_heads() const { return heads >= threads; }
  int64_t streams() const { return segments * heads * parts; }
  // Streams in memory at once.
  int64_t slots() const { return whole_heads() ? threads * turns.most_heads() : streams(); }
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
        bypass_(plan_.segments == 1 && bypasses_caches(problem, tensors.y)) {
    memory_ = executor.scratch(extra_bytes(problem, executor.threads())).data();
  }

  static size_t extra_bytes(const Problem& p, int threads) {
    const Plan plan(p, kTokens, threads);
    return slots_end(plan) + static_cast<size_t>(plan.heads * (plan.segments - 1)) * plan.local_bytes;
  }

  void run() {
    if (plan_.whole_heads()) {
      executor_.parallel_for(plan_.turns.tasks(), [&](int64_t task, int thread) {
        run_heads(plan_.turns.heads(task), thread * plan_.turns.most_heads(), chunk_memory(thread));
      });
      return;
    }
    for (wave_ = 0; wave_ < plan_.chunks; wave_ += plan_.wave_chunks) run_wave();
  }

 private:
  static constexpr int kTokens = Kernel::kTokens;
  static constexpr int64_t kPieceChunks = 8;  // of a segment, for a task of adding what it misses
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
  std::byte* thread_memory(int thread) const { return memory_ + static_cast<size_t>(thread) * thread_bytes(p_.N); }
  // For the chunk that a thread is at; zero in the beginning.
  std::byte* chunk_memory(int thread) const {
    std::byte* memory = thread_memory(thread);
    std::memset(memory, 0, Kernel::chunk_bytes(p_.N));
    return memory;
  }
  static size_t slots_end(const Plan& plan) {
    return static_cast<size_t>(plan.threads) * thread_bytes(plan.N) +
           static_cast<size_t>(plan.slots()) * slot_bytes(plan);
  }
  // y of a stream's segment before what it misses is added, where that is kept in fp32; its parts share it.
  float* local_of(const Stream& stream) const {
    if (stream.segment == 0 || plan_.local_bytes == 0) return nullptr;
    const int64_t index = (stream.segment - 1) * plan_.heads + stream.head;
    return reinterpret_cast<float*>(memory_ + slots_end(plan_) + static_cast<size_t>(index) * plan_.local_bytes);
  }
  std::byte* slot(const Stream& stream) const {
    return memory_ + static_cast<size_t>(plan_.threads) * thread_bytes(p_.N) +
           static_cast<size_t>(stream.slot) * slot_bytes(plan_);
  }
  Head* head_of(const Stream& stream) const { return reinterpret_cast<Head*>(slot(stream)); }
  // The part's panels one after the other, each padded(N) x kPanel.
  float* state_of(const Stream& stream) const { return reinterpret_cast<float*>(slot(stream) + head_bytes(p_.N)); }
  StatePanels panels_of(const Stream& stream) const {
    return {.first = state_of(stream), .row_step = kPanel, .panel_step = padded(p_.N) * kPanel};
  }
  // What a kernel keeps of each of these panels in another form.
  std::byte* rounded_of(const Stream& stream) const { return slot(stream) + head_bytes(p_.N) + state_bytes(plan_); }

  Columns columns_of(const Stream& stream) const {
    return {.first = plan_.panels() * stream.part / plan_.parts * kPanel,
            .last = plan_.panels() * (stream.part + 1) / plan_.parts * kPanel};
  }

  // Of all segments' streams; a segment's lie side by side.
  Stream stream_at(int64_t index) const {
    return {.head = index / plan_.parts % plan_.heads,
            .part = index % plan_.parts,
            .segment = index / (plan_.heads * plan_.parts),
            .slot = index};
  }

  int64_t stride() const { return p_.H * p_.N; }
  int64_t offset(int64_t head, int64_t chunk) const {
    return ((head / p_.H * p_.new_tokens() + chunk * kTokens) * p_.H + head % p_.H) * p_.N;
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
        body(Stream{.head = head, .part = 0, .segment = 0, .slot = slot + head - heads.first});
      }
    };
    const Columns columns{.first = 0, .last = padded(p_.N)};
    Ahead ahead(p_, tensors_, heads, columns, !bypass_, kTokens, heads.count() * asks_of_chunk(columns));
    for_heads([&](const Stream& stream) { start(stream), load_state(stream, tensors_.state), round(stream); });
    for (int64_t chunk = 0; chunk < plan_.chunks; ++chunk) {  // a turn is a chunk
      ahead.start((chunk + 1) * kTokens);
      for_heads([&](const Stream& stream) { run_chunk(stream, chunk, memory, ahead); });
    }
    for_heads([&](const Stream& stream) { store_state(stream); });
    hwy::FlushStream();
  }

  void run_wave() const {
    executor_.parallel_for(plan_.streams(),
                           [&](int64_t task, int thread) { run_segment(stream_at(task), chunk_memory(thread)); });
    if (plan_.segments == 1) return;
    executor_.parallel_for(plan_.heads * plan_.parts, [&](int64_t task, int) { chain(stream_at(task)); });
    const int64_t pieces = (plan_.segment_chunks + kPieceChunks - 1) / kPieceChunks;
    executor_.parallel_for((plan_.segments - 1) * plan_.heads * plan_.parts * pieces, [&](int64_t task, int thread) {
      add_what_is_missing(stream_at(plan_.heads * plan_.parts + task / pieces), task % pieces * kPieceChunks,
                          thread_memory(thread));
    });
  }

  void run_segment(const Stream& stream, std::byte* memory) const {
    const int64_t first = first_chunk(stream.segment), last = first_chunk(stream.segment + 1);
    const Columns columns = columns_of(stream);
    Ahead ahead(p_, tensors_, {stream.head, stream.head + 1}, columns, !bypass_ && local_of(stream) == nullptr, kTokens,
                asks_of_chunk(columns));
    start(stream);
    if (stream.segment == 0) {
      load_state(stream, wave_ == 0 ? tensors_.state : tensors_.state_out);
    } else {
      std::memset(state_of(stream), 0, state_bytes(plan_));
    }
    round(stream);
    for (int64_t chunk = first; chunk < last; ++chunk) {
      if (chunk + 1 < last) ahead.start((chunk + 1) * kTokens);
      run_chunk(stream, chunk, memory, ahead);
    }
    if (plan_.segments == 1) store_state(stream);
    hwy::FlushStream();
  }

  int64_t first_chunk(int64_t segment) const {
    return std::min(wave_ + std::min(segment * plan_.segment_chunks, plan_.wave_chunks), plan_.chunks);
  }
  int64_t tokens_before(int64_t chunk) const { return std::min(chunk * kTokens, p_.new_tokens()); }

  // From the final states of a head's segments to those that they start from, and the head's.
  void chain(const Stream& first) const {
    const auto tokens = [&](int64_t segment) {
      return tokens_before(first_chunk(segment + 1)) - tokens_before(first_chunk(segment));
    };
    const auto state = [&](int64_t segment) {
      Stream stream = first;
      stream.slot += segment * plan_.heads * plan_.parts;
      return panels_of(stream);
    };
    chain_segments(p_.N, w_of(first), columns_of(first), plan_.segments, tokens, state);
    store_state(first);
  }

  // Of kPieceChunks chunks of a stream's segment, from one of them on.
  void add_what_is_missing(const Stream& stream, int64_t chunk, std::byte* memory) const {
    const int64_t first = first_chunk(stream.segment), last = first_chunk(stream.segment + 1);
    const int64_t begin = std::min(first + chunk, last), end = std::min(begin + kPieceChunks, last);
    Element* y = reinterpret_cast<Element*>(tensors_.y) + offset(stream.head, begin);
    const auto add_to = [&](const auto& local) {
      add_start_state(p_.N, w_of(stream), panels_of(stream), columns_of(stream), chunk * kTokens,
                      tokens_before(end) - tokens_before(begin),
                      reinterpret_cast<const Element*>(tensors_.r) + offset(stream.head, begin), local, y, stride(),
                      memory);
    };
    if (const float* local = local_of(stream)) {
      add_to(LocalOutputs<float>{local + (tokens_before(begin) - tokens_before(first)) * p_.N, p_.N});
    } else {
      add_to(LocalOutputs<Element>{y, stride()});
    }
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

  void run_chunk(const Stream& stream, int64_t chunk, std::byte* memory, Ahead& ahead) const {
    const auto at = [&](const std::byte* tensor) {
      return reinterpret_cast<const Element*>(tensor) + offset(stream.head, chunk);
    };
    const int tokens = tokens_of(chunk);
    const Head* head = head_of(stream);
    Kernel::template prepare<Element>(p_.N, head, at(tensors_.r), at(tensors_.k), at(tensors_.v), stride(), tokens,
                                      columns_of(stream), memory, ahead);
    const auto multiply = [&](const auto& y) {
      for_panels(stream, [&](int64_t column, float* panel, std::byte* rounded) {
        Kernel::outputs(p_.N, memory, tokens, column, panel, rounded, y, ahead);
        Kernel::advance(p_.N, head, memory, tokens, column, panel, rounded, ahead);
      });
    };
    if (float* local = local_of(stream)) {
      const int64_t before = tokens_before(chunk) - tokens_before(first_chunk(stream.segment));
      multiply(Outputs<float>{local + before * p_.N, p_.N, false});
    } else {
      multiply(
          Outputs<Element>{reinterpret_cast<Element*>(tensors_.y) + offset(stream.head, chunk), stride(), bypass_});
    }
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
  int64_t wave_ = 0;  // its first chunk
};

}  // namespace wkv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
