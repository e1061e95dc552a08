// Chunks of L = 8 tokens of one head as matrix products in fp32:
//   r'_p = r_p w^p, k'_q = k_q w^(L-1-q), A[p][q] = sum_i r_p k_q w^(p-1-q) for q < p, A[p][p] = sum_i r_p u k_p
//   y = [r' A] [S; v],  S' = w^L S + k'^T v
// Every power has an exponent >= 0 and comes from a table by p, q or p - q: none overflows, whatever w in [0, 1].
#pragma once

#include "kernels/device.cuh"
#include "kernels/lane_sums.cuh"
#include "kernels/wkv5/decay.cuh"

namespace wkv::kernels {

constexpr int kChunk = 8;  // tokens
constexpr int kSub = 4;    // tokens of a sub-chunk: A is computed in squares of this size
constexpr int kLanes = 8;  // that share eight value channels; one for each token of a chunk
constexpr unsigned kWholeWarp = 0xffffffffu;

// Tokens that are copied and prepared together; 37 KiB at N=64 let six blocks onto a multiprocessor.
template <int N>
constexpr int kChunkTileTokens = N == 128 ? 8 : 16;

// Powers of the decay and the bonus by p - q: what a product r_p k_q is multiplied by in A. None is above 1 but u.
constexpr int kFactors = kSub + kChunk;
constexpr int factor_row(int distance) { return distance + kSub - 1; }  // 0 up to -1, u at 0, w^(distance-1)
constexpr int power_row(int exponent) { return factor_row(exponent + 1); }

template <class Element, int N>
struct alignas(16) ChunkMemory {
  static constexpr int kTokens = kChunkTileTokens<N>;
  static constexpr bool kWidens = sizeof(Element) < sizeof(float);
  // Where 16 lanes read four sub-chunks' rows of 64 bytes at once they must not all lie in the same banks.
  static constexpr int kPitch = kSub * N + (kWidens && N == 32 ? 32 : 0);

  // As they arrive, one tile while the other is used.
  struct Tile {
    Element r[kTokens / kSub * kPitch], k[kTokens / kSub * kPitch], v[kTokens * N];
  } tile[2];
  float r[kTokens][N], k[kTokens][N];  // r' and k', relative to their chunk's start and end
  float scores[kTokens][kChunk];       // A of each chunk
  float factor[kFactors][N];
  float keep[2][N], gain[2][N];  // the decay over a whole chunk, and over the last (decay.hpp)
  float v[kWidens ? kTokens * N : 1];
};

// A block of N threads, with a state.
template <class Element, int N>
struct Chunked {
  using Memory = ChunkMemory<Element, N>;
  static constexpr int kTokens = Memory::kTokens;
  static constexpr bool kWidens = Memory::kWidens;
  static constexpr int kQuads = N / 32;  // a lane's key channels: groups of four, 32 channels apart

  Memory& shared;
  int64_t token_stride;

  // A lane owns eight value channels in two halves. The last four of eight lanes have them in the other order, so that
  // what two lanes exchange in the first step of a sum lies in the same registers of both.
  int lane = threadIdx.x % kLanes;
  int column = threadIdx.x / 32 * 32 + threadIdx.x % 32 / kLanes * 4;
  float4 state[4 * kQuads][2] = {};

  __device__ int row(int quad) const { return 32 * quad + 4 * lane; }
  __device__ int half_column(int half) const { return column + 16 * (half ^ lane / 4); }
  __device__ int64_t state_offset(int i, int half) const { return (row(i / 4) + i % 4) * N + half_column(half); }

  __device__ void load_state(const float* from) {
#pragma unroll
    for (int i = 0; i < 4 * kQuads; ++i) {
      for (int half = 0; half < 2; ++half) state[i][half] = load4(from + state_offset(i, half));
    }
  }

  __device__ void store_state(float* to) const {
#pragma unroll
    for (int i = 0; i < 4 * kQuads; ++i) {
      for (int half = 0; half < 2; ++half) store4_whole(state[i][half], to + state_offset(i, half));
    }
  }

  static __device__ int row_of(int token) { return token / kSub * Memory::kPitch + token % kSub * N; }
  // Rows of v are permuted so that eight lanes can read one row each.
  static __device__ int v_index(int token, int column) { return token * N + (column ^ 4 * (token % kSub)); }
  __device__ const float* v_tile(int which) const {
    if constexpr (kWidens) {
      return shared.v;
    } else {
      return shared.tile[which].v;
    }
  }

  // The powers of w that a block needs. `tail` is the number of tokens of the last chunk, if it is not a whole one.
  __device__ void prepare_decay(float w, float u, int tail) const {
    const int i = threadIdx.x;
    double power = 1;
#pragma unroll
    for (int row = 0; row < kFactors; ++row) {
      const bool is_power = row >= power_row(0);
      shared.factor[row][i] = is_power ? static_cast<float>(power) : row == factor_row(0) ? u : 0;
      if (is_power) power *= w;
    }
    for (int which = 0; which < (tail > 0 ? 2 : 1); ++which) {
      const Decay decay = decay_over(which == 0 ? kChunk : tail, w);
      shared.keep[which][i] = decay.keep;
      shared.gain[which][i] = decay.gain;
    }
  }

