// One head's time in segments that several threads run at once. Every segment but the first is run from a state of
// zero. Then the final states are chained, S' = w^L S + local, and what a segment's tokens miss is added to them, at
// position p of it:
//   y_p += r_p w^p S,  S the state that the segment starts from
// which is less than half the work of a token, and less still where channels have forgotten S (w^p is nothing). Long
// sequences are taken in waves, which bounds what is kept of y in fp32 until that is added.
// One instance per Highway target: include after hwy/foreach_target.h, use inside HWY_NAMESPACE.
#if defined(WKV_KERNELS_WKV5_SEGMENTS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef WKV_KERNELS_WKV5_SEGMENTS_INL_HPP
#undef WKV_KERNELS_WKV5_SEGMENTS_INL_HPP
#else
#define WKV_KERNELS_WKV5_SEGMENTS_INL_HPP
#endif

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>

#include "harness/executor.hpp"
#include "harness/problem.hpp"
#include "kernels/wkv5/ahead.hpp"
#include "kernels/wkv5/chunk-inl.hpp"
#include "kernels/wkv5/outer_products-inl.hpp"
#include "kernels/wkv5/wkv5.hpp"

HWY_BEFORE_NAMESPACE();
namespace wkv::kernels::HWY_NAMESPACE {

// Some of a head's columns over a segment of time, of a wave. A segment's parts and heads lie side by side.
struct Segment {
  int64_t head, part;
  int64_t index;       // of the head's; the first starts from a state, the others from zero
  int64_t slot;        // of all of the wave
  int64_t begin, end;  // tokens
  float* local;        // where y goes in fp32, one row of N after the other, instead of where it belongs; or null
};

// How heads are divided where there are fewer than threads: in segments of time, and only where T is too short for
// them in parts of a state's columns, each of which repeats what does not depend on the columns.
struct Division {
  static constexpr int64_t kMinSegment = 192, kWave = 32768;  // tokens

  int64_t N, T, heads;
  int64_t parts = 1, segments = 1;  // of a head
  int64_t segment_tokens, wave_tokens;
  size_t local_bytes = 0;  // of a segment's y, in fp32, where bf16 would round it before all is added

  // unit: tokens that are not divided.
  Division(const Problem& p, int64_t threads, int64_t unit, int64_t most_parts)
      : N(p.N), T(p.new_tokens()), heads(p.B * p.H) {
    const int64_t units = (T + unit - 1) / unit;
    segment_tokens = wave_tokens = units * unit;
    if (heads >= threads) return;
    // All threads have the same number of segments then.
    segments = std::clamp<int64_t>(threads / std::gcd(heads, threads), 1, std::max<int64_t>(T / kMinSegment, 1));
    parts = std::min((threads + heads * segments - 1) / (heads * segments), most_parts);
    if (segments == 1) return;
    const int64_t wave_units = std::min(units, kWave / unit), segment_units = (wave_units + segments - 1) / segments;
    segments = (wave_units + segment_units - 1) / segment_units;
    segment_tokens = segment_units * unit;
    wave_tokens = wave_units * unit;
    if (p.dtype != DType::f32) local_bytes = whole_pages(static_cast<size_t>(segment_tokens * N) * sizeof(float));
  }

  int64_t per_segment() const { return heads * parts; }
  int64_t slots() const { return segments * per_segment(); }
  size_t all_local_bytes() const { return static_cast<size_t>(heads * (segments - 1)) * local_bytes; }

  int64_t begin(int64_t wave, int64_t index) const {
    return std::min(wave + std::min(index * segment_tokens, wave_tokens), T);
  }
  // wave: its first token. local: all_local_bytes of memory.
  Segment segment(int64_t wave, int64_t slot, std::byte* local) const {
    const int64_t head = slot / parts % heads, index = slot / per_segment();
    const bool keeps_local = local_bytes > 0 && index > 0;
    std::byte* own = keeps_local ? local + static_cast<size_t>((index - 1) * heads + head) * local_bytes : nullptr;
    return {.head = head,
            .part = slot % parts,
            .index = index,
            .slot = slot,
            .begin = begin(wave, index),
            .end = begin(wave, index + 1),
            .local = reinterpret_cast<float*>(own)};
  }
};

// Columns of a state as panels; of the last one only those that exist are used, the others may be anything.
struct StatePanels {
  float* first;
  int64_t row_step, panel_step;

