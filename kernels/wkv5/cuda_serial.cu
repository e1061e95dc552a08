// wkv5 cuda_serial: one pass over t with the state in registers; only the sum over the key channels crosses threads.
// A block of 2 N threads owns a (b, h). Eight neighbouring lanes own four value channels j, each of them N/8 of the key
//   channels i: N/2 floats of the state a thread. They add up y for four tokens at once: 14 shuffles for 16 sums.
// Moves r, k, v in once, by asynchronous copies into two tiles of 1024/N tokens each: one is under way (12 KiB in fp32)
//   while the other is used for 1000 cycles and more; y out once; the state at the ends only. 128 registers a thread.
// Limit: the FP32 rate, 3 N^2 instructions a token and head; a quarter comes on top at N=64 for operands and sums. B*H
//   below the number of multiprocessors leaves some of them idle.
// Supports N of 32, 64 and 128.
#include "harness/variant.hpp"
#include "kernels/device.cuh"
#include "kernels/wkv5/wkv5.hpp"

namespace wkv::kernels {
namespace {

constexpr int kTileElements = 1024;  // of each of r, k, v
constexpr int kLanes = 8;            // that share four value channels
constexpr unsigned kWholeWarp = 0xffffffffu;

template <class Element>
struct Tile {
  Element r[kTileElements], k[kTileElements], v[kTileElements];  // (tokens, N)
};

// 16-bit tiles are widened once for all threads that need them; fp32 ones are used where they arrive.
template <class Element>
struct alignas(16) Tiles {
  Tile<Element> arriving[2];
  Tile<float> widened;
};
template <>
struct alignas(16) Tiles<float> {
  Tile<float> arriving[2];
};

template <class Element, int N>
struct Serial {
  static constexpr int kThreads = 2 * N;
  static constexpr int kTokens = kTileElements / N;  // of a tile
  static constexpr int kQuads = N / 32;              // a lane's key channels: groups of four, 32 channels apart
  static constexpr int kBatch = N == 128 ? 2 : 4;    // tokens whose sums are added up together: a register for each sum
  static constexpr bool kWidens = sizeof(Element) < sizeof(float);

  // Of the block and of the thread.
  int lane = threadIdx.x % kLanes;
  int column = threadIdx.x / kLanes * 4;  // the first of its value channels
  int64_t token_stride = int64_t{gridDim.x} * N;
  float4 state[kQuads][4];  // [quad][key channel in it], four value channels in each
  float4 w[kQuads];

  __device__ int row(int quad) const { return 32 * quad + 4 * lane; }  // the first key channel of a quad

  __device__ void start_copy(Tile<Element>& tile, const Element* r, const Element* k, const Element* v,
                             int tokens) const {
    constexpr int kPiece = 16 / sizeof(Element), kRounds = (kTileElements / kPiece + kThreads - 1) / kThreads;
#pragma unroll
    for (int round = 0; round < kRounds; ++round) {
      const int i = (round * kThreads + threadIdx.x) * kPiece, token = i / N;
      if (token >= min(tokens, kTokens)) break;  // threads may outnumber a tile's pieces
      const int64_t offset = token * token_stride + i % N;
      copy16_async(&tile.r[i], r + offset);
      copy16_async(&tile.k[i], k + offset);
      copy16_async(&tile.v[i], v + offset);
    }
    __pipeline_commit();
  }

