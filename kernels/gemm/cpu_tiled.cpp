// gemm cpu_tiled: a matrix product in blocks for L1, L2 and registers, from weights packed on the way.
// Parallel over blocks of 64 outputs, and over parts of the tokens where there are more threads than such blocks.
// Moves x in once, to dense fp32 rows of 256 channels; each weight once for a part of the tokens, widened and
//   transposed, so that 256 x 2 vectors of outputs stay in L1 while 96 tokens in L2 pass; y out once.
// Limit: FMA rate, a tile of 6 x 2 vectors (12 x 2 with 32 registers) in registers; at few tokens the packing.
// Supports everything.
#include <algorithm>

#include "harness/variant.hpp"
#include "kernels/element.hpp"
#include "kernels/gemm/gemm.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gemm/cpu_tiled.cpp"
#include "kernels/simd_targets.hpp"
//
#include <hwy/foreach_target.h>
//
#include "kernels/simd-inl.hpp"
#include "kernels/transpose-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace wkv::kernels::HWY_NAMESPACE {
namespace {

constexpr int kTileTokens = kManyRegisters ? 12 : 6, kTileOutputs = 2 * kLanes;
constexpr int64_t kDepth = 256;              // channels of a slab
constexpr int64_t kRowFloats = kDepth + 16;  // of a packed token, so that a tile's rows lie in different sets of L1
constexpr int64_t kTokens = 96, kOutputs = 64;
static_assert(kTokens % kTileTokens == 0 && kOutputs % kTileOutputs == 0);

int64_t parts(int64_t size, int64_t part) { return (size + part - 1) / part; }

// What a run keeps in scratch memory, in floats: all tokens by slabs and blocks, then each thread's own.
struct Layout {
  Layout(const Problem& p, int threads)
      : slabs(parts(p.channels(), kDepth)),
        blocks(parts(p.B * p.new_tokens(), kTokens)),
        x_floats(slabs * blocks * kTokens * kRowFloats),
        w_floats(slabs * kDepth * kOutputs),
        thread_floats(w_floats + kTokens * kOutputs + kLanes * kDepth),
        bytes(static_cast<size_t>(x_floats + threads * thread_floats) * sizeof(float)) {}

  int64_t slabs, blocks, x_floats, w_floats, thread_floats;
  size_t bytes;
};

// sums[token][output] += x w over one slab, `depth` channels of it. Both are packed: x a row a token, w a pair of
// vectors a channel.
HWY_NOINLINE void tile_product(int64_t depth, const float* x, const float* w, float* sums) {
  Vec sum[kTileTokens][2];
  for (int t = 0; t < kTileTokens; ++t) {
    for (int j = 0; j < 2; ++j) sum[t][j] = load_vec(sums + t * kOutputs + j * kLanes);
  }
  for (int64_t k = 0; k < depth; ++k) {
    const Vec w0 = load_vec(w + k * kTileOutputs), w1 = load_vec(w + k * kTileOutputs + kLanes);
    HWY_UNROLL(12)
    for (int t = 0; t < kTileTokens; ++t) {
      const Vec token = broadcast(x[t * kRowFloats + k]);
      sum[t][0] = hn::MulAdd(token, w0, sum[t][0]);
      sum[t][1] = hn::MulAdd(token, w1, sum[t][1]);
    }
  }
  for (int t = 0; t < kTileTokens; ++t) {
    for (int j = 0; j < 2; ++j) store_vec(sum[t][j], sums + t * kOutputs + j * kLanes);
  }
}

template <class Element>
class Product {
 public:
  Product(const Problem& p, const GemmTensors& tensors, Executor& executor)
      : K_(p.channels()),
        M_(Gemm::outputs(p)),
        tokens_(p.B * p.new_tokens()),
        x_(reinterpret_cast<const Element*>(tensors.x)),
        w_(reinterpret_cast<const Element*>(tensors.w)),
        y_(reinterpret_cast<Element*>(tensors.y)),
        executor_(executor),
        layout_(p, executor.threads()),
        packed_(reinterpret_cast<float*>(executor.scratch(layout_.bytes).data())) {}

