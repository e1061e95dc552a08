// wkv4 cuda_scan: parallel in time, a scan over (exponent, numerator, denominator) triples that stand for runs of
//   tokens. Each thread sums up its four tokens, CUB's block scan gives it the sums before them, and it goes through
//   them again for y. The sums of a tile of 256 tokens are carried on to the next.
// A block owns 32 bytes of every row (8 channels of f32, 16 of the others), a thread four tokens by 16 bytes of them.
// Moves k, v and the state in and y and the state out once, in whole sectors; the next tile's copy is under way.
// Limit: memory, or, where B C is below some thousand, the latency of a tile's scan instead of that of its tokens.
// Supports C a multiple of the channels in 32 bytes.
#include <cub/block/block_scan.cuh>

#include "harness/variant.hpp"
#include "kernels/device.cuh"
#include "kernels/running_sums.cuh"
#include "kernels/wkv4/wkv4.hpp"

namespace wkv::kernels {
namespace {

constexpr int kSlots = 64;  // threads along time
constexpr int kTokens = 4;  // of a thread
constexpr int kPieces = 2;  // of 16 bytes, in a block's part of a row; threads across
constexpr int kThreads = kSlots * kPieces;
constexpr int kTileTokens = kSlots * kTokens;
constexpr int kTilePieces = kTileTokens * kPieces;

__device__ void advance(RunningSums& sums, float k, float v, float w) {
  sums.exponent -= w;
  sums.add(k, v);
}

// What a run of tokens makes of the sums before it: they decay by w a token, and these are added. By channel of a
// piece.
template <int kChannels>
struct Run {
  int tokens;
  RunningSums sums[kChannels];
};

template <int kChannels>
struct Join {
  float w[kChannels];
  __device__ Run<kChannels> operator()(const Run<kChannels>& first, const Run<kChannels>& second) const {
    Run<kChannels> joined = first;
    joined.tokens += second.tokens;
#pragma unroll
    for (int c = 0; c < kChannels; ++c) {
      joined.sums[c].exponent -= static_cast<float>(second.tokens) * w[c];
      joined.sums[c].add(second.sums[c]);
    }
    return joined;
  }
};

// Hands the sums from one tile on to the next. Only the first warp of the threads along time knows them.
template <int kChannels>
struct Carried {
  Join<kChannels> join;
  Run<kChannels> total;
  __device__ Run<kChannels> operator()(const Run<kChannels>& tile) {
    const Run<kChannels> before = total;
    total = join(total, tile);
    return before;
  }
};

// Where the nth piece of a tile lies in shared memory: pieces of one place in four tokens, one for each of eight
// threads along time, are all on different banks.
__device__ int place(int n) { return n ^ n / (kTokens * kPieces) % 8; }

template <class Element>
struct Tile {
  static constexpr int kChannels = 16 / sizeof(Element);
  struct alignas(16) Piece {
    Element of[kChannels];
  };
  Piece k[kTilePieces], v[kTilePieces];

