// aft cuda_tiled: exp(k + b) = exp(b) exp(k) makes the sums of a tile of queries a product of matrices on ordinary
// FMAs,
//   exp(b) relative to its row's largest b so far, exp(k) to its channel's largest k so far. Where the keys with a
//   large b are not those with a large k, that underflows: a denominator below 2^-60 is summed up again key by key.
// A block owns 64 queries by 64 channels, a thread 4 by 4 of them; blocks of 32 keys pass by, the next one's loads are
//   under way. Keys before the window are sums over chunks of 64, and so is a single query (chunk_sums.cuh).
// Moves q in and y out once, k and v in once for 64 queries, the biases once for 64 channels, through L2.
// Limit: FMA rate, 4 FLOPs a channel and pair of query and key; for a single query memory.
// Supports C a multiple of 4.
#include "harness/variant.hpp"
#include "kernels/aft/chunk_sums.cuh"

namespace wkv::kernels {
namespace {

constexpr int kTile = 64;  // queries, and channels
constexpr int kKeys = 32;  // of a block: lanes
constexpr int kThreads = 256, kWarps = kThreads / 32;
constexpr int kOwnRows = kTile / kWarps;    // of biases, a warp; a lane has a key
constexpr int kKeyRows = kThreads / kTile;  // keys that are loaded at once, a thread a channel
constexpr int kOwnKeys = kKeys / kKeyRows;  // of a thread
constexpr int kStride = kTile + 4;          // of exp(b): lanes that store four rows each meet no bank twice
constexpr float kLeastDenominator = 0x1p-60f;
constexpr unsigned kWholeWarp = 0xffffffffu;
static_assert(kChunk == kTile && kChunk % kKeys == 0);

struct Shared {
  alignas(16) float bias[kKeys][kStride];                       // exp(b)
  alignas(16) float weighted[kKeys][kTile], key[kKeys][kTile];  // exp(k) v and exp(k)
  alignas(16) float row_shrink[kTile], channel_shrink[kTile];   // of the sums so far
  float largest[kKeyRows][kTile];                               // of some keys of a channel
};

template <class Element>
struct Tile {
  const AftTensors& tensors;
  const AftWindow& window;
  int C;
  int64_t first_query;

  int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  int column = threadIdx.x % kTile, key_row = threadIdx.x / kTile;  // what a thread loads of k and v
  // What a thread sums up: four queries and four channels of the tile.
  int own_query = warp / 2 * 16 + lane / 8 * 4, own_channel = warp % 2 * 32 + lane % 8 * 4;
  int channel = blockIdx.x * kTile + column;  // of column

  float b[kOwnRows], k[kOwnKeys], v[kOwnKeys];  // as they come, in powers of two
  float largest_b[kOwnRows], largest_k;
  float numerator[4][4], denominator[4][4];

  // Rows beyond the last query repeat it, and are not stored.
  __device__ int64_t query_of(int row) const { return min(first_query + row, window.T - 1); }

  // Sums of the keys before the first one that is in a window.
  __device__ void start(const float4* sums_before) {
    const bool any = sums_before != nullptr;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float n[4] = {any ? sums_before[0].x : 0, any ? sums_before[0].y : 0, any ? sums_before[0].z : 0,
                          any ? sums_before[0].w : 0};
      const float d[4] = {any ? sums_before[1].x : 0, any ? sums_before[1].y : 0, any ? sums_before[1].z : 0,
                          any ? sums_before[1].w : 0};
#pragma unroll
      for (int c = 0; c < 4; ++c) numerator[i][c] = n[c], denominator[i][c] = d[c];
    }
#pragma unroll
    for (int i = 0; i < kOwnRows; ++i) largest_b[i] = any ? 0 : kNoExponent;
  }

  __device__ void load_keys(int64_t first_key) {
#pragma unroll
    for (int i = 0; i < kOwnKeys; ++i) {
      const int64_t key = first_key + i * kKeyRows + key_row;
      const bool valid = key < window.T && channel < C;
      const int64_t at = (blockIdx.z * window.T + key) * C + channel;
      k[i] = valid ? kLog2E * load(reinterpret_cast<const Element*>(tensors.k) + at) : kNoExponent;
      v[i] = valid ? load(reinterpret_cast<const Element*>(tensors.v) + at) : 0;
    }
#pragma unroll
    for (int i = 0; i < kOwnRows; ++i) {
      const int64_t key = first_key + lane, query = query_of(warp * kOwnRows + i);
      b[i] = key <= query ? kLog2E * aft_bias(tensors, window, query, key) : kNoExponent;
    }
  }

