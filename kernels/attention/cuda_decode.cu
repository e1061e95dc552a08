// attention cuda_decode: one query against a cache of T keys and values, the cache split over blocks (split-K).
// A block of four warps owns a piece of the cache of a (b, h); in a warp, lanes side by side have four channels each of
//   a key and the 128 / N keys beside it; they add up scores by shuffles. A lane keeps the running maximum, the sum of
//   exponentials and four channels of y for the keys that it saw; lanes, warps and, by a second kernel, blocks are
//   joined in the end: (m, s, y) with (m', s', y') is (M, s e^(m-M) + s' e^(m'-M), likewise y), M = max(m, m').
// Moves k and v in once, in whole rows; for each piece N + 2 floats out and in.
// Limit: memory bandwidth. Four keys a lane are on their way at a time.
// Supports N of 32, 64 and 128; decode only.
#include <algorithm>

#include "harness/variant.hpp"
#include "kernels/attention/attention.hpp"
#include "kernels/device.cuh"

namespace wkv::kernels {
namespace {

constexpr int kWarps = 4, kThreads = 32 * kWarps, kAhead = 4;
constexpr unsigned kWholeWarp = 0xffffffffu;

// A weighted sum of values so far: exponentials are relative to e^largest, to the base of two.
struct Sum {
  float largest = -INFINITY, total = 0;
  float4 y = {};

  __device__ void shrink_to(float most) {
    const float factor = largest == -INFINITY ? 0 : exp2f(largest - most);  // nothing was seen yet
    largest = most, total *= factor;
    y = {factor * y.x, factor * y.y, factor * y.z, factor * y.w};
  }
  __device__ void add(float score, float4 v) {
    const float p = exp2f(score - largest);
    total += p;
    y = {y.x + p * v.x, y.y + p * v.y, y.z + p * v.z, y.w + p * v.w};
  }
  __device__ void join(Sum other) {
    const float most = fmaxf(largest, other.largest);
    if (most == -INFINITY) return;
    shrink_to(most), other.shrink_to(most);
    total += other.total;
    y = {y.x + other.y.x, y.y + other.y.y, y.z + other.y.z, y.w + other.y.w};
  }
};

inline __device__ Sum of_lane_xor(const Sum& sum, int lanes) {
  const auto exchange = [&](float value) { return __shfl_xor_sync(kWholeWarp, value, lanes); };
  return {exchange(sum.largest),
          exchange(sum.total),
          {exchange(sum.y.x), exchange(sum.y.y), exchange(sum.y.z), exchange(sum.y.w)}};
}

template <class Element>
__device__ void store4_of(float4 value, Element* to) {
  store2(float2{value.x, value.y}, to);
  store2(float2{value.z, value.w}, to + 2);
}
inline __device__ void store4_of(float4 value, float* to) { store4_whole(value, to); }

// A block for a piece (x) of `keys` keys, of a head (y) and batch entry (z). partial: (b, h, piece) rows of y, then of
// largest and total.
template <class Element, int N>
__global__ void __launch_bounds__(kThreads)
    attention_decode(const AttentionTensors tensors, const int T, const int keys, float* partial) {
  constexpr int kRowLanes = N / 4, kRows = 32 / kRowLanes, kStep = kRows * kWarps * kAhead;
  __shared__ alignas(16) float4 shared_y[kWarps][kRowLanes];
  __shared__ float2 shared_sums[kWarps];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, channel = lane % kRowLanes * 4;
  const int64_t stride = int64_t{gridDim.y} * N, head = int64_t{blockIdx.z} * gridDim.y + blockIdx.y;
  const int64_t cache = int64_t{blockIdx.z} * T * stride + blockIdx.y * N + channel;
  const Element* k = reinterpret_cast<const Element*>(tensors.k) + cache;
  const Element* v = reinterpret_cast<const Element*>(tensors.v) + cache;
  const float scale = 1.44269504f * rsqrtf(static_cast<float>(N));
  float4 q = load4(reinterpret_cast<const Element*>(tensors.q) + head * N + channel);
  q = {scale * q.x, scale * q.y, scale * q.z, scale * q.w};

  Sum sum;
  const int end = min((static_cast<int>(blockIdx.x) + 1) * keys, T);
  for (int first = blockIdx.x * keys; first < end; first += kStep) {
    float4 k_rows[kAhead] = {}, v_rows[kAhead] = {};
    float scores[kAhead];
    const int own = first + warp * kRows * kAhead + lane / kRowLanes;
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      if (own + i * kRows < end) {
        k_rows[i] = load4(k + (own + i * kRows) * stride);
        v_rows[i] = load4(v + (own + i * kRows) * stride);
      }
    }
    float most = sum.largest;
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      float score = q.x * k_rows[i].x + q.y * k_rows[i].y + q.z * k_rows[i].z + q.w * k_rows[i].w;
#pragma unroll
      for (int lanes = 1; lanes < kRowLanes; lanes *= 2) score += __shfl_xor_sync(kWholeWarp, score, lanes);
      scores[i] = own + i * kRows < end ? score : -INFINITY;
      most = fmaxf(most, scores[i]);
    }
    if (most == -INFINITY) continue;
    sum.shrink_to(most);
#pragma unroll
    for (int i = 0; i < kAhead; ++i) sum.add(scores[i], v_rows[i]);
  }

#pragma unroll
  for (int lanes = kRowLanes; lanes < 32; lanes *= 2) sum.join(of_lane_xor(sum, lanes));
  if (lane < kRowLanes) shared_y[warp][lane] = sum.y;
  if (lane == 0) shared_sums[warp] = {sum.largest, sum.total};
  __syncthreads();
  if (threadIdx.x >= kRowLanes) return;
  for (int other = 1; other < kWarps; ++other) {
    sum.join({shared_sums[other].x, shared_sums[other].y, shared_y[other][lane]});
  }
  const int64_t piece = head * gridDim.x + blockIdx.x;
  if (gridDim.x == 1) {
    const float inverse = 1 / sum.total;
    store4_of({sum.y.x * inverse, sum.y.y * inverse, sum.y.z * inverse, sum.y.w * inverse},
              reinterpret_cast<Element*>(tensors.y) + head * N + channel);
    return;
  }
  store4_whole(sum.y, partial + piece * N + channel);
  float* sums = partial + int64_t{gridDim.z} * gridDim.y * gridDim.x * N + piece * 2;
  if (lane == 0) store2(float2{sum.largest, sum.total}, sums);
}

