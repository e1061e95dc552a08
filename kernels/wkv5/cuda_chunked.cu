// wkv5 cuda_chunked: chunks of L = 8 tokens as matrix products in fp32, y = [r' A] [S; v] and S' = w^L S + k'^T v, with
//   no power of w that could overflow (chunk.cuh).
// A block of N threads owns a (b, h): eight neighbouring lanes eight value channels j, each of them N/8 of the key
//   channels i, N floats of the state in registers, and one of the chunk's rows of v. They add up y by 7 shuffles for 8
//   sums. Where (b, h) give a scheduler less than a warp, time is cut into segments: wkv5_segment_states makes of each
//   its final state from a state of zero, wkv5_chain_segments or, of a hundred and more, wkv5_scan_segments the states
//   that all start from (segment_scan.cuh), wkv5_chunked the outputs. B=1, H=1, T=65536, N=64: 683 of 96 tokens.
// Moves r, k, v in once by asynchronous copies, a tile of 16 tokens (N=128: 8) while the other is used, and y out once;
//   with segments k and v twice, and for each segment a state four times: 16 N^2 bytes beside its 6 N elements a token.
// Limit: instructions. At N=64 a token and head takes two warps 229 each, as compiled for sm_90a: 72 for y, 64 for S'
//   and 8 of its decay are FMAs of the products, 20 sum up, 37 prepare r', k' and A. That is 115 cycles of a
//   multiprocessor (cuda_serial: 138) and 89 of shared memory; 3 TB/s would take 76 in fp32 and 38 in 16 bits. A
//   segment's state adds 51. 168 registers and 37 KiB make six blocks of two warps; N=32: twelve of one; N=128: two of
//   four, in 226.
// Supports N of 32, 64 and 128.
#include <algorithm>

#include "harness/variant.hpp"
#include "kernels/wkv5/chunk.cuh"
#include "kernels/wkv5/segment_scan.cuh"
#include "kernels/wkv5/wkv5.hpp"

namespace wkv::kernels {
namespace {

// Of N threads, on a multiprocessor, by registers and shared memory.
constexpr int resident_blocks(int64_t N) { return N == 32 ? 12 : N == 64 ? 6 : 2; }

// How the sequence is cut. Heads that do not fill the device are cut in time too, into segments that fill it once.
struct Plan {
  static constexpr int64_t kMultiprocessors = 132;  // of an H100; fixed, so that the scratch memory is known anywhere

  int64_t heads, segments;
  int64_t segment_tokens;  // of all segments but the last

  explicit Plan(const Problem& p) : heads(p.B * p.H), segments(1), segment_tokens(p.new_tokens()) {
    if (heads * p.N / 32 < 4 * kMultiprocessors) {  // less than a warp for each scheduler
      // Shorter ones would move more for their states than for their tokens.
      const int64_t shortest = std::max<int64_t>(p.N, 64), tile = kChunkTileTokens<32>;
      segments = std::clamp<int64_t>(p.new_tokens() / shortest, 1, kMultiprocessors * resident_blocks(p.N) / heads);
      segment_tokens = (p.new_tokens() + segments * tile - 1) / (segments * tile) * tile;
      segments = (p.new_tokens() + segment_tokens - 1) / segment_tokens;
    }
  }
  size_t starts_bytes(int64_t N) const { return static_cast<size_t>(heads * (segments - 1) * N * N) * sizeof(float); }
};

// A block's place: head (x) of a batch entry (y), and segment (z).
struct Place {
  int64_t head, token_stride, first_element;
  int tokens;

