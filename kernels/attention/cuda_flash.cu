// attention cuda_flash: online softmax over blocks of keys (Dao et al., arXiv:2205.14135; FlashAttention-2,
//   arXiv:2307.08691), both products on mma.sync: bf16 and f16 factors as they are, f32 in two parts of tf32, three
//   products for one. Scores and probabilities stay in registers; sums are fp32.
// A block of four warps owns 64 queries of a (b, h), a warp 16 of them: 16 x 64 scores, 16 x N sums. Blocks of keys
// above
//   the diagonal are skipped, those with the longest context start first.
// Moves q in and y out once, k and v once for each block of queries behind them, by asynchronous copies of the next 64
//   keys (f32, N=128: 32) while these are multiplied.
// Limit: matrix rate. At N=64 a warp takes 32 mma of 2048 multiply-adds for q k^T and as many for p v, beside 32
//   exponentials a lane.
// Supports N of 32, 64 and 128; prefill only.
#include "harness/variant.hpp"
#include "kernels/attention/attention.hpp"
#include "kernels/mma.cuh"

namespace wkv::kernels {
namespace {

constexpr int kQueries = 64, kWarps = kQueries / 16, kThreads = 32 * kWarps;
constexpr unsigned kWholeWarp = 0xffffffffu;

template <class Element>
struct TileOf {
  using Type = HalfTile<Element>;
};
template <>
struct TileOf<float> {
  using Type = Tf32Tile<2>;
};

template <class Element, int N>
struct alignas(16) FlashMemory {
  using Tile = typename TileOf<Element>::Type;
  static constexpr int kKeys = sizeof(Element) == 4 && N == 128 ? 32 : 64;
  static constexpr int kRowPitch = N + Tile::kRowPad, kColumnPitch = N + Tile::kColumnPad;
  Element q[kQueries][kRowPitch];  // and y in the end
  struct Keys {
    Element k[kKeys][kRowPitch];
    Element v[kKeys][kColumnPitch];
  } keys[2];
};

// Copies rows of N elements, the first at `from`, and makes those that do not exist zero.
template <int N, int kRows, int kPitch, class Element>
__device__ void copy_rows(Element (&to)[kRows][kPitch], const Element* from, int64_t stride, int rows) {
  constexpr int kPiece = 16 / sizeof(Element), kRowPieces = N / kPiece;
#pragma unroll
  for (int first = 0; first < kRows * kRowPieces; first += kThreads) {
    const int piece = first + threadIdx.x, row = row_of_piece<kRowPieces>(piece), at = piece % kRowPieces * kPiece;
    if (row < rows) {
      copy16_async(&to[row][at], from + row * stride + at);
    } else {
      *reinterpret_cast<float4*>(&to[row][at]) = float4{};
    }
  }
}

inline __device__ float over_row(float value, float (*join)(float, float)) {
  for (int lanes = 1; lanes < 4; lanes *= 2) value = join(value, __shfl_xor_sync(kWholeWarp, value, lanes));
  return value;
}

// A block for 64 queries (x, the last ones first) of a head (y) and batch entry (z).
template <class Element, int N>
__global__ void __launch_bounds__(kThreads) attention_flash(const AttentionTensors tensors, const int T) {
  using Memory = FlashMemory<Element, N>;
  using Tile = typename Memory::Tile;
  constexpr int kKeys = Memory::kKeys;
  extern __shared__ float4 memory[];
  Memory& shared = *reinterpret_cast<Memory*>(memory);

  const int64_t stride = int64_t{gridDim.y} * N, sequence = int64_t{blockIdx.z} * T * stride + blockIdx.y * N;
  const int first_query = static_cast<int>(gridDim.x - 1 - blockIdx.x) * kQueries;
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4, own_row = threadIdx.x / 32 * 16;
  const auto at = [&](const std::byte* tensor, int time) {
    return reinterpret_cast<const Element*>(tensor) + sequence + time * stride;
  };
  const auto start_copy = [&](int which, int first_key) {
    copy_rows<N>(shared.keys[which].k, at(tensors.k, first_key), stride, T - first_key);
    copy_rows<N>(shared.keys[which].v, at(tensors.v, first_key), stride, T - first_key);
    __pipeline_commit();
  };

  copy_rows<N>(shared.q, at(tensors.q, first_query), stride, T - first_query);
  start_copy(0, 0);
  const int end = min(first_query + kQueries, T);                   // of the keys that the block sees
  const float scale = 1.44269504f * rsqrtf(static_cast<float>(N));  // to powers of two
  float largest[2] = {-INFINITY, -INFINITY}, total[2] = {};         // of rows g and g + 8; totals of the lane's columns
  Accumulators y[N / 8] = {};
  for (int first_key = 0, which = 0; first_key < end; first_key += kKeys, which ^= 1) {
    if (first_key + kKeys < end) {
      start_copy(which ^ 1, first_key + kKeys);
      __pipeline_wait_prior(1);
    } else {
      __pipeline_wait_prior(0);
    }
    __syncthreads();
    const typename Memory::Keys& keys = shared.keys[which];
    Accumulators scores[kKeys / 8] = {};
#pragma unroll
    for (int n = 0; n < N; n += 16) {
      const Tile q = Tile::template of_rows<Operand::first>(&shared.q[own_row][n], Memory::kRowPitch);
#pragma unroll
      for (int key = 0; key < kKeys; key += 16) {
        const Tile k = Tile::template of_rows<Operand::second>(&keys.k[key][n], Memory::kRowPitch);
        for (int half = 0; half < 2; ++half) multiply(scores[key / 8 + half], q, k, half);
      }
    }
    if (first_key + kKeys > first_query + own_row) {  // some key may be behind some query
#pragma unroll
      for (int key = 0; key < kKeys; ++key) {
        if (key % 8 / 2 != t) continue;
        for (int row = 0; row < 2; ++row) {
          float& score = scores[key / 8][2 * row + key % 2];
          if (first_key + key > first_query + own_row + g + 8 * row) score = -INFINITY;
        }
      }
    }

    // The first block of keys has the first key, which every query sees: no row is without a maximum.
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      float most = largest[row];
#pragma unroll
      for (int i = 0; i < kKeys / 8; ++i) most = fmaxf(most, fmaxf(scores[i][2 * row], scores[i][2 * row + 1]));
      most = over_row(most, fmaxf);
      const float shrink = exp2f(scale * (largest[row] - most));
      largest[row] = most;
      total[row] *= shrink;
#pragma unroll
      for (int i = 0; i < N / 8; ++i) y[i][2 * row] *= shrink, y[i][2 * row + 1] *= shrink;
#pragma unroll
      for (int i = 0; i < kKeys / 8; ++i) {
        for (int c = 2 * row; c < 2 * row + 2; ++c) {
          scores[i][c] = exp2f(scale * (scores[i][c] - most));
          total[row] += scores[i][c];
        }
      }
    }
#pragma unroll
    for (int key = 0; key < kKeys; key += 16) {
      const Tile p = Tile::of_sums(scores[key / 8], scores[key / 8 + 1]);
#pragma unroll
      for (int n = 0; n < N; n += 16) {
        const Tile v = Tile::template of_columns<Operand::second>(&keys.v[key][n], Memory::kColumnPitch);
        for (int half = 0; half < 2; ++half) multiply(y[n / 8 + half], p, v, half);
      }
    }
    __syncthreads();  // these keys' memory is free
  }