  // bonus[token][lane] = sum of r_i u_i k_i over the key channels that lanes of this number own; and the fp32 tile.
  __device__ const Tile<float>& prepare(Tiles<Element>& tiles, int which, float4 u, float* bonus, int tokens) const {
    const Tile<Element>& arrived = tiles.arriving[which];
#pragma unroll
    for (int round = 0; round < kTileElements / (4 * kThreads); ++round) {
      const int i = (round * kThreads + threadIdx.x) * 4, token = i / N, quad = i % N / 4;
      const bool valid = token < tokens;
      float sum = 0;
      if (valid) {
        const float4 r = load4(&arrived.r[i]), k = load4(&arrived.k[i]);
        sum = r.x * u.x * k.x + r.y * u.y * k.y + r.z * u.z * k.z + r.w * u.w * k.w;
        if constexpr (kWidens) {
          store4(r, &tiles.widened.r[i]);
          store4(k, &tiles.widened.k[i]);
          store4(load4(&arrived.v[i]), &tiles.widened.v[i]);
        }
      }
#pragma unroll
      for (int distance = kLanes; distance < N / 4; distance *= 2) {
        sum += __shfl_xor_sync(kWholeWarp, sum, distance);
      }
      if (valid && quad < kLanes) bonus[token * kLanes + quad] = sum;
    }
    if constexpr (kWidens) {
      return tiles.widened;
    } else {
      return arrived;
    }
  }

  // One token: the thread's part of y in its four value channels, and the state.
  __device__ void advance(const Tile<float>& tile, const float* bonus, int token, float* y) {
    const float4 v = load4(&tile.v[token * N + column]);
    const float own_bonus = bonus[token * kLanes + lane];
    y[0] = own_bonus * v.x, y[1] = own_bonus * v.y, y[2] = own_bonus * v.z, y[3] = own_bonus * v.w;
    const auto step = [&](float4& s, float r, float k, float decay) {
      y[0] += r * s.x, y[1] += r * s.y, y[2] += r * s.z, y[3] += r * s.w;
      s = {decay * s.x + k * v.x, decay * s.y + k * v.y, decay * s.z + k * v.z, decay * s.w + k * v.w};
    };
#pragma unroll
    for (int quad = 0; quad < kQuads; ++quad) {
      const float4 r = load4(&tile.r[token * N + row(quad)]), k = load4(&tile.k[token * N + row(quad)]);
      step(state[quad][0], r.x, k.x, w[quad].x);
      step(state[quad][1], r.y, k.y, w[quad].y);
      step(state[quad][2], r.z, k.z, w[quad].z);
      step(state[quad][3], r.w, k.w, w[quad].w);
    }
  }

  // Adds up over the lanes that differ in Bit and lower bits. Each keeps a part of the 2 Kept sums, in order of lanes.
  template <int Kept, int Bit>
  __device__ void sum_over_lanes(float* sums) const {
    const unsigned keep = lane & Bit ? kSecond : kFirst, send = lane & Bit ? kFirst : kSecond;
#pragma unroll
    for (int i = 0; i < Kept; ++i) {
      const float a = sums[i], b = sums[Kept + i];
      sums[i] = pick(a, b, keep) + __shfl_xor_sync(kWholeWarp, pick(a, b, send), Bit);
    }
    if constexpr (Bit > 1) sum_over_lanes<Kept / 2, Bit / 2>(sums);
  }