  // Rows are `stride` elements apart.
  __device__ void start_copy(const Element* k_from, const Element* v_from, int64_t stride, int tokens) {
#pragma unroll
    for (int round = 0; round < kTilePieces / kThreads; ++round) {
      const int n = round * kThreads + threadIdx.y * kSlots + threadIdx.x;
      if (n / kPieces >= tokens) break;
      const int64_t offset = n / kPieces * stride + n % kPieces * kChannels;
      copy16_async(&k[place(n)], k_from + offset);
      copy16_async(&v[place(n)], v_from + offset);
    }
    __pipeline_commit();
  }
  // y stands where k was.
  __device__ void copy_out(Element* y, int64_t stride, int tokens) const {
#pragma unroll
    for (int round = 0; round < kTilePieces / kThreads; ++round) {
      const int n = round * kThreads + threadIdx.y * kSlots + threadIdx.x;
      if (n / kPieces >= tokens) break;
      *reinterpret_cast<uint4*>(y + n / kPieces * stride + n % kPieces * kChannels) =
          *reinterpret_cast<const uint4*>(&k[place(n)]);
    }
  }
};

// Parameters and state of a block's channels, on their way between global memory and the threads.
template <int kBlockChannels>
struct ChannelValues {
  float w[kBlockChannels], u[kBlockChannels];
  RunningSums sums[kBlockChannels];
};

// A block for some channels (x) of a batch entry (y).
template <class Element>
__global__ void __launch_bounds__(kThreads) wkv4_scan(const Wkv4Tensors tensors, const int T, const int C) {
  constexpr int kChannels = Tile<Element>::kChannels, kBlockChannels = kPieces * kChannels;
  using Scan = cub::BlockScan<Run<kChannels>, kSlots, cub::BLOCK_SCAN_WARP_SCANS>;
  __shared__ Tile<Element> tiles[2];
  __shared__ typename Scan::TempStorage storage[kPieces];  // a scan for each piece of a row, side by side
  __shared__ ChannelValues<kBlockChannels> shared;

  const int thread = threadIdx.y * kSlots + threadIdx.x, first_channel = blockIdx.x * kBlockChannels,
            own = threadIdx.y * kChannels;
  const int64_t first = int64_t{blockIdx.y} * T * C + first_channel, step = int64_t{kTileTokens} * C;
  const int64_t state_at = int64_t{blockIdx.y} * C + first_channel + thread;  // of the first threads, a channel each
  const auto *k = reinterpret_cast<const Element*>(tensors.k) + first,
             *v = reinterpret_cast<const Element*>(tensors.v) + first;
  auto* y = reinterpret_cast<Element*>(tensors.y) + first;
  tiles[0].start_copy(k, v, C, T);
  if (thread < kBlockChannels) {
    shared.w[thread] = kLog2E * tensors.w[first_channel + thread];
    shared.u[thread] = kLog2E * tensors.u[first_channel + thread];
    shared.sums[thread] = {tensors.numerator[state_at], tensors.denominator[state_at],
                           kLog2E * tensors.exponent[state_at]};
  }
  __syncthreads();
  Carried<kChannels> carried;
  carried.total.tokens = 0;
#pragma unroll
  for (int c = 0; c < kChannels; ++c) {
    carried.join.w[c] = shared.w[own + c];
    carried.total.sums[c] = shared.sums[own + c];
  }

  int which = 0;
  for (int left = T; left > 0; left -= kTileTokens, y += step, which = 1 - which) {
    __pipeline_wait_prior(0);
    __syncthreads();  // this tile is there for every thread, and the other one is free
    if (left > kTileTokens) tiles[1 - which].start_copy(k += step, v += step, C, left - kTileTokens);
    Tile<Element>& tile = tiles[which];

    const int tokens = min(max(left - static_cast<int>(threadIdx.x) * kTokens, 0), kTokens);
    const auto piece_of = [&](int i) { return place((threadIdx.x * kTokens + i) * kPieces + threadIdx.y); };
    Run<kChannels> run;
    run.tokens = tokens;
#pragma unroll
    for (int c = 0; c < kChannels; ++c) run.sums[c] = no_sums();
    for (int i = 0; i < tokens; ++i) {
      const auto keys = tile.k[piece_of(i)], values = tile.v[piece_of(i)];
#pragma unroll
      for (int c = 0; c < kChannels; ++c) {
        advance(run.sums[c], kLog2E * load(&keys.of[c]), load(&values.of[c]), carried.join.w[c]);
      }
    }
    Scan(storage[threadIdx.y]).ExclusiveScan(run, run, carried.join, carried);
    for (int i = 0; i < tokens; ++i) {
      auto& piece = tile.k[piece_of(i)];
      auto keys = piece;
      const auto values = tile.v[piece_of(i)];
#pragma unroll
      for (int c = 0; c < kChannels; ++c) {
        const float key = kLog2E * load(&keys.of[c]), value = load(&values.of[c]);
        RunningSums with_bonus = run.sums[c];
        with_bonus.add(shared.u[own + c] + key, value);
        store(with_bonus.mean(), &keys.of[c]);
        advance(run.sums[c], key, value, carried.join.w[c]);
      }
      piece = keys;
    }
    __syncthreads();
    tile.copy_out(y, C, left);
  }

  if (threadIdx.x == 0) {
#pragma unroll
    for (int c = 0; c < kChannels; ++c) shared.sums[own + c] = carried.total.sums[c];
  }
  __syncthreads();
  if (thread < kBlockChannels) {
    tensors.numerator_out[state_at] = shared.sums[thread].numerator;
    tensors.denominator_out[state_at] = shared.sums[thread].denominator;
    tensors.exponent_out[state_at] = kLn2 * shared.sums[thread].exponent;
  }
}

int64_t block_channels(const Problem& p) { return 16 * kPieces / static_cast<int64_t>(size_of(p.dtype)); }

std::optional<std::string> unsupported(const Problem& p) {
  if (p.channels() % block_channels(p) != 0) return "channels that are not a multiple of those in 32 bytes";
  if (p.B > 65535) return "a batch of more than 65535";
  return std::nullopt;
}

void launch(const Problem& p, const Wkv4Tensors& tensors, Device& device) {
  const LaunchShape shape{.grid = {static_cast<uint32_t>(p.channels() / block_channels(p)), static_cast<uint32_t>(p.B)},
                          .block = {kSlots, kPieces}};
  with_device_element(p.dtype, [&]<class Element>(Element*) {
    device.launch(wkv4_scan<Element>, shape, tensors, static_cast<int>(p.new_tokens()), static_cast<int>(p.channels()));
  });
}

const Registered<Wkv4> variant{{.name = "cuda_scan",
                                .device = DeviceKind::cuda,
                                .dtypes = {DType::f32, DType::bf16, DType::f16},
                                .unsupported = unsupported,
                                .launch = launch}};

}  // namespace
}  // namespace wkv::kernels