  float* row(int64_t panel, int64_t i) const { return first + panel * panel_step + i * row_step; }
};

// Of a head's segments: state(segment) as it ended becomes the state that the segment starts from, and the first's
// becomes the final one of all. tokens(segment) is a segment's length.
template <class Tokens, class State>
void chain_segments(int64_t N, const float* w, Columns columns, int64_t segments, const Tokens& tokens,
                    const State& state) {
  const StatePanels carried = state(0);
  for (int64_t segment = 1; segment < segments; ++segment) {
    const StatePanels panels = state(segment);
    for (int64_t i = 0; i < N; ++i) {
      const auto decay = static_cast<float>(std::pow(double{w[i]}, tokens(segment)));
      for (int64_t column = columns.first, panel = 0; column < columns.last; column += kPanel, ++panel) {
        float *start = carried.row(panel, i), *end = panels.row(panel, i);
        for (int64_t c = 0, count = std::min<int64_t>(columns.last - column, kPanel); c < count; ++c) {
          const float local = end[c];
          end[c] = start[c];
          start[c] = decay * start[c] + local;
        }
      }
    }
  }
}

// What add_start_state needs: r w^p of a tile's tokens, and of the state's channels those that it still matters for.
struct Missing {
  Missing(int64_t N, std::byte* memory)
      : channels(padded(N)),
        in_blocks(blocks_of(N) * kChannels),
        decay(reinterpret_cast<double*>(memory)),
        decay_of_tile(decay + in_blocks),
        r(reinterpret_cast<float*>(decay_of_tile + in_blocks)),
        remembered(reinterpret_cast<int32_t*>(r + kTokenRows * channels)) {}
  static size_t bytes(int64_t N) {
    return 2 * sizeof(double) * static_cast<size_t>(blocks_of(N) * kChannels) +
           sizeof(float) * static_cast<size_t>((kTokenRows + 1) * padded(N));
  }

  int64_t channels, in_blocks;  // padded
  double* decay;                // w^p of the tile's first token
  double* decay_of_tile;        // over its tokens
  float* r;                     // (token, channel)
  int32_t* remembered;
};

// y as a segment that was run from a state of zero gave it: where it belongs, or, if that would round it to bf16 before
// anything is added, in fp32 elsewhere.
template <class Element>
struct LocalOutputs {
  const Element* first;  // token's
  int64_t stride;        // from token to token
};

// Tokens [0, kTokenRows) of a tile, as far as they exist; kAll: all do.
template <bool kAll, class Local, class Element>
HWY_INLINE void add_to_outputs(int64_t N, const Missing& missing, int64_t count, const StatePanels& state,
                               Columns columns, int tokens, const LocalOutputs<Local>& local, Element* y,
                               int64_t stride) {
  for (int64_t column = columns.first, panel = 0; column < columns.last; column += kPanel, ++panel) {
    const int64_t left = std::min(N, columns.last) - column;
    Tile<kTokenRows> tile;
    HWY_UNROLL(12)
    for (int m = 0; m < kTokenRows; ++m) tile.at[m][0] = tile.at[m][1] = zero();
    const float* rows = state.row(panel, 0);
    for (int64_t n = 0; n < count; ++n) {
      const int64_t i = missing.remembered[n];
      add_product(missing.r + i, missing.channels, rows + i * state.row_step, tile);
    }
    HWY_UNROLL(12)
    for (int m = 0; m < kTokenRows; ++m) {
      if (!kAll && m >= tokens) break;
      const Local* from = local.first + m * local.stride + column;
      store_row(hn::Add(tile.at[m][0], load_first(from, left)),
                hn::Add(tile.at[m][1], load_first(from + kLanes, left - kLanes)), left, false, y + m * stride + column);
    }
  }
}

// y_p = local y_p + r_p w^p S for `tokens` tokens from position `first` of a segment on, few enough to go without a new
// look at which channels remember. r, local and y point at the first's.
template <class Local, class Element>
void add_start_state(int64_t N, const float* w, const StatePanels& state, Columns columns, int64_t first,
                     int64_t tokens, const Element* r, LocalOutputs<Local> local, Element* y, int64_t stride,
                     std::byte* memory) {
  constexpr double kNothing = 0x1p-100;
  const Missing missing(N, memory);
  int64_t count = 0;
  for (int64_t block = 0; block < N; block += kChannels) {
    float decay[kChannels] = {};
    std::copy_n(w + block, std::min(N - block, kChannels), decay);
    powers_over(first, decay, missing.decay + block);
    powers_over(kTokenRows, decay, missing.decay_of_tile + block);
    for (int64_t i = block; i < std::min(N, block + kChannels); ++i) {
      if (missing.decay[i] > kNothing) missing.remembered[count++] = static_cast<int32_t>(i);
    }
  }
  for (int64_t t = 0; t < tokens; t += kTokenRows) {
    const int rows = static_cast<int>(std::min<int64_t>(tokens - t, kTokenRows));
    for (int64_t i = 0; i < missing.channels; i += kLanes) {
      const Vec decay = load_first(w + i, N - i);
      float start[kLanes];
      for (int c = 0; c < kLanes; ++c) start[c] = static_cast<float>(missing.decay[i + c]);
      Vec power = load_vec(start);
      for (int m = 0; m < kTokenRows; ++m) {
        const Vec receptance = m < rows ? load_first(r + m * stride + i, N - i) : zero();
        store_vec(hn::Mul(receptance, power), missing.r + m * missing.channels + i);
        power = hn::Mul(power, decay);
      }
    }
    for (int64_t i = 0; i < missing.in_blocks; ++i) missing.decay[i] *= missing.decay_of_tile[i];
    if (rows == kTokenRows) {
      add_to_outputs<true>(N, missing, count, state, columns, rows, local, y, stride);
    } else {
      add_to_outputs<false>(N, missing, count, state, columns, rows, local, y, stride);
    }
    r += kTokenRows * stride, y += kTokenRows * stride, local.first += kTokenRows * local.stride;
  }
}

// Runs all segments, wave by wave. Owner: run(segment, thread), columns(part), panels(slot): the state that a segment
// ended with, store_state(segment): to the output, scratch(thread): Missing::bytes(N).
template <class Element, class Owner>
class SegmentRun {
 public:
  SegmentRun(const Problem& problem, const Wkv5Tensors& tensors, Executor& executor, const Division& division,
             std::byte* local, const Owner& owner)
      : p_(problem), tensors_(tensors), executor_(executor), division_(division), local_(local), owner_(owner) {}

