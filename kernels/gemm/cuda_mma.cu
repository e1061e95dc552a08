// gemm cuda_mma: tiles of 128 tokens x 128 outputs by mma.sync m16n8k16 on bf16 or f16, sums in fp32.
// A block of eight warps owns a tile, a warp 64 x 32 of it in 64 accumulators a lane.
// Moves x once for every 128 outputs and w once for every 128 tokens, by asynchronous copies of 32 channels into three
//   stages of shared memory (48 KiB), two of them under way; from there by ldmatrix, a row's pieces of 16 bytes in an
//   order that keeps eight rows, and two whole ones, in different banks; y out once, in half sectors.
// Limit: the rate of mma.sync, which is below wgmma's on Hopper; at few tokens the bandwidth of the weights.
// Supports bf16 and f16, hidden sizes that are multiples of 32 and an even number of outputs.
#include "harness/variant.hpp"
#include "kernels/device.cuh"
#include "kernels/gemm/gemm.hpp"

namespace wkv::kernels {
namespace {

constexpr int kTile = 128, kDepth = 32, kStages = 3, kThreads = 256;

// Where eight channels from k on of a row lie.
inline __device__ int place(int row, int k) { return row * kDepth + (k / 8 ^ row / 2 % 4) * 8; }

template <class Element>
struct Stage {
  Element x[kTile * kDepth], w[kTile * kDepth];
};

inline __device__ void load_matrices(const void* row, unsigned (&to)[4]) {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(address)
               : "memory");
}

// sum += a b for 16 tokens, 8 outputs and 16 channels.
inline __device__ void multiply(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, __nv_bfloat16) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
inline __device__ void multiply(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, __half) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Starts the copy of up to 128 rows of 32 channels; rows beyond are filled with zeros.
template <class Element>
__device__ void start_copy(const Element* from, int rows, int C, Element* to) {
  constexpr int kPiece = 16 / sizeof(Element), kPieces = kDepth / kPiece;
#pragma unroll
  for (int i = threadIdx.x; i < kTile * kPieces; i += kThreads) {
    const int row = i / kPieces, k = i % kPieces * kPiece;
    const bool valid = row < rows;
    __pipeline_memcpy_async(to + place(row, k), valid ? from + int64_t{row} * C + k : from, 16, valid ? 0 : 16);
  }
}

template <class Element>
__device__ void add_products(const Stage<Element>& stage, int first_token, int first_row, float (&sum)[4][4][4]) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int k = 0; k < kDepth; k += 16) {
    unsigned a[4][4], b[2][4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {  // 16 tokens x 16 channels: lower and upper tokens, then the other eight channels
      load_matrices(&stage.x[place(first_token + 16 * i + lane % 16, k + lane / 16 * 8)], a[i]);
    }
#pragma unroll
    for (int j = 0; j < 2; ++j) {  // 16 outputs x 16 channels: both halves of channels, then the other eight outputs
      load_matrices(&stage.w[place(first_row + 16 * j + lane / 16 * 8 + lane % 8, k + lane / 8 % 2 * 8)], b[j]);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        multiply(sum[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1], Element());
      }
    }
  }
}

// A block for every 128 outputs (x) and 128 tokens (y).
template <class Element>
__global__ void __launch_bounds__(kThreads)
    gemm_mma(const GemmTensors tensors, const int tokens, const int C, const int M) {
  extern __shared__ float4 memory[];
  auto* stages = reinterpret_cast<Stage<Element>*>(memory);
  const int first_token = blockIdx.y * kTile, first_row = blockIdx.x * kTile;
  const int tokens_here = min(kTile, tokens - first_token), rows_here = min(kTile, M - first_row);
  const auto* x = reinterpret_cast<const Element*>(tensors.x) + int64_t{first_token} * C;
  const auto* w = reinterpret_cast<const Element*>(tensors.w) + int64_t{first_row} * C;
  const int warp = threadIdx.x / 32, own_token = warp / 4 * 64, own_row = warp % 4 * 32;
  const int steps = C / kDepth;
  const auto start = [&](int step) {
    if (step < steps) {
      start_copy(x + step * kDepth, tokens_here, C, stages[step % kStages].x);
      start_copy(w + step * kDepth, rows_here, C, stages[step % kStages].w);
    }
    __pipeline_commit();
  };

  float sum[4][4][4] = {};  // [16 tokens][8 outputs][of the lane]
  for (int step = 0; step < kStages - 1; ++step) start(step);
  for (int step = 0; step < steps; ++step) {
    __pipeline_wait_prior(kStages - 2);
    __syncthreads();  // this stage is there for all, and the one before it is used up
    start(step + kStages - 1);
    add_products(stages[step % kStages], own_token, own_row, sum);
  }

  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int token = own_token + 16 * i + 8 * half + lane / 4;
      if (token >= tokens_here) continue;
      auto* y = reinterpret_cast<Element*>(tensors.y) + int64_t{first_token + token} * M + first_row;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int row = own_row + 8 * j + lane % 4 * 2;
        if (row < rows_here) store2({sum[i][j][2 * half], sum[i][j][2 * half + 1]}, y + row);
      }
    }
  }
}

std::optional<std::string> unsupported(const Problem& p) {
  if (p.channels() % kDepth != 0) return "a hidden size that is not a multiple of 32";
  if (Gemm::outputs(p) % 2 != 0) return "an odd number of outputs";
  return std::nullopt;
}

void launch(const Problem& p, const GemmTensors& tensors, Device& device) {
  const int64_t C = p.channels(), M = Gemm::outputs(p), tokens = p.B * p.new_tokens();
  const auto tiles = [](int64_t size) { return static_cast<uint32_t>((size + kTile - 1) / kTile); };
  const LaunchShape shape{
      .grid = {tiles(M), tiles(tokens)}, .block = {kThreads}, .dynamic_shared_bytes = kStages * sizeof(Stage<__half>)};
  const auto run = [&](auto* kernel) {
    device.launch(kernel, shape, tensors, static_cast<int>(tokens), static_cast<int>(C), static_cast<int>(M));
  };
  p.dtype == DType::bf16 ? run(gemm_mma<__nv_bfloat16>) : run(gemm_mma<__half>);
}

const Registered<Gemm> variant{{.name = "cuda_mma",
                                .device = DeviceKind::cuda,
                                .dtypes = {DType::bf16, DType::f16},
                                .unsupported = unsupported,
                                .launch = launch}};

}  // namespace
}  // namespace wkv::kernels
