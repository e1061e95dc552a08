// wkv5 cuda_tensor_core: chunks of L = 16 tokens as products on mma.sync, y = r' S + A v and S' = w^L S + k'^T v, with
//   no power of w that could overflow (tensor_chunk.cuh). bf16 sequences: factors in bf16; f16: in tf32, which has
//   fp32's range; f32: in two parts of tf32, three products for one. Sums and the state are fp32; r', k', A and, for y,
//   the state are rounded to be factors.
// A block of 2 N threads owns a (b, h); a warp 16 value channels j, of the state N rows i in N/2 registers a lane,
//   which are factors as they lie. All warps make r', k' and A inside quarters, one chunk ahead and with one barrier a
//   chunk; each makes the rest of A for itself. Where (b, h) give a scheduler less than a warp, time is cut into
//   segments (segments.cuh), so that four blocks (N=64) are on each multiprocessor: B=1, H=64, T=4096: 8 of 512 tokens.
// Moves r, k, v in once by asynchronous copies, two chunks ahead (f32: one), and y out once in whole sectors; with
//   segments k and v twice, and for each segment a state four times.
// Limit: bandwidth, as counted. At N=64 in bf16 a token and head is 512 bytes, 40 cycles of one of 132 multiprocessors
//   at 3 TB/s. A warp's chunk takes 440 instructions as compiled for sm_90a, 28 cycles a token of four schedulers; 133
//   wavefronts of shared memory, 33; 26 mma of 2048 multiply-adds, 13 at 1024 a cycle. 117 registers and 51 KiB make
//   four blocks, 48 KiB of copies under way. f16 takes 52 mma of half the size and twice the wavefronts; f32, with 156,
//   is limited by them. N=32: eight blocks of two warps; N=128: two of eight.
// Supports N of 32, 64 and 128.
#include "harness/variant.hpp"
#include "kernels/wkv5/segments.cuh"
#include "kernels/wkv5/tensor_chunk.cuh"
#include "kernels/wkv5/wkv5.hpp"

namespace wkv::kernels {
namespace {

// On a multiprocessor of 227 KiB shared memory and 16 warps of up to 128 registers.
template <class Element, int N>
constexpr int kResidentBlocks = std::min<int>(16 / (N / 16),
                                              227 * 1024 / (sizeof(TensorChunkMemory<Element, N>) + 1024));

template <class Element, int N>
__device__ TensorChunkMemory<Element, N>& chunk_memory() {
  extern __shared__ float4 memory[];
  return *reinterpret_cast<TensorChunkMemory<Element, N>*>(memory);
}

// What every segment but the last makes of a state of zero.
template <class Element, int N>
__global__ void __launch_bounds__(2 * N, kResidentBlocks<Element, N>)
    wkv5_tensor_core_states(const Wkv5Tensors tensors, const int T, const int segment_tokens, float* locals) {
  const SegmentPlace place(N, T, segment_tokens);
  TensorChunks<Element, N> kernel{chunk_memory<Element, N>(), place.token_stride};
  kernel.prepare_decay(tensors.w + blockIdx.x * N, nullptr, 0);
  kernel.template run<false>(nullptr, place.of<Element>(tensors.k), place.of<Element>(tensors.v), nullptr,
                             place.tokens);
  kernel.store_state(place.local_state(locals, N));
}

// y of every segment, from the state that it starts from.
template <class Element, int N>
__global__ void __launch_bounds__(2 * N, kResidentBlocks<Element, N>)
    wkv5_tensor_core(const Wkv5Tensors tensors, const int T, const int segment_tokens, const float* starts) {
  const SegmentPlace place(N, T, segment_tokens);
  TensorChunks<Element, N> kernel{chunk_memory<Element, N>(), place.token_stride};
  kernel.prepare_decay(tensors.w + blockIdx.x * N, tensors.u + blockIdx.x * N, place.tokens % kTensorChunk);
  kernel.load_state(place.start_state(tensors.state, starts, N));
  kernel.template run<true>(place.of<Element>(tensors.r), place.of<Element>(tensors.k), place.of<Element>(tensors.v),
                            place.of<Element>(tensors.y), place.tokens);
  if (place.is_last()) kernel.store_state(tensors.state_out + place.head * N * N);
}

std::optional<std::string> unsupported(const Problem& p) {
  if (p.N == 32 || p.N == 64 || p.N == 128) return std::nullopt;
  return "a head size other than 32, 64 and 128";
}

// Calls body(element, size) with a null pointer of the problem's element type and its N as a constant.
template <class Body>
void with_instance(const Problem& p, const Body& body) {
  with_device_element(p.dtype, [&]<class Element>(Element* element) {
    if (p.N == 32) body(element, std::integral_constant<int, 32>());
    if (p.N == 64) body(element, std::integral_constant<int, 64>());
    if (p.N == 128) body(element, std::integral_constant<int, 128>());
  });
}

void launch(const Problem& p, const Wkv5Tensors& tensors, Device& device) {
  with_instance(p, [&]<class Element, int N>(Element*, std::integral_constant<int, N>) {
    const LaunchShape shape{.block = {2 * N}, .dynamic_shared_bytes = sizeof(TensorChunkMemory<Element, N>)};
    launch_segments<N>(p, tensors, device, SegmentPlan(p, kResidentBlocks<Element, N>), shape,
                       wkv5_tensor_core_states<Element, N>, wkv5_tensor_core<Element, N>);
  });
}

size_t extra_bytes(const Problem& p, int) {
  size_t bytes = 0;
  with_instance(p, [&]<class Element, int N>(Element*, std::integral_constant<int, N>) {
    bytes = SegmentPlan(p, kResidentBlocks<Element, N>).starts_bytes(N);
  });
  return bytes;
}

const Registered<Wkv5> variant{{.name = "cuda_tensor_core",
                                .device = DeviceKind::cuda,
                                .dtypes = {DType::f32, DType::bf16, DType::f16},
                                .products = std::nullopt,
                                .unsupported = unsupported,
                                .extra_bytes = extra_bytes,
                                .launch = launch}};

}  // namespace
}  // namespace wkv::kernels