// A block of N/4 threads for each head (x), which joins its pieces.
template <class Element, int N>
__global__ void __launch_bounds__(N / 4)
    attention_join(const AttentionTensors tensors, const int pieces, const float* partial) {
  const int64_t head = blockIdx.x;
  const float* sums = partial + int64_t{gridDim.x} * pieces * N + head * pieces * 2;
  Sum sum;
  for (int piece = 0; piece < pieces; ++piece) {
    const float2 of_piece = load2(sums + 2 * piece);
    sum.join({of_piece.x, of_piece.y, load4(partial + (head * pieces + piece) * N + 4 * threadIdx.x)});
  }
  const float inverse = 1 / sum.total;
  store4_of({sum.y.x * inverse, sum.y.y * inverse, sum.y.z * inverse, sum.y.w * inverse},
            reinterpret_cast<Element*>(tensors.y) + head * N + 4 * threadIdx.x);
}

// How the cache is cut: so that blocks fill the device a few times, none with fewer than 256 keys.
struct Plan {
  static constexpr int64_t kMultiprocessors = 132, kBlocks = 8;  // of an H100; fixed, so that the scratch is known
  int64_t keys, pieces;

  explicit Plan(const Problem& p) {
    const int64_t wanted = std::max<int64_t>(kMultiprocessors * kBlocks / (p.B * p.H), 1);
    keys = std::max<int64_t>((p.T + wanted - 1) / wanted, 256);
    pieces = (p.T + keys - 1) / keys;
  }
  size_t bytes(const Problem& p) const {
    return pieces == 1 ? 0 : static_cast<size_t>(p.B * p.H * pieces * (p.N + 2)) * sizeof(float);
  }
};

std::optional<std::string> unsupported(const Problem& p) {
  if (p.mode != Mode::decode) return "prefill";
  if (p.N == 32 || p.N == 64 || p.N == 128) return std::nullopt;
  return "a head size other than 32, 64 and 128";
}

void launch(const Problem& p, const AttentionTensors& tensors, Device& device) {
  const Plan plan(p);
  auto* partial = plan.pieces == 1 ? nullptr : reinterpret_cast<float*>(device.scratch(plan.bytes(p)));
  const auto pieces = static_cast<uint32_t>(plan.pieces);
  with_device_element(p.dtype, [&]<class Element>(Element*) {
    const auto run = [&]<int N>(std::integral_constant<int, N>) {
      device.launch(attention_decode<Element, N>,
                    {.grid = {pieces, static_cast<uint32_t>(p.H), static_cast<uint32_t>(p.B)}, .block = {kThreads}},
                    tensors, static_cast<int>(p.T), static_cast<int>(plan.keys), partial);
      if (pieces == 1) return;
      device.launch(attention_join<Element, N>, {.grid = {static_cast<uint32_t>(p.B * p.H)}, .block = {N / 4}}, tensors,
                    static_cast<int>(plan.pieces), partial);
    };
    if (p.N == 32) run(std::integral_constant<int, 32>());
    if (p.N == 64) run(std::integral_constant<int, 64>());
    if (p.N == 128) run(std::integral_constant<int, 128>());
  });
}

const Registered<Attention> variant{{.name = "cuda_decode",
                                     .device = DeviceKind::cuda,
                                     .dtypes = {DType::f32, DType::bf16, DType::f16},
                                     .unsupported = unsupported,
                                     .extra_bytes = [](const Problem& p, int) { return Plan(p).bytes(p); },
                                     .launch = launch}};

}  // namespace
}  // namespace wkv::kernels
