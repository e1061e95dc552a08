// wkv5 cuda_decode: one token; the definition is applied to every element of the state on its way through a register.
// A block of N^2/16 threads (N=128: 512) owns a (b, h), a thread four value channels j and four neighbouring key
//   channels i (N=128: eight). y is added up over lanes by shuffles, over warps through shared memory.
// Moves the state in and out once, 16 bytes a lane, in rows of 4 N bytes; r, k, v once; w and u for each batch entry.
//   All loads of a thread, 64 bytes (N=128: 128), start before one is used: in 48 registers (64) a multiprocessor has
//   1280 threads (1024), 80 KiB (128) under way. Reading at half of 3 TB/s with 700 ns of latency takes 8 KiB of each.
// Limit: memory bandwidth. Of its FP32 rate an H100 at 3 TB/s needs 5%: 4 instructions for each 8 bytes.
// Supports N of 32, 64 and 128; one token only.
#include "harness/variant.hpp"
#include "kernels/device.cuh"
#include "kernels/wkv5/wkv5.hpp"

namespace wkv::kernels {
namespace {

constexpr unsigned kWholeWarp = 0xffffffffu;

template <int N>
constexpr int kThreads = N == 128 ? 512 : N* N / 16;

template <int N>
struct Token {
  float r[N], k[N], v[N], w[N], u[N];
};

// A block for each head (x) and batch entry (y).
template <class Element, int N>
__global__ void __launch_bounds__(kThreads<N>, (N == 128 ? 1024 : 1280) / kThreads<N>)
    wkv5_decode(const Wkv5Tensors tensors) {
  constexpr int kColumns = N / 4;  // threads side by side on a row of the state
  constexpr int kRows = N * kColumns / kThreads<N>, kWarps = kThreads<N> / 32;
  __shared__ alignas(16) Token<N> token;
  __shared__ alignas(16) float sums[kWarps][N];

  const int64_t head = int64_t{blockIdx.y} * gridDim.x + blockIdx.x;
  const int column = threadIdx.x % kColumns * 4, row = threadIdx.x / kColumns * kRows;
  const int64_t offset = head * N * N + row * N + column;
  float4 state[kRows];
#pragma unroll
  for (int i = 0; i < kRows; ++i) state[i] = load4(tensors.state + offset + i * N);

  if (threadIdx.x < N) {
    const int64_t channel = head * N + threadIdx.x;
    const int parameter = blockIdx.x * N + threadIdx.x;
    token.r[threadIdx.x] = load(reinterpret_cast<const Element*>(tensors.r) + channel);
    token.k[threadIdx.x] = load(reinterpret_cast<const Element*>(tensors.k) + channel);
    token.v[threadIdx.x] = load(reinterpret_cast<const Element*>(tensors.v) + channel);
    token.w[threadIdx.x] = tensors.w[parameter];
    token.u[threadIdx.x] = tensors.u[parameter];
  }
  __syncthreads();

  const float4 v = load4(&token.v[column]);
  float4 y = {};
  const auto step = [&](float4& s, float r, float k, float w, float u) {
    const float4 kv = {k * v.x, k * v.y, k * v.z, k * v.w};
    y.x += r * (s.x + u * kv.x), y.y += r * (s.y + u * kv.y);
    y.z += r * (s.z + u * kv.z), y.w += r * (s.w + u * kv.w);
    s = {w * s.x + kv.x, w * s.y + kv.y, w * s.z + kv.z, w * s.w + kv.w};
  };
#pragma unroll
  for (int i = 0; i < kRows; i += 4) {
    const float4 r = load4(&token.r[row + i]), k = load4(&token.k[row + i]), w = load4(&token.w[row + i]),
                 u = load4(&token.u[row + i]);
    step(state[i], r.x, k.x, w.x, u.x);
    step(state[i + 1], r.y, k.y, w.y, u.y);
    step(state[i + 2], r.z, k.z, w.z, u.z);
    step(state[i + 3], r.w, k.w, w.w, u.w);
  }
#pragma unroll
  for (int i = 0; i < kRows; ++i) store4_last(state[i], tensors.state_out + offset + i * N);

#pragma unroll
  for (int distance = kColumns; distance < 32; distance *= 2) {
    y.x += __shfl_xor_sync(kWholeWarp, y.x, distance), y.y += __shfl_xor_sync(kWholeWarp, y.y, distance);
    y.z += __shfl_xor_sync(kWholeWarp, y.z, distance), y.w += __shfl_xor_sync(kWholeWarp, y.w, distance);
  }
  if (threadIdx.x % 32 < kColumns) store4(y, &sums[threadIdx.x / 32][column]);
  __syncthreads();
  if (threadIdx.x < N) {
    float sum = 0;
#pragma unroll
    for (int warp = 0; warp < kWarps; ++warp) sum += sums[warp][threadIdx.x];
    store(sum, reinterpret_cast<Element*>(tensors.y) + head * N + threadIdx.x);
  }
}

std::optional<std::string> unsupported(const Problem& p) {
  if (p.new_tokens() != 1) return "more than one token";
  if (p.N == 32 || p.N == 64 || p.N == 128) return std::nullopt;
  return "a head size other than 32, 64 and 128";
}

void launch(const Problem& p, const Wkv5Tensors& tensors, Device& device) {
  with_device_element(p.dtype, [&]<class Element>(Element*) {
    const auto run = [&](auto kernel, int threads) {
      const LaunchShape shape{.grid = {static_cast<uint32_t>(p.H), static_cast<uint32_t>(p.B)},
                              .block = {static_cast<uint32_t>(threads)}};
      device.launch(kernel, shape, tensors);
    };
    if (p.N == 32) run(wkv5_decode<Element, 32>, kThreads<32>);
    if (p.N == 64) run(wkv5_decode<Element, 64>, kThreads<64>);
    if (p.N == 128) run(wkv5_decode<Element, 128>, kThreads<128>);
  });
}

const Registered<Wkv5> variant{{.name = "cuda_decode",
                                .device = DeviceKind::cuda,
                                .dtypes = {DType::f32, DType::bf16, DType::f16},
                                .unsupported = unsupported,
                                .launch = launch}};

}  // namespace
}  // namespace wkv::kernels