  // Of k and v, and with outputs of r. Tokens that do not exist, up to the tile's end, are zero.
  template <bool kOutputs, bool IsWhole>
  __device__ void copy_tile(int which, const Element* r, const Element* k, const Element* v, int tokens) const {
    constexpr int kPiece = 16 / sizeof(Element);  // elements; a round of all threads is as many tokens
    const int own_token = threadIdx.x * kPiece / N, channel = threadIdx.x * kPiece % N;
    const int64_t own = own_token * token_stride + channel;
    typename Memory::Tile& tile = shared.tile[which];
#pragma unroll
    for (int first = 0; first < kTokens; first += kPiece) {
      const int token = first + own_token;
      Element* to_r = &tile.r[row_of(token) + channel];
      Element* to_k = &tile.k[row_of(token) + channel];
      Element* to_v = &tile.v[kWidens ? token * N + channel : v_index(token, channel)];
      if (IsWhole || token < tokens) {
        const int64_t from = own + first * token_stride;
        if constexpr (kOutputs) copy16_async(to_r, r + from);
        copy16_async(to_k, k + from);
        copy16_async(to_v, v + from);
      } else {
        const float4 zero = {};
        if constexpr (kOutputs) *reinterpret_cast<float4*>(to_r) = zero;
        *reinterpret_cast<float4*>(to_k) = *reinterpret_cast<float4*>(to_v) = zero;
      }
    }
  }

  template <bool kOutputs>
  __device__ void start_copy(int which, const Element* r, const Element* k, const Element* v, int tokens) const {
    if (tokens >= kTokens) {
      copy_tile<kOutputs, true>(which, r, k, v, tokens);
    } else {
      copy_tile<kOutputs, false>(which, r, k, v, tokens);
    }
    __pipeline_commit();
  }

  // r' = r w^p, k' = k w^(L-1-q) with L the tokens that the chunk has, and v as fp32.
  template <bool kOutputs>
  __device__ void prepare_rows(int which, int tokens) const {
    const typename Memory::Tile& tile = shared.tile[which];
    const int channel = threadIdx.x * 4 % N;
#pragma unroll
    for (int sub = 0; sub < kTokens / kSub; ++sub) {
      const int token = sub * kSub + threadIdx.x / (N / 4), position = token % kChunk;
      const int missing = max((sub * kSub / kChunk + 1) * kChunk - tokens, 0);  // in the token's chunk
      const int after = max(kChunk - 1 - position - missing, 0);
      const auto decayed = [&](float4 x, int exponent) -> float4 {
        const float4 power = load4(&shared.factor[power_row(exponent)][channel]);
        return {power.x * x.x, power.y * x.y, power.z * x.z, power.w * x.w};
      };
      const int from = row_of(token) + channel;
      if constexpr (kOutputs) store4(decayed(load4(&tile.r[from]), position), &shared.r[token][channel]);
      store4(decayed(load4(&tile.k[from]), after), &shared.k[token][channel]);
      if constexpr (kWidens) store4(load4(&tile.v[token * N + channel]), &shared.v[v_index(token, channel)]);
    }
  }

  // A of the tile's chunks: a few lanes own a square of it, each some of the key channels, over which they add up.
  __device__ void prepare_scores(int which) const {
    constexpr int kSquares = kTokens / kChunk * 4, kSlices = N / kSquares, kSteps = N / (4 * kSlices);
    const typename Memory::Tile& tile = shared.tile[which];
    const int square = threadIdx.x / kSlices, slice = threadIdx.x % kSlices;
    const int p = square / 2 * kSub, later = square / 2 % 2, earlier = square % 2,
              q = square / 4 * kChunk + earlier * kSub;
    const float(*factor)[N] = shared.factor + max(later - earlier, 0) * kSub;

    float sums[kSub * kSub] = {};
#pragma unroll 1
    for (int step = 0; step < kSteps; ++step) {
      // Neighbouring squares, whose rows lie in the same banks, do not take the same channels at once.
      const int channel = 4 * (slice + kSlices * (step ^ (later ^ earlier) % kSteps));
      float4 r[kSub], k[kSub];
#pragma unroll
      for (int i = 0; i < kSub; ++i) {
        r[i] = load4(&tile.r[row_of(p + i) + channel]);
        k[i] = load4(&tile.k[row_of(q + i) + channel]);
      }
#pragma unroll
      for (int distance = 1 - kSub; distance < kSub; ++distance) {
        const float4 f = load4(&factor[factor_row(distance)][channel]);
#pragma unroll
        for (int b = max(-distance, 0); b < kSub - max(distance, 0); ++b) {
          const float4 x = r[b + distance], y = k[b];
          float& sum = sums[(b + distance) * kSub + b];
          sum += x.x * (f.x * y.x), sum += x.y * (f.y * y.y), sum += x.z * (f.z * y.z), sum += x.w * (f.w * y.w);
        }
      }
    }
    sum_over_lanes<kSub * kSub / 2, kSlices / 2>(sums);
    const int first = slice * kSub * kSub / kSlices;  // of the sums that this lane keeps
    float* to = &shared.scores[p + first / kSub][earlier * kSub + first % kSub];
    if (later < earlier) sums[0] = sums[1] = sums[2] = sums[3] = 0;
    if constexpr (kSlices == 4) {
      store4({sums[0], sums[1], sums[2], sums[3]}, to);
    } else if constexpr (kSlices == 8) {
      store2({sums[0], sums[1]}, to);
    } else {
      store(sums[0], to);
    }
  }