  void run() const {
    for (int64_t wave = 0; wave < division_.T; wave += division_.wave_tokens) run_wave(wave);
  }

 private:
  static constexpr int64_t kPiece = 96;  // tokens of a segment, for a task of adding what it misses

  void run_wave(int64_t wave) const {
    const auto segment = [&](int64_t slot) { return division_.segment(wave, slot, local_); };
    executor_.parallel_for(division_.slots(), [&](int64_t slot, int thread) {
      owner_.run(segment(slot), thread);
      if (division_.segments == 1) owner_.store_state(segment(slot));
    });
    if (division_.segments == 1) return;
    executor_.parallel_for(division_.per_segment(), [&](int64_t slot, int) {
      chain(wave, segment(slot));
      owner_.store_state(segment(slot));
    });
    const int64_t pieces = (division_.segment_tokens + kPiece - 1) / kPiece, first = division_.per_segment();
    executor_.parallel_for((division_.slots() - first) * pieces, [&](int64_t task, int thread) {
      add_what_is_missing(segment(first + task / pieces), task % pieces * kPiece, owner_.scratch(thread));
    });
  }

  const float* w_of(const Segment& segment) const { return tensors_.w + segment.head % p_.H * p_.N; }

  // From the final states of a head's segments to those that they start from, and the head's.
  void chain(int64_t wave, const Segment& first) const {
    chain_segments(
        p_.N, w_of(first), owner_.columns(first.part), division_.segments,
        [&](int64_t index) { return division_.begin(wave, index + 1) - division_.begin(wave, index); },
        [&](int64_t index) { return owner_.panels(first.slot + index * division_.per_segment()); });
  }

  void add_what_is_missing(const Segment& segment, int64_t position, std::byte* memory) const {
    const int64_t begin = std::min(segment.begin + position, segment.end), stride = p_.H * p_.N;
    const int64_t at = row_offset(p_, segment.head, begin);
    Element* y = reinterpret_cast<Element*>(tensors_.y) + at;
    const auto add_to = [&](const auto& local) {
      add_start_state(p_.N, w_of(segment), owner_.panels(segment.slot), owner_.columns(segment.part), position,
                      std::min(kPiece, segment.end - begin), reinterpret_cast<const Element*>(tensors_.r) + at, local,
                      y, stride, memory);
    };
    if (segment.local != nullptr) {
      add_to(LocalOutputs<float>{segment.local + (begin - segment.begin) * p_.N, p_.N});
    } else {
      add_to(LocalOutputs<Element>{y, stride});
    }
  }

  const Problem& p_;
  const Wkv5Tensors& tensors_;
  Executor& executor_;
  const Division& division_;
  std::byte* local_;
  const Owner& owner_;
};

}  // namespace wkv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