  void run() {
    executor_.parallel_for(layout_.slabs * layout_.blocks,
                           [&](int64_t task, int) { pack_tokens(task % layout_.slabs, task / layout_.slabs); });
    const int64_t columns = parts(M_, kOutputs);
    const int64_t rows = std::clamp<int64_t>(parts(2 * executor_.threads(), columns), 1, layout_.blocks);
    executor_.parallel_for(columns * rows, [&](int64_t task, int thread) {
      const int64_t first = task % columns * kOutputs, row = task / columns;
      float* own = packed_ + layout_.x_floats + thread * layout_.thread_floats;
      pack_weights(first, own, own + layout_.w_floats + kTokens * kOutputs);
      for (int64_t block = row * layout_.blocks / rows; block < (row + 1) * layout_.blocks / rows; ++block) {
        multiply(block, first, own, own + layout_.w_floats);
      }
    });
  }

 private:
  int64_t depth(int64_t slab) const { return std::min(kDepth, K_ - slab * kDepth); }
  float* token_block(int64_t slab, int64_t block) const {
    return packed_ + (block * layout_.slabs + slab) * kTokens * kRowFloats;
  }

  void pack_tokens(int64_t slab, int64_t block) const {
    float* to = token_block(slab, block);
    const int64_t here = std::min(kTokens, tokens_ - block * kTokens);
    for (int64_t t = 0; t < here; ++t, to += kRowFloats) {
      tiled::load_rows(depth(slab), 1, x_ + (block * kTokens + t) * K_ + slab * kDepth, K_, to);
    }
    const int64_t whole = parts(here, kTileTokens) * kTileTokens;
    std::fill(to, to + (whole - here) * kRowFloats, 0.0f);
  }

  // [slab][pair of vectors][channel][output of the pair]; outputs beyond the last one are zero.
  void pack_weights(int64_t first, float* to, float* rows) const {
    for (int64_t slab = 0; slab < layout_.slabs; ++slab) {
      const int64_t channels = depth(slab), row_floats = tiled::padded(channels);
      for (int64_t m = 0; m < kOutputs; m += kLanes) {
        const int64_t here = std::clamp<int64_t>(M_ - first - m, 0, kLanes);
        tiled::load_rows(channels, here, w_ + (first + m) * K_ + slab * kDepth, K_, rows);
        std::fill(rows + here * row_floats, rows + kLanes * row_floats, 0.0f);
        float* lanes = to + (slab * kOutputs + m / kTileOutputs * kTileOutputs) * kDepth + m % kTileOutputs;
        tiled::rows_to_lanes(channels, rows, 1, lanes, kTileOutputs);
      }
    }
  }

  // A block of tokens times the packed outputs.
  void multiply(int64_t block, int64_t first, const float* w, float* sums) const {
    const int64_t here = std::min(kTokens, tokens_ - block * kTokens), outputs = std::min(kOutputs, M_ - first);
    std::fill(sums, sums + kTokens * kOutputs, 0.0f);
    for (int64_t slab = 0; slab < layout_.slabs; ++slab) {
      for (int64_t m = 0; m < outputs; m += kTileOutputs) {
        for (int64_t t = 0; t < here; t += kTileTokens) {
          tile_product(depth(slab), token_block(slab, block) + t * kRowFloats, w + (slab * kOutputs + m) * kDepth,
                       sums + t * kOutputs + m);
        }
      }
    }
    for (int64_t t = 0; t < here; ++t) {
      Element* to = y_ + (block * kTokens + t) * M_ + first;
      int64_t m = 0;
      for (; m + kLanes <= outputs; m += kLanes) store_vec(load_vec(sums + t * kOutputs + m), to + m);
      for (; m < outputs; ++m) store(sums[t * kOutputs + m], to + m);
    }
  }

  int64_t K_, M_, tokens_;
  const Element* x_;
  const Element* w_;
  Element* y_;
  Executor& executor_;
  Layout layout_;
  float* packed_;
};

void run(const Problem& problem, const GemmTensors& tensors, Executor& executor) {
  with_element_type(problem.dtype,
                    [&]<class Element>(Element*) { Product<Element>(problem, tensors, executor).run(); });
}

size_t extra_bytes(const Problem& p, int threads) { return Layout(p, threads).bytes; }

}  // namespace
}  // namespace wkv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wkv::kernels {
namespace {

HWY_EXPORT(run);
HWY_EXPORT(extra_bytes);

void run_here(const Problem& problem, const GemmTensors& tensors, Executor& executor) {
  HWY_DYNAMIC_DISPATCH(run)(problem, tensors, executor);
}

size_t extra_bytes_here(const Problem& p, int threads) { return HWY_DYNAMIC_DISPATCH(extra_bytes)(p, threads); }

const Registered<Gemm> variant{{.name = "cpu_tiled", .extra_bytes = extra_bytes_here, .run = run_here}};

}  // namespace
}  // namespace wkv::kernels
#endif
