// wkv5 cpu_chunked: chunks of eight tokens as matrix products, y = r' S + A v and S' = w^8 S + k'^T v (chunk-inl.hpp).
// Parallel over (b, h); with fewer heads than threads over chunks in time for r', k' and A, then over columns of the
// state, and with still more threads over segments of time (chunk_schedule-inl.hpp).
// Moves r, k, v in and y out once, the state from L1 twice a chunk; tiles of y and of the state stay in registers.
// Limit: FMA rate, about 4.8 N^2 FLOPs a token and head at N = 64.
// Supports everything; N that is not a multiple of two vectors is padded.
#include "harness/variant.hpp"
#include "kernels/wkv5/wkv5.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/wkv5/cpu_chunked.cpp"
#include "kernels/simd_targets.hpp"
//
#include <hwy/foreach_target.h>
//
#include "kernels/wkv5/chunk_schedule-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace wkv::kernels::HWY_NAMESPACE {
namespace {

// A register tile: this many rows (of y: tokens, of the state: key channels) by one panel of columns.
constexpr int kRows = kManyRegisters ? 8 : 4;

struct Tile {
  Vec at[kRows][2];
};

// tile += column * row: outer product of kRows scalars, `step` floats apart, and a row of a panel.
HWY_INLINE void add_product(const float* scalars, int64_t step, const float* row, Tile& tile) {
  const Vec row0 = load_vec(row), row1 = load_vec(row + kLanes);
  for (int m = 0; m < kRows; ++m) {
    const Vec scalar = broadcast(scalars[m * step]);
    tile.at[m][0] = hn::MulAdd(scalar, row0, tile.at[m][0]);
    tile.at[m][1] = hn::MulAdd(scalar, row1, tile.at[m][1]);
  }
}

template <class Element>
HWY_INLINE void store_row(Vec left, Vec right, int64_t columns, Element* to) {
  if (columns >= kPanel) {
    store_vec(left, to);
    store_vec(right, to + kLanes);
    return;
  }
  Element row[kPanel];
  store_vec(left, row);
  store_vec(right, row + kLanes);
  std::copy_n(row, columns, to);
}

struct Chunked {
  static constexpr int kTokens = 8;
  using Head = HeadBlock<kTokens>;

  static size_t chunk_bytes(int64_t N) { return Chunk<kTokens>::bytes(N); }

  template <class Element>
  static void prepare(int64_t N, const Head* heads, const Element* r, const Element* k, const Element* v,
                      int64_t stride, int tokens, std::byte* memory) {
    prepare_chunk(N, heads, r, k, v, stride, tokens, Chunk<kTokens>(memory));
  }

  // y = r' S + A v for a panel of columns.
  template <class Element>
  static void outputs(int64_t N, std::byte* memory, int tokens, int64_t column, const float* panel, Element* y,
                      int64_t stride) {
    const Chunk<kTokens> chunk(memory);
    const ChunkBlock<kTokens>& columns = chunk.blocks[column / kChannels];
    const int subs_end = (tokens + kSub - 1) / kSub * kSub;
    for (int p = 0; p < tokens; p += kRows) {
      Tile tile;
      for (auto& row : tile.at) row[0] = row[1] = zero();
      const float* state = panel;
      for (int64_t first = 0; first < N; first += kChannels) {
        const ChunkBlock<kTokens>& block = chunk.blocks[first / kChannels];
        const int64_t count = std::min(N - first, kChannels);
        for (int64_t i = 0; i < count; ++i, state += kPanel) add_product(block.r[p] + i, kChannels, state, tile);
      }
      for (int q = 0; q < std::min(p + kRows, subs_end); ++q) {
        add_product(chunk.scores[p] + q, kTokens, columns.v[q] + column % kChannels, tile);
      }
      for (int m = 0; m < kRows; ++m) {
        if (p + m < tokens) store_row(tile.at[m][0], tile.at[m][1], N - column, y + (p + m) * stride + column);
      }
    }
  }

  // S' = w^tokens S + k'^T v for a panel of columns.
  static void advance(int64_t N, const Head* heads, std::byte* memory, int tokens, int64_t column, float* panel) {
    const Chunk<kTokens> chunk(memory);
    const ChunkBlock<kTokens>& columns = chunk.blocks[column / kChannels];
    const float* v = columns.v[0] + column % kChannels;
    const int subs_end = (tokens + kSub - 1) / kSub * kSub;
    for (int64_t i = 0; i < padded(N); i += kRows, panel += kRows * kPanel) {
      const Head& head = heads[i / kChannels];
      const int64_t c = i % kChannels;
      const float* keep = (tokens == kTokens ? head.keep : head.last_keep) + c;
      const float* gain = (tokens == kTokens ? head.gain : head.last_gain) + c;
      const float* k = chunk.blocks[i / kChannels].k[0] + c;
      Tile tile;
      for (int m = 0; m < kRows; ++m) {
        const Vec kept = broadcast(keep[m]), gained = broadcast(gain[m]);
        for (int j = 0; j < 2; ++j) {
          const Vec state = load_vec(panel + m * kPanel + j * kLanes);
          tile.at[m][j] = hn::MulAdd(gained, state, hn::And(kept, state));
        }
      }
      for (int q = 0; q < subs_end; ++q) add_product(k + q * kChannels, 1, v + q * kChannels, tile);
      for (int m = 0; m < kRows; ++m) {
        for (int j = 0; j < 2; ++j) store_vec(tile.at[m][j], panel + m * kPanel + j * kLanes);
      }
    }
  }
};

void run(const Problem& problem, const Wkv5Tensors& tensors, Executor& executor) {
  if (problem.dtype == DType::f32) {
    ChunkSchedule<Chunked, float>(problem, tensors, executor).run();
  } else {
    ChunkSchedule<Chunked, BFloat16>(problem, tensors, executor).run();
  }
}

size_t extra_bytes(const Problem& p, int threads) { return ChunkSchedule<Chunked, float>::extra_bytes(p, threads); }

}  // namespace
}  // namespace wkv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wkv::kernels {
namespace {

HWY_EXPORT(run);
HWY_EXPORT(extra_bytes);

const Registered<Wkv5> variant{
    {.name = "cpu_chunked",
     .extra_bytes = [](const Problem& p, int threads) { return HWY_DYNAMIC_DISPATCH(extra_bytes)(p, threads); },
     .run = [](const Problem& problem, const Wkv5Tensors& tensors,
               Executor& executor) { HWY_DYNAMIC_DISPATCH(run)
                                     (problem, tensors, executor); }}};

}  // namespace
}  // namespace wkv::kernels
#endif