  // kBatch tokens, or fewer at the end of the sequence.
  template <bool IsWhole>
  __device__ void batch(const Tile<float>& tile, const float* bonus, int first, int tokens, Element* y) {
    constexpr int kSums = 4 * kBatch, kKept = kSums / kLanes;
    float sums[kSums] = {};
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      if (IsWhole || first + i < tokens) advance(tile, bonus, first + i, &sums[4 * i]);
    }
    sum_over_lanes<kSums / 2, kLanes / 2>(sums);
    const int sum = lane * kKept, token = first + sum / 4;
    Element* to = y + token * token_stride + column + sum % 4;
    if (IsWhole || token < tokens) {
      if constexpr (kKept == 1) {
        store(sums[0], to);
      } else {
        store2({sums[0], sums[1]}, to);
      }
    }
  }
};

// A block for each head (x) and batch entry (y).
template <class Element, int N>
__global__ void __launch_bounds__(2 * N, N == 128 ? 1 : 256 / N) wkv5_serial(const Wkv5Tensors tensors, const int T) {
  using Kernel = Serial<Element, N>;
  constexpr int kTokens = Kernel::kTokens;
  __shared__ Tiles<Element> tiles;
  __shared__ float bonus[kTokens * kLanes];
  __shared__ alignas(16) float parameters[2 * N];  // w, u

  Kernel kernel;
  const int h = blockIdx.x;
  const int64_t sequence = (int64_t{blockIdx.y} * T * gridDim.x + h) * N;
  const int64_t head_state = (int64_t{blockIdx.y} * gridDim.x + h) * N * N;
  const auto* r = reinterpret_cast<const Element*>(tensors.r) + sequence;
  const auto* k = reinterpret_cast<const Element*>(tensors.k) + sequence;
  const auto* v = reinterpret_cast<const Element*>(tensors.v) + sequence;
  auto* y = reinterpret_cast<Element*>(tensors.y) + sequence;
  const auto state_offset = [&](int quad, int i) { return head_state + (kernel.row(quad) + i) * N + kernel.column; };

  kernel.start_copy(tiles.arriving[0], r, k, v, T);
  parameters[threadIdx.x] = threadIdx.x < N ? tensors.w[h * N + threadIdx.x] : tensors.u[h * N + threadIdx.x - N];
#pragma unroll
  for (int quad = 0; quad < kernel.kQuads; ++quad) {
#pragma unroll
    for (int i = 0; i < 4; ++i) kernel.state[quad][i] = load4(tensors.state + state_offset(quad, i));
  }
  __syncthreads();
#pragma unroll
  for (int quad = 0; quad < kernel.kQuads; ++quad) kernel.w[quad] = load4(&parameters[kernel.row(quad)]);
  const float4 u = load4(&parameters[N + 4 * threadIdx.x % N]);

  int which = 0;
  for (int left = T; left > 0; left -= kTokens) {
    const int64_t next = kTokens * kernel.token_stride;
    __pipeline_wait_prior(0);
    __syncthreads();  // this tile is there for every thread, and the other one is free
    if (left > kTokens) kernel.start_copy(tiles.arriving[1 - which], r += next, k += next, v += next, left - kTokens);
    const Tile<float>& tile = kernel.prepare(tiles, which, u, bonus, left);
    __syncthreads();

    const int tokens = min(kTokens, left);
    int token = 0;
    for (; token + Kernel::kBatch <= tokens; token += Kernel::kBatch)
      kernel.template batch<true>(tile, bonus, token, tokens, y);
    if (token < tokens) kernel.template batch<false>(tile, bonus, token, tokens, y);
    y += next;
    which = 1 - which;
  }

#pragma unroll
  for (int quad = 0; quad < kernel.kQuads; ++quad) {
#pragma unroll
    for (int i = 0; i < 4; ++i) store4_last(kernel.state[quad][i], tensors.state_out + state_offset(quad, i));
  }
}

std::optional<std::string> unsupported(const Problem& p) {
  if (p.N == 32 || p.N == 64 || p.N == 128) return std::nullopt;
  return "a head size other than 32, 64 and 128";
}

void launch(const Problem& p, const Wkv5Tensors& tensors, Device& device) {
  with_device_element(p.dtype, [&]<class Element>(Element*) {
    const auto kernel = p.N == 32   ? wkv5_serial<Element, 32>
                        : p.N == 64 ? wkv5_serial<Element, 64>
                                    : wkv5_serial<Element, 128>;
    const LaunchShape shape{.grid = {static_cast<uint32_t>(p.H), static_cast<uint32_t>(p.B)},
                            .block = {static_cast<uint32_t>(2 * p.N)}};
    device.launch(kernel, shape, tensors, static_cast<int>(p.new_tokens()));
  });
}

const Registered<Wkv5> variant{{.name = "cuda_serial",
                                .device = DeviceKind::cuda,
                                .dtypes = {DType::f32, DType::bf16, DType::f16},
                                .unsupported = unsupported,
                                .launch = launch}};

}  // namespace
}  // namespace wkv::kernels
