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
#include "harness/variant.hpp"
#include "kernels/wkv5/chunk.cuh"
#include "kernels/wkv5/segments.cuh"
#include "kernels/wkv5/wkv5.hpp"

namespace wkv::kernels {
namespace {

// Of N threads, on a multiprocessor, by registers and shared memory.
constexpr int resident_blocks(int64_t N) { return N == 32 ? 12 : N == 64 ? 6 : 2; }

// What every segment but the last makes of a state of zero.
template <class Element, int N>
__global__ void __launch_bounds__(N, resident_blocks(N))
    wkv5_segment_states(const Wkv5Tensors tensors, const int T, const int segment_tokens, float* locals) {
  __shared__ ChunkMemory<Element, N> shared;
  const SegmentPlace place(N, T, segment_tokens);
  Chunked<Element, N> kernel{shared, place.token_stride};
  kernel.prepare_decay(tensors.w[blockIdx.x * N + threadIdx.x], 0, 0);
  kernel.template run<false>(nullptr, place.of<Element>(tensors.k), place.of<Element>(tensors.v), nullptr,
                             place.tokens);
  kernel.store_state(place.local_state(locals, N));
}

// y of every segment, from the state that it starts from.
template <class Element, int N>
__global__ void __launch_bounds__(N, resident_blocks(N))
    wkv5_chunked(const Wkv5Tensors tensors, const int T, const int segment_tokens, const float* starts) {
  __shared__ ChunkMemory<Element, N> shared;
  const SegmentPlace place(N, T, segment_tokens);
  Chunked<Element, N> kernel{shared, place.token_stride};
  const int parameter = blockIdx.x * N + threadIdx.x;
  kernel.prepare_decay(tensors.w[parameter], tensors.u[parameter], place.tokens % kChunk);
  kernel.load_state(place.start_state(tensors.state, starts, N));
  kernel.template run<true>(place.of<Element>(tensors.r), place.of<Element>(tensors.k), place.of<Element>(tensors.v),
                            place.of<Element>(tensors.y), place.tokens);
  if (place.is_last()) kernel.store_state(tensors.state_out + place.head * N * N);
}

std::optional<std::string> unsupported(const Problem& p) {
  if (p.N == 32 || p.N == 64 || p.N == 128) return std::nullopt;
  return "a head size other than 32, 64 and 128";
}

template <class Element, int N>
void launch_size(const Problem& p, const Wkv5Tensors& tensors, Device& device) {
  launch_segments<N>(p, tensors, device, SegmentPlan(p, resident_blocks(N)), {.block = {N}},
                     wkv5_segment_states<Element, N>, wkv5_chunked<Element, N>);
}

void launch(const Problem& p, const Wkv5Tensors& tensors, Device& device) {
  with_device_element(p.dtype, [&]<class Element>(Element*) {
    if (p.N == 32) launch_size<Element, 32>(p, tensors, device);
    if (p.N == 64) launch_size<Element, 64>(p, tensors, device);
    if (p.N == 128) launch_size<Element, 128>(p, tensors, device);
  });
}

size_t extra_bytes(const Problem& p, int) { return SegmentPlan(p, resident_blocks(p.N)).starts_bytes(p.N); }

const Registered<Wkv5> variant{{.name = "cuda_chunked",
                                .device = DeviceKind::cuda,
                                .dtypes = {DType::f32, DType::bf16, DType::f16},
                                .unsupported = unsupported,
                                .extra_bytes = extra_bytes,
                                .launch = launch}};

}  // namespace
}  // namespace wkv::kernels