  __device__ void find_largest_keys(Shared& shared) const {
    float largest = k[0];
#pragma unroll
    for (int i = 1; i < kOwnKeys; ++i) largest = fmaxf(largest, k[i]);
    shared.largest[key_row][column] = largest;
  }

  __device__ void exponentiate_keys(Shared& shared) {
    const float old = largest_k;
#pragma unroll
    for (int i = 0; i < kKeyRows; ++i) largest_k = fmaxf(largest_k, shared.largest[i][column]);
    if (key_row == 0) shared.channel_shrink[column] = exp2f(old - largest_k);
#pragma unroll
    for (int i = 0; i < kOwnKeys; ++i) {
      const float weight = exp2f(k[i] - largest_k);
      shared.key[i * kKeyRows + key_row][column] = weight;
      shared.weighted[i * kKeyRows + key_row][column] = weight * v[i];
    }
  }

  __device__ void exponentiate_biases(Shared& shared) {
    float shrink[kOwnRows], weight[kOwnRows];
#pragma unroll
    for (int i = 0; i < kOwnRows; ++i) {
      float largest = b[i];
#pragma unroll
      for (int distance = 16; distance > 0; distance /= 2) {
        largest = fmaxf(largest, __shfl_xor_sync(kWholeWarp, largest, distance));
      }
      largest = fmaxf(largest, largest_b[i]);
      shrink[i] = exp2f(largest_b[i] - largest);
      weight[i] = exp2f(b[i] - largest);
      largest_b[i] = largest;
    }
#pragma unroll
    for (int i = 0; i < kOwnRows; i += 4) {
      const int row = warp * kOwnRows + i;
      store4({weight[i], weight[i + 1], weight[i + 2], weight[i + 3]}, &shared.bias[lane][row]);
      if (lane == 0) store4({shrink[i], shrink[i + 1], shrink[i + 2], shrink[i + 3]}, &shared.row_shrink[row]);
    }
  }

  __device__ void add_products(const Shared& shared) {
    const float4 rows = load4(&shared.row_shrink[own_query]), channels = load4(&shared.channel_shrink[own_channel]);
    const float row[4] = {rows.x, rows.y, rows.z, rows.w}, column[4] = {channels.x, channels.y, channels.z, channels.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int c = 0; c < 4; ++c) numerator[i][c] *= row[i] * column[c], denominator[i][c] *= row[i] * column[c];
    }
#pragma unroll 8
    for (int key = 0; key < kKeys; ++key) {
      const float4 b4 = load4(&shared.bias[key][own_query]), w4 = load4(&shared.weighted[key][own_channel]),
                   k4 = load4(&shared.key[key][own_channel]);
      const float b[4] = {b4.x, b4.y, b4.z, b4.w}, weighted[4] = {w4.x, w4.y, w4.z, w4.w},
                  weight[4] = {k4.x, k4.y, k4.z, k4.w};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int c = 0; c < 4; ++c) {
          numerator[i][c] += b[i] * weighted[c];
          denominator[i][c] += b[i] * weight[c];
        }
      }
    }
  }

  __device__ float gate(float q) const { return __fdividef(1, 1 + exp2f(-kLog2E * q)); }

  __device__ void store_outputs() const {
    const int first_channel = blockIdx.x * kTile + own_channel;
    if (first_channel >= C) return;
    unsigned lost = 0;  // a bit for each output whose sums underflowed
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int64_t query = first_query + own_query + i;
      if (query >= window.T) break;
      const int64_t at = (blockIdx.z * window.T + query) * C + first_channel;
      const float4 q4 = load4(reinterpret_cast<const Element*>(tensors.q) + at);
      const float q[4] = {q4.x, q4.y, q4.z, q4.w};
      float y[4];
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        const bool underflowed = denominator[i][c] < kLeastDenominator;
        lost |= static_cast<unsigned>(underflowed) << (4 * i + c);
        y[c] = underflowed ? 0 : gate(q[c]) * __fdividef(numerator[i][c], denominator[i][c]);
      }
      store4_row({y[0], y[1], y[2], y[3]}, reinterpret_cast<Element*>(tensors.y) + at);
    }
    for (; lost != 0; lost &= lost - 1) {
      const int which = __ffs(static_cast<int>(lost)) - 1;
      store_exact(first_query + own_query + which / 4, first_channel + which % 4);
    }
  }

  __device__ void store_exact(int64_t query, int of_channel) const {
    RunningSums sums = no_sums();
    int64_t at = blockIdx.z * window.T * C + of_channel;
    const int64_t query_at = at + query * C;
    for (int64_t key = 0; key <= query; ++key, at += C) {
      const float exponent =
          load(reinterpret_cast<const Element*>(tensors.k) + at) + aft_bias(tensors, window, query, key);
      sums.add(kLog2E * exponent, load(reinterpret_cast<const Element*>(tensors.v) + at));
    }
    store(gate(load(reinterpret_cast<const Element*>(tensors.q) + query_at)) * sums.mean(),
          reinterpret_cast<Element*>(tensors.y) + query_at);
  }
};

