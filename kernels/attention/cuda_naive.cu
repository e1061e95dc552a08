// attention cuda_naive: scores, softmax and weighted sum as three plain kernels, to be read.
// Scores: a thread for a pair of query and key. Softmax: a block for a query, its maximum and sum by CUB. Weighted sum:
//   a thread for a channel of a query.
// Moves the scores through memory three times, T^2 floats a (b, h), the causal half of them used; k and v come from the
//   caches again for each query.
// Limit: memory, and loads of k and v.
// Supports everything that fits in memory.
#include <cub/block/block_reduce.cuh>

#include "harness/variant.hpp"
#include "kernels/attention/attention.hpp"
#include "kernels/device.cuh"

namespace wkv::kernels {
namespace {

constexpr int kThreads = 128;

// Where a (b, h) is in q and y, and in k and v; and how many keys a query sees.
struct Shape {
  int T, queries, H, N;
  __device__ int64_t query(int t) const { return ((int64_t{blockIdx.z} / H * queries + t) * H + blockIdx.z % H) * N; }
  __device__ int64_t key(int t) const { return ((int64_t{blockIdx.z} / H * T + t) * H + blockIdx.z % H) * N; }
  __device__ int context(int query) const { return T - queries + query + 1; }
  __device__ float* scores(float* all, int query) const { return all + (int64_t{blockIdx.z} * queries + query) * T; }
};

// A block for 128 keys (x) of a query (y) of a head (z).
template <class Element>
__global__ void __launch_bounds__(kThreads)
    attention_scores(const AttentionTensors tensors, const Shape shape, float* scores) {
  const int query = blockIdx.y, key = blockIdx.x * kThreads + threadIdx.x;
  if (key >= shape.context(query)) return;
  const Element* q = reinterpret_cast<const Element*>(tensors.q) + shape.query(query);
  const Element* k = reinterpret_cast<const Element*>(tensors.k) + shape.key(key);
  float sum = 0;
  for (int n = 0; n < shape.N; ++n) sum += load(q + n) * load(k + n);
  shape.scores(scores, query)[key] = sum * rsqrtf(static_cast<float>(shape.N));
}

// A block for a query (y) of a head (z).
__global__ void __launch_bounds__(kThreads) attention_softmax(const Shape shape, float* scores) {
  using Reduce = cub::BlockReduce<float, kThreads>;
  __shared__ typename Reduce::TempStorage storage[2];
  __shared__ float shared;
  const int query = blockIdx.y, context = shape.context(query);
  float* row = shape.scores(scores, query);
  float largest = -INFINITY, sum = 0;
  for (int key = threadIdx.x; key < context; key += kThreads) largest = fmaxf(largest, row[key]);
  largest = Reduce(storage[0]).Reduce(largest, [](float a, float b) { return fmaxf(a, b); });
  if (threadIdx.x == 0) shared = largest;
  __syncthreads();
  largest = shared;
  for (int key = threadIdx.x; key < context; key += kThreads) sum += row[key] = expf(row[key] - largest);
  sum = Reduce(storage[1]).Sum(sum);
  __syncthreads();
  if (threadIdx.x == 0) shared = sum;
  __syncthreads();
  for (int key = threadIdx.x; key < context; key += kThreads) row[key] /= shared;
}

// A block for 128 channels (x) of a query (y) of a head (z).
template <class Element>
__global__ void __launch_bounds__(kThreads)
    attention_weighted_sum(const AttentionTensors tensors, const Shape shape, float* scores) {
  const int query = blockIdx.y, channel = blockIdx.x * kThreads + threadIdx.x, context = shape.context(query);
  if (channel >= shape.N) return;
  const float* row = shape.scores(scores, query);
  const Element* v = reinterpret_cast<const Element*>(tensors.v) + channel;
  float sum = 0;
  for (int key = 0; key < context; ++key) sum += row[key] * load(v + shape.key(key));
  store(sum, reinterpret_cast<Element*>(tensors.y) + shape.query(query) + channel);
}

constexpr int64_t kLargestGrid = 65535;  // in y and z

std::optional<std::string> unsupported(const Problem& p) {
  if (p.new_tokens() > kLargestGrid || p.B * p.H > kLargestGrid) return "more than 65535 queries, or heads in a batch";
  return std::nullopt;
}

size_t extra_bytes(const Problem& p, int) {
  return static_cast<size_t>(p.B * p.H * p.new_tokens() * p.T) * sizeof(float);
}

void launch(const Problem& p, const AttentionTensors& tensors, Device& device) {
  const Shape shape{.T = static_cast<int>(p.T),
                    .queries = static_cast<int>(p.new_tokens()),
                    .H = static_cast<int>(p.H),
                    .N = static_cast<int>(p.N)};
  auto* scores = reinterpret_cast<float*>(device.scratch(extra_bytes(p, 1)));
  const auto grid = [&](int64_t threads) {
    return LaunchShape{.grid = {static_cast<uint32_t>((threads + kThreads - 1) / kThreads),
                                static_cast<uint32_t>(p.new_tokens()), static_cast<uint32_t>(p.B * p.H)},
                       .block = {kThreads}};
  };
  with_device_element(p.dtype, [&]<class Element>(Element*) {
    device.launch(attention_scores<Element>, grid(p.T), tensors, shape, scores);
    device.launch(attention_softmax, grid(1), shape, scores);
    device.launch(attention_weighted_sum<Element>, grid(p.N), tensors, shape, scores);
  });
}

const Registered<Attention> variant{{.name = "cuda_naive",
                                     .device = DeviceKind::cuda,
                                     .dtypes = {DType::f32, DType::bf16, DType::f16},
                                     .unsupported = unsupported,
                                     .extra_bytes = extra_bytes,
                                     .launch = launch}};

}  // namespace
}  // namespace wkv::kernels