  // y of the chunk whose first token is `first`. The lane stores one column, to y, which goes on to the next chunk.
  template <bool IsWhole>
  __device__ void outputs(int which, int first, int tokens, Element*& y) const {
    const float* v = v_tile(which);
    const float4 own_v[2] = {load4(&v[v_index(first + lane, half_column(0))]),
                             load4(&v[v_index(first + lane, half_column(1))])};
#pragma unroll(IsWhole ? kChunk : 1)
    for (int p = first; p < first + kChunk; ++p) {
      float sums[8];
      const float score = shared.scores[p][lane];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        sums[4 * half] = score * own_v[half].x, sums[4 * half + 1] = score * own_v[half].y;
        sums[4 * half + 2] = score * own_v[half].z, sums[4 * half + 3] = score * own_v[half].w;
      }
#pragma unroll
      for (int quad = 0; quad < kQuads; ++quad) {
        const float4 r = load4(&shared.r[p][row(quad)]);
        const auto add = [&](const float4(&s)[2], float r_i) {
          sums[0] += r_i * s[0].x, sums[1] += r_i * s[0].y, sums[2] += r_i * s[0].z, sums[3] += r_i * s[0].w;
          sums[4] += r_i * s[1].x, sums[5] += r_i * s[1].y, sums[6] += r_i * s[1].z, sums[7] += r_i * s[1].w;
        };
        add(state[4 * quad], r.x), add(state[4 * quad + 1], r.y);
        add(state[4 * quad + 2], r.z), add(state[4 * quad + 3], r.w);
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) sums[i] += __shfl_xor_sync(kWholeWarp, sums[4 + i], 4);
      sum_over_lanes<2, 2>(sums);
      if (IsWhole || p < tokens) store(sums[0], y);
      y += token_stride;
    }
  }

  // S' of the same chunk.
  __device__ void advance(int which, int first, int tokens) {
    const int last = first + kChunk > tokens ? 1 : 0;
#pragma unroll
    for (int quad = 0; quad < kQuads; ++quad) {
      const float4 keep = load4(&shared.keep[last][row(quad)]), gain = load4(&shared.gain[last][row(quad)]);
      const Decay decays[4] = {{keep.x, gain.x}, {keep.y, gain.y}, {keep.z, gain.z}, {keep.w, gain.w}};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        for (float4& s : state[4 * quad + i]) s = decayed(s, decays[i]);
      }
    }
    const float* v_rows = v_tile(which);
#pragma unroll 4
    for (int q = first; q < first + kChunk; ++q) {
      const float4 v[2] = {load4(&v_rows[v_index(q, half_column(0))]), load4(&v_rows[v_index(q, half_column(1))])};
#pragma unroll
      for (int quad = 0; quad < kQuads; ++quad) {
        const float4 k = load4(&shared.k[q][row(quad)]);
        add_product(state[4 * quad], k.x, v), add_product(state[4 * quad + 1], k.y, v);
        add_product(state[4 * quad + 2], k.z, v), add_product(state[4 * quad + 3], k.w, v);
      }
    }
  }

  static __device__ void add_product(float4 (&s)[2], float k, const float4 (&v)[2]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      s[half].x += k * v[half].x, s[half].y += k * v[half].y, s[half].z += k * v[half].z, s[half].w += k * v[half].w;
    }
  }

  // Through all tokens; y, and r, only with outputs.
  template <bool kOutputs>
  __device__ void run(const Element* r, const Element* k, const Element* v, Element* y, int tokens) {
    start_copy<kOutputs>(0, r, k, v, tokens);
    if constexpr (kOutputs) y += half_column(0) + lane % 4;
    int which = 0;
    for (; tokens > 0; tokens -= kTokens) {
      const int64_t next = kTokens * token_stride;
      __pipeline_wait_prior(0);
      __syncthreads();  // this tile is there for every thread, and the other one is free
      k += next, v += next;
      if constexpr (kOutputs) r += next;
      if (tokens > kTokens) start_copy<kOutputs>(1 - which, r, k, v, tokens - kTokens);
      prepare_rows<kOutputs>(which, tokens);
      if constexpr (kOutputs) prepare_scores(which);
      __syncthreads();
      for (int first = 0; first < min(tokens, kTokens); first += kChunk) {
        if constexpr (kOutputs) {
          if (first + kChunk <= tokens) {
            outputs<true>(which, first, tokens, y);
          } else {
            outputs<false>(which, first, tokens, y);
          }
        }
        advance(which, first, tokens);
      }
      which = 1 - which;
    }
  }
};

}  // namespace wkv::kernels