  __device__ Place(int N, int T, int segment_tokens)
      : head(int64_t{blockIdx.y} * gridDim.x + blockIdx.x),
        token_stride(int64_t{gridDim.x} * N),
        first_element((int64_t{blockIdx.y} * T + blockIdx.z * segment_tokens) * token_stride + blockIdx.x * N),
        tokens(min(T - static_cast<int>(blockIdx.z) * segment_tokens, segment_tokens)) {}
};

// What every segment but the last makes of a state of zero.
template <class Element, int N>
__global__ void __launch_bounds__(N, resident_blocks(N))
    wkv5_segment_states(const Wkv5Tensors tensors, const int T, const int segment_tokens, float* locals) {
  __shared__ ChunkMemory<Element, N> shared;
  const Place place(N, T, segment_tokens);
  Chunked<Element, N> kernel{shared, place.token_stride};
  kernel.prepare_decay(tensors.w[blockIdx.x * N + threadIdx.x], 0, 0);
  kernel.template run<false>(nullptr, reinterpret_cast<const Element*>(tensors.k) + place.first_element,
                             reinterpret_cast<const Element*>(tensors.v) + place.first_element, nullptr, place.tokens);
  kernel.store_state(locals + (place.head * gridDim.z + blockIdx.z) * N * N);
}

// y of every segment, from the state that it starts from.
template <class Element, int N>
__global__ void __launch_bounds__(N, resident_blocks(N))
    wkv5_chunked(const Wkv5Tensors tensors, const int T, const int segment_tokens, const float* starts) {
  __shared__ ChunkMemory<Element, N> shared;
  const Place place(N, T, segment_tokens);
  Chunked<Element, N> kernel{shared, place.token_stride};
  const int parameter = blockIdx.x * N + threadIdx.x;
  kernel.prepare_decay(tensors.w[parameter], tensors.u[parameter], place.tokens % kChunk);
  const int64_t segment = blockIdx.z;
  kernel.load_state(segment == 0 ? tensors.state + place.head * N * N
                                 : starts + (place.head * (gridDim.z - 1) + segment - 1) * N * N);
  kernel.template run<true>(reinterpret_cast<const Element*>(tensors.r) + place.first_element,
                            reinterpret_cast<const Element*>(tensors.k) + place.first_element,
                            reinterpret_cast<const Element*>(tensors.v) + place.first_element,
                            reinterpret_cast<Element*>(tensors.y) + place.first_element, place.tokens);
  if (segment == gridDim.z - 1) kernel.store_state(tensors.state_out + place.head * N * N);
}

template <class Element, int N>
void launch_kernels(const Problem& p, const Wkv5Tensors& tensors, Device& device) {
  const Plan plan(p);
  const auto T = static_cast<int>(p.new_tokens()), segment_tokens = static_cast<int>(plan.segment_tokens);
  LaunchShape shape{.grid = {static_cast<uint32_t>(p.H), static_cast<uint32_t>(p.B)}, .block = {N}};
  float* starts = nullptr;
  if (plan.segments > 1) {
    const auto count = static_cast<int>(plan.segments - 1);
    starts = reinterpret_cast<float*>(device.scratch(plan.starts_bytes(N)));
    shape.grid.z = static_cast<uint32_t>(count);
    device.launch(wkv5_segment_states<Element, N>, shape, tensors, T, segment_tokens, starts);
    // A thread that chains segments has a few thousand beside it for each head; only a hundred and more are worth a
    // scan.
    const bool chained = count < 128;
    const auto heads = static_cast<uint32_t>(plan.heads);
    const LaunchShape chain{.grid = {N * N / (4 * kChainThreads), heads}, .block = {kChainThreads}};
    const LaunchShape scan{.grid = {N * N / 8, heads}, .block = {kScanThreads}};
    device.launch(chained ? wkv5_chain_segments<N> : wkv5_scan_segments<N>, chained ? chain : scan, tensors.w,
                  tensors.state, starts, static_cast<int>(p.H), count, segment_tokens);
  }
  shape.grid.z = static_cast<uint32_t>(plan.segments);
  device.launch(wkv5_chunked<Element, N>, shape, tensors, T, segment_tokens, starts);
}

std::optional<std::string> unsupported(const Problem& p) {
  if (p.N == 32 || p.N == 64 || p.N == 128) return std::nullopt;
  return "a head size other than 32, 64 and 128";
}

void launch(const Problem& p, const Wkv5Tensors& tensors, Device& device) {
  with_device_element(p.dtype, [&]<class Element>(Element*) {
    if (p.N == 32) launch_kernels<Element, 32>(p, tensors, device);
    if (p.N == 64) launch_kernels<Element, 64>(p, tensors, device);
    if (p.N == 128) launch_kernels<Element, 128>(p, tensors, device);
  });
}

size_t extra_bytes(const Problem& p, int) { return Plan(p).starts_bytes(p.N); }

const Registered<Wkv5> variant{{.name = "cuda_chunked",
                                .device = DeviceKind::cuda,
                                .dtypes = {DType::f32, DType::bf16, DType::f16},
                                .unsupported = unsupported,
                                .extra_bytes = extra_bytes,
                                .launch = launch}};

}  // namespace
}  // namespace wkv::kernels