  // y by way of the warp's own rows of q, which makes whole sectors of it.
#pragma unroll
  for (int row = 0; row < 2; ++row) {
    const float inverse = 1 / over_row(total[row], [](float a, float b) { return a + b; });
#pragma unroll
    for (int i = 0; i < N / 8; ++i) {
      store2(float2{y[i][2 * row] * inverse, y[i][2 * row + 1] * inverse},
             &shared.q[own_row + g + 8 * row][8 * i + 2 * t]);
    }
  }
  __syncwarp();
  constexpr int kPiece = 16 / sizeof(Element), kRowPieces = N / kPiece;
  Element* to = reinterpret_cast<Element*>(tensors.y) + sequence + first_query * stride;
#pragma unroll
  for (int piece = lane; piece < 16 * kRowPieces; piece += 32) {
    const int row = own_row + row_of_piece<kRowPieces>(piece), n = piece % kRowPieces * kPiece;
    if (first_query + row < T) {
      store4_last(*reinterpret_cast<const float4*>(&shared.q[row][n]), reinterpret_cast<float*>(to + row * stride + n));
    }
  }
}

std::optional<std::string> unsupported(const Problem& p) {
  if (p.mode == Mode::decode) return "decode";
  if (p.N == 32 || p.N == 64 || p.N == 128) return std::nullopt;
  return "a head size other than 32, 64 and 128";
}

void launch(const Problem& p, const AttentionTensors& tensors, Device& device) {
  with_device_element(p.dtype, [&]<class Element>(Element*) {
    const auto run = [&]<int N>(std::integral_constant<int, N>) {
      const LaunchShape shape{.grid = {static_cast<uint32_t>((p.T + kQueries - 1) / kQueries),
                                       static_cast<uint32_t>(p.H), static_cast<uint32_t>(p.B)},
                              .block = {kThreads},
                              .dynamic_shared_bytes = sizeof(FlashMemory<Element, N>)};
      device.launch(attention_flash<Element, N>, shape, tensors, static_cast<int>(p.T));
    };
    if (p.N == 32) run(std::integral_constant<int, 32>());
    if (p.N == 64) run(std::integral_constant<int, 64>());
    if (p.N == 128) run(std::integral_constant<int, 128>());
  });
}

const Registered<Attention> variant{{.name = "cuda_flash",
                                     .device = DeviceKind::cuda,
                                     .dtypes = {DType::f32, DType::bf16, DType::f16},
                                     .products = std::nullopt,
                                     .unsupported = unsupported,
                                     .launch = launch}};

}  // namespace
}  // namespace wkv::kernels
