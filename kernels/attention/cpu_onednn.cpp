// attention cpu_onednn: oneDNN's primitives for a block of queries after the other: matmul, softmax, matmul. The
// library
//   has no attention; the causal mask is put between the first two.
// Parallel as the library sees fit, on OpenMP threads; it gets as many heads at once as there are threads.
// Moves a block's scores, a head's 4 MiB at most for T up to 16384, through L3 five times; k and v in once a block.
// Limit: the FMA rate, or L3's bandwidth; a block's scores are made up to its last query's keys, the causal half
// besides. Supports f32 only.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "harness/variant.hpp"
#include "kernels/attention/attention.hpp"
#include "kernels/onednn.hpp"

namespace wkv::kernels {
namespace {

using Dims = dnnl::memory::dims;

// Queries of a block: as many as its scores have room for.
int64_t rows_of_block(const Problem& p) {
  constexpr int64_t kScores = 1 << 20, kLeast = 64, kMost = 256;
  return std::min(p.new_tokens(), std::clamp(kScores / p.T, kLeast, kMost));
}

int64_t heads_at_once(const Problem& p, int threads) { return std::gcd(p.H, static_cast<int64_t>(threads)); }

size_t extra_bytes(const Problem& p, int threads) {
  return static_cast<size_t>(heads_at_once(p, threads) * rows_of_block(p) * p.T) * sizeof(float);
}

// Some heads' scores of rows against keys, the softmax over them, and their products with v.
class Block {
 public:
  Block(const Problem& p, int64_t heads, int64_t rows, int64_t keys)
      : heads_(heads),
        rows_(rows),
        keys_(keys),
        queries_({heads, rows, p.N}, kType, Dims{p.N, p.channels(), 1}),
        keys_transposed_({heads, p.N, keys}, kType, Dims{p.N, 1, p.channels()}),
        values_({heads, keys, p.N}, kType, Dims{p.N, p.channels(), 1}),
        scores_({heads, rows, keys}, kType, Dims{rows * keys, keys, 1}),
        softmax_({{dnnl::prop_kind::forward_inference, scores_, 2}, Onednn::engine()}) {
    dnnl::primitive_attr scaled;
    scaled.set_output_scales(0, {1 / std::sqrt(static_cast<float>(p.N))});
    score_ = dnnl::matmul({{queries_, keys_transposed_, scores_}, scaled, Onednn::engine()});
    weigh_ = dnnl::matmul({{scores_, values_, queries_}, Onednn::engine()});
  }

  // Addresses of the first head's rows, keys and values.
  void run(Onednn& onednn, const float* q, const float* k, const float* v, float* scores, float* y) const {
    const dnnl::memory of_scores = Onednn::memory(scores_, scores);
    score_.execute(onednn.stream(), {{DNNL_ARG_SRC, Onednn::memory(queries_, q)},
                                     {DNNL_ARG_WEIGHTS, Onednn::memory(keys_transposed_, k)},
                                     {DNNL_ARG_DST, of_scores}});
    onednn.stream().wait();
    mask(scores);
    softmax_.execute(onednn.stream(), {{DNNL_ARG_SRC, of_scores}, {DNNL_ARG_DST, of_scores}});
    weigh_.execute(onednn.stream(), {{DNNL_ARG_SRC, of_scores},
                                     {DNNL_ARG_WEIGHTS, Onednn::memory(values_, v)},
                                     {DNNL_ARG_DST, Onednn::memory(queries_, y)}});
    onednn.stream().wait();
  }

 private:
  static constexpr auto kType = dnnl::memory::data_type::f32;

  // The last row has all keys, the one before it one less.
  void mask(float* scores) const {
    for (int64_t row = 0; row < heads_ * rows_; ++row) {
      float* end = scores + (row + 1) * keys_;
      std::fill(end - (rows_ - 1 - row % rows_), end, -std::numeric_limits<float>::infinity());
    }
  }

  int64_t heads_, rows_, keys_;
  Onednn::Desc queries_, keys_transposed_, values_, scores_;
  dnnl::softmax_forward softmax_;
  dnnl::matmul score_, weigh_;
};

void run(const Problem& p, const AttentionTensors& tensors, Executor& executor) {
  Onednn onednn(executor);
  const int64_t C = p.channels(), queries = p.new_tokens(), heads = heads_at_once(p, executor.threads());
  auto* scores = reinterpret_cast<float*>(executor.scratch(extra_bytes(p, executor.threads())).data());
  const auto at = [](const std::byte* tensor, int64_t offset) {
    return reinterpret_cast<const float*>(tensor) + offset;
  };
  for (int64_t first = 0; first < queries; first += rows_of_block(p)) {
    const int64_t rows = std::min(rows_of_block(p), queries - first), keys = p.T - queries + first + rows;
    const Block block(p, heads, rows, keys);
    for (int64_t b = 0; b < p.B; ++b) {
      for (int64_t h = 0; h < p.H; h += heads) {
        const int64_t query = (b * queries + first) * C + h * p.N, key = b * p.T * C + h * p.N;
        block.run(onednn, at(tensors.q, query), at(tensors.k, key), at(tensors.v, key), scores,
                  reinterpret_cast<float*>(tensors.y) + query);
      }
    }
  }
}

const Registered<Attention> variant{
    {.name = "cpu_onednn", .dtypes = {DType::f32}, .extra_bytes = extra_bytes, .run = run}};

}  // namespace
}  // namespace wkv::kernels