// A block for 64 channels (x) of 64 queries (y, the last ones first) of a batch entry (z).
template <class Element>
__global__ void __launch_bounds__(kThreads, 2)
    aft_tiles(const AftTensors tensors, const AftWindow window, const int C, const ChunkSums before) {
  __shared__ Shared shared;
  Tile<Element> tile{tensors, window, C, int64_t{gridDim.y - 1 - blockIdx.y} * kTile};
  int64_t key = window.outside(tile.first_query) / kChunk * kChunk;
  tile.largest_k = kNoExponent;
  if (key == 0) {
    tile.start(nullptr);
  } else {
    const int channel = min(static_cast<int>(blockIdx.x * kTile) + tile.own_channel, C - 4);
    const float* at = before.at(blockIdx.z, key / kChunk, channel);
    const float4 sums[2] = {load4(at), load4(at + before.count)};
    tile.start(sums);
    if (tile.channel < C) {
      tile.largest_k = *(before.at(blockIdx.z, key / kChunk, tile.channel) + 2 * before.count);
    }
  }
  const int64_t end = min(tile.first_query + kTile, window.T);
  tile.load_keys(key);
  for (; key < end; key += kKeys) {
    tile.find_largest_keys(shared);
    __syncthreads();  // and all threads are done with the block before
    tile.exponentiate_keys(shared);
    tile.exponentiate_biases(shared);
    __syncthreads();
    if (key + kKeys < end) tile.load_keys(key + kKeys);
    tile.add_products(shared);
  }
  tile.store_outputs();
}

int64_t chunks(const Problem& p) { return (p.T + kChunk - 1) / kChunk; }

bool has_chunks(const Problem& p) { return p.new_tokens() == 1 || AftWindow(p).W < p.T; }

size_t extra_bytes(const Problem& p, int) {
  return has_chunks(p) ? static_cast<size_t>(p.B * chunks(p) * p.channels()) * 3 * sizeof(float) : 0;
}

std::optional<std::string> unsupported(const Problem& p) {
  if (p.channels() % 4 != 0) return "channels that are not a multiple of 4";
  if (chunks(p) > 65535 || p.B > 65535) return "more than 65535 batch entries, or chunks of 64 tokens";
  return std::nullopt;
}

void launch(const Problem& p, const AftTensors& tensors, Device& device) {
  const auto C = static_cast<uint32_t>(p.channels()), B = static_cast<uint32_t>(p.B);
  const uint32_t channel_blocks = (C + kChunkThreads - 1) / kChunkThreads;
  const AftWindow window(p);
  ChunkSums sums{nullptr, C, chunks(p), p.B * chunks(p) * C};
  const LaunchShape each{.grid = {channel_blocks, static_cast<uint32_t>(chunks(p)), B}, .block = {kChunkThreads}};
  const LaunchShape all{.grid = {channel_blocks, 1, B}, .block = {kChunkThreads}};
  const bool single = p.new_tokens() == 1;
  with_device_element(p.dtype, [&]<class Element>(Element*) {
    if (has_chunks(p)) {
      sums.numerators = reinterpret_cast<float*>(device.scratch(extra_bytes(p, 1)));
      device.launch(aft_chunk_sums<Element>, each, tensors, window, single && window.W > 0, sums);
      if (single) return device.launch(aft_join_chunks<Element>, all, tensors, sums);
      device.launch(aft_chain_chunks, all, sums);
    }
    const LaunchShape tiles{.grid = {(C + kTile - 1) / kTile, static_cast<uint32_t>((p.T + kTile - 1) / kTile), B},
                            .block = {kThreads}};
    device.launch(aft_tiles<Element>, tiles, tensors, window, static_cast<int>(C), sums);
  });
}

const Registered<Aft> variant{{.name = "cuda_tiled",
                               .device = DeviceKind::cuda,
                               .dtypes = {DType::f32, DType::bf16, DType::f16},
                               .unsupported = unsupported,
                               .extra_bytes = extra_bytes,
                               .launch = launch}};

}  // namespace
}  // namespace wkv::kernels
