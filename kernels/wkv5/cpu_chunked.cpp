// wkv5 cpu_chunked: chunks of 12 tokens as matrix products, y = r' S + A v and S' = w^12 S + k'^T v (chunk-inl.hpp).
// Parallel over (b, h); with fewer heads than threads over columns of the state, and with still more threads over
// segments of time (chunk_schedule-inl.hpp).
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
#include "kernels/wkv5/outer_products-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace wkv::kernels::HWY_NAMESPACE {
namespace {

struct Chunked {
  static constexpr int kTokens = 12;
  static constexpr int kKeyRows = kManyRegisters ? 8 : 4;  // a tile sees a few tokens only, and the next one overlaps
  static constexpr int64_t kChannelsOfAsk = 16;  // of a pass for y, for each time that later rows are asked for
  using Head = HeadBlock<kTokens>;

  static size_t chunk_bytes(int64_t N) { return Chunk<kTokens>::bytes(N); }

  template <class Element>
  static void prepare(int64_t N, const Head* heads, const Element* r, const Element* k, const Element* v,
                      int64_t stride, int tokens, Columns columns, std::byte* memory, Ahead& ahead) {
    const Chunk<kTokens> chunk(memory);
    prepare_scores(N, heads, r, k, stride, tokens, chunk, ahead);
    for (int sub = 0; (sub + 1) * kSub < tokens; ++sub) {
      for (int64_t i = 0; i < padded(N); i += kLanes) {
        const int64_t c = i % kChannels;
        const Vec after = decay_after(heads[i / kChannels], sub, tokens, c);
        for (int q = sub * kSub; q < (sub + 1) * kSub; ++q) {
          float* k_row = chunk.blocks[i / kChannels].k[q] + c;
          store_vec(hn::Mul(load_vec(k_row), after), k_row);
        }
      }
    }
    for (int t = 0, rows = tokens > kSub ? kTokens : kSub; t < rows; ++t) {
      copy_row<kTokens>(N, columns, t < tokens ? v + t * stride : nullptr, chunk.blocks->v[t]);
    }
  }

  static int64_t asks_of_panel(int64_t N) {
    return padded(N) / kKeyRows + padded(N) / kChannelsOfAsk * (kTokens / kTokenRows);
  }
  static size_t rounded_bytes(int64_t) { return 0; }
  static void round(int64_t, const float*, std::byte*) {}

  // y = r' S + A v for a panel of columns.
  template <class Element>
  static void outputs(int64_t N, std::byte* memory, int tokens, int64_t column, const float* panel, const std::byte*,
                      Outputs<Element> y, Ahead& ahead) {
    if (tokens == 1) return output_rows<1, true>(N, memory, tokens, 0, column, panel, y, ahead);
    for (int p = 0; p < tokens; p += kTokenRows) {
      if (p + kTokenRows <= tokens) {
        output_rows<kTokenRows, true>(N, memory, tokens, p, column, panel, y, ahead);
      } else {
        output_rows<kTokenRows, false>(N, memory, tokens, p, column, panel, y, ahead);
      }
    }
  }

  // Tokens p to p + kRows, as far as they exist; kAll: all do. (Then the tile never leaves the registers.)
  template <int kRows, bool kAll, class Element>
  static void output_rows(int64_t N, std::byte* memory, int tokens, int p, int64_t column, const float* panel,
                          Outputs<Element> y, Ahead& ahead) {
    const Chunk<kTokens> chunk(memory);
    const ChunkBlock<kTokens>& columns = chunk.blocks[column / kChannels];
    Tile<kRows> tile;
    HWY_UNROLL(12)
    for (int m = 0; m < kRows; ++m) tile.at[m][0] = tile.at[m][1] = zero();
    for (int64_t first = 0; first < N; first += kChannels) {
      const ChunkBlock<kTokens>& block = chunk.blocks[first / kChannels];
      const int64_t count = std::min(padded(N) - first, kChannels);
      for (int64_t i = 0; i < count; i += 4, panel += 4 * kPanel) {
        if (i % kChannelsOfAsk == 0) ahead.ask();
        for (int m = 0; m < 4; ++m) add_product(block.r[p] + i + m, kChannels, panel + m * kPanel, tile);
      }
    }
    for (int q = 0; q < std::min(p + kRows, tokens); ++q) {
      add_product(chunk.scores[p] + q, kTokens, columns.v[q] + column % kChannels, tile);
    }
    HWY_UNROLL(12)
    for (int m = 0; m < kRows; ++m) {
      if (!kAll && p + m >= tokens) break;
      store_row(tile.at[m][0], tile.at[m][1], N - column, y.bypass, y.first + (p + m) * y.stride + column);
    }
  }

  // S' = w^tokens S + k'^T v for a panel of columns.
  static void advance(int64_t N, const Head* heads, std::byte* memory, int tokens, int64_t column, float* panel,
                      std::byte*, Ahead& ahead) {
    if (tokens == kTokens) {
      advance_tiles<kTokens>(N, heads, memory, column, panel, ahead);
    } else if (tokens > kSub) {
      advance_tiles<kTokens, true>(N, heads, memory, column, panel, ahead);
    } else if (tokens > 1) {
      advance_tiles<kSub, true>(N, heads, memory, column, panel, ahead);
    } else {
      advance_tiles<1, true>(N, heads, memory, column, panel, ahead);
    }
  }

  // kProducts: the tokens that take part, those that do not exist having k' = 0.
  template <int kProducts, bool kLast = false>
  static void advance_tiles(int64_t N, const Head* heads, std::byte* memory, int64_t column, float* panel,
                            Ahead& ahead) {
    const Chunk<kTokens> chunk(memory);
    const float* v = chunk.blocks[column / kChannels].v[0] + column % kChannels;
    for (int64_t i = 0; i < padded(N); i += kKeyRows, panel += kKeyRows * kPanel) {
      const Head& head = heads[i / kChannels];
      const int64_t c = i % kChannels;
      const float* keep = (kLast ? head.last_keep : head.keep) + c;
      const float* gain = (kLast ? head.last_gain : head.gain) + c;
      const float* k = chunk.blocks[i / kChannels].k[0] + c;
      ahead.ask();
      Tile<kKeyRows> tile;
      for (int m = 0; m < kKeyRows; ++m) {
        const Vec kept = broadcast(keep[m]), gained = broadcast(gain[m]);
        for (int j = 0; j < 2; ++j) {
          const Vec state = load_vec(panel + m * kPanel + j * kLanes);
          tile.at[m][j] = hn::MulAdd(gained, state, hn::And(kept, state));
        }
      }
      HWY_UNROLL(12)
      for (int q = 0; q < kProducts; ++q) add_product(k + q * kChannels, 1, v + q * kChannels, tile);
      for (int m = 0; m < kKeyRows; ++m) {
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
     .run =
         [](const Problem& problem, const Wkv5Tensors& tensors, Executor& executor) {
           HWY_DYNAMIC_DISPATCH(run)
           (problem, tensors, executor);
         }}};

}  // namespace
}  // namespace wkv::kernels
#endif
