// What the CUDA kernels of LSTM and GRU share: the input's products for all tokens, and a step of the recurrence.
// A Cell has kGates, Tensors (x, w_ih, w_hh, b_ih, b_hh, h, y, h_out) and step(), which makes one channel's new h.
#pragma once

#include <algorithm>

#include "harness/device/device.hpp"
#include "harness/problem.hpp"
#include "kernels/device.cuh"

namespace wkv::kernels {

inline __device__ float sigmoid(float x) { return 1 / (1 + expf(-x)); }

// Four multiply-adds; as one expression it would be five instructions.
inline __device__ void add_dot(float4 a, float4 b, float& sum) {
  sum += a.x * b.x;
  sum += a.y * b.y;
  sum += a.z * b.z;
  sum += a.w * b.w;
}

// out[token][row] = sum over k of w[row][k] x[token][k] + bias[row]: a block makes 64 x 64 of them, a thread 4 x 4, 16
// apart. Rows of 32 k lie 36 floats apart in shared memory, so that eight lanes read eight rows without a conflict.
struct InputProducts {
  static constexpr int kTile = 64, kDepth = 32, kPitch = kDepth + 4, kThreads = 256;

  float x[kTile * kPitch], w[kTile * kPitch];

  template <class Element>
  static __device__ void bring(const Element* from, int rows, int C, float* to) {
#pragma unroll
    for (int i = threadIdx.x; i < kTile * kDepth / 4; i += kThreads) {
      const int row = i / (kDepth / 4), k = i % (kDepth / 4) * 4;
      if (row < rows) store4(load4(from + int64_t{row} * C + k), to + row * kPitch + k);
    }
  }

  __device__ void add_products(float (&sum)[4][4], int tokens, int rows) const {
    const int first_token = threadIdx.x / 16, first_row = threadIdx.x % 16;
#pragma unroll
    for (int k = 0; k < kDepth; k += 4) {
      float4 a[4], b[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        a[i] = b[i] = {};
        if (first_token + 16 * i < tokens) a[i] = load4(&x[(first_token + 16 * i) * kPitch + k]);
        if (first_row + 16 * i < rows) b[i] = load4(&w[(first_row + 16 * i) * kPitch + k]);
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          add_dot(a[i], b[j], sum[i][j]);
        }
      }
    }
  }
};

// A block for every 64 rows of w (x) and every 64 tokens (y). C is a multiple of 32.
template <class Element>
__global__ void __launch_bounds__(InputProducts::kThreads)
    input_products(const Element* x, const float* w, const float* bias, float* out, const int tokens, const int C,
                   const int rows) {
  constexpr int kTile = InputProducts::kTile, kDepth = InputProducts::kDepth;
  __shared__ alignas(16) InputProducts tile;
  const int first_token = blockIdx.y * kTile, first_row = blockIdx.x * kTile;
  const int tokens_here = min(kTile, tokens - first_token), rows_here = min(kTile, rows - first_row);
  x += int64_t{first_token} * C;
  w += int64_t{first_row} * C;
  float sum[4][4] = {};
  for (int k = 0; k < C; k += kDepth) {
    __syncthreads();  // the tile before is used up
    InputProducts::bring(x + k, tokens_here, C, tile.x);
    InputProducts::bring(w + k, rows_here, C, tile.w);
    __syncthreads();
    tile.add_products(sum, tokens_here, rows_here);
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int token = threadIdx.x / 16 + 16 * i;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int row = threadIdx.x % 16 + 16 * j;
      if (token < tokens_here && row < rows_here) {
        out[int64_t{first_token + token} * rows + first_row + row] = sum[i][j] + bias[first_row + row];
      }
    }
  }
}

template <class Element>
void launch_input_products(Device& device, const std::byte* x, const float* w, const float* bias, std::byte* out,
                           int64_t tokens, int64_t C, int64_t rows) {
  const auto tiles = [](int64_t size) {
    return static_cast<uint32_t>((size + InputProducts::kTile - 1) / InputProducts::kTile);
  };
  device.launch(input_products<Element>, {.grid = {tiles(rows), tiles(tokens)}, .block = {InputProducts::kThreads}},
                reinterpret_cast<const Element*>(x), w, bias, reinterpret_cast<float*>(out), static_cast<int>(tokens),
                static_cast<int>(C), static_cast<int>(rows));
}

// The lanes' sums, added up over the warp: each lane gets the total of sum number lane * kSums / 32. A halving of the
// sums with each exchange, and exchanges of whole sums when one is left. kSums is a power of two.
template <int kSums, int kLanes = 32>
inline __device__ float warp_total(float (&sums)[kSums]) {
  if constexpr (kSums == 1) {
#pragma unroll
    for (int distance = kLanes / 2; distance > 0; distance /= 2) {
      sums[0] += __shfl_xor_sync(0xffffffffu, sums[0], distance);
    }
    return sums[0];
  } else {
    constexpr int kDistance = kLanes / 2;
    const bool upper = threadIdx.x & kDistance;
    float kept[kSums / 2];
#pragma unroll
    for (int i = 0; i < kSums / 2; ++i) {
      const float keep = pick(sums[i], sums[kSums / 2 + i], upper ? kSecond : kFirst),
                  send = pick(sums[i], sums[kSums / 2 + i], upper ? kFirst : kSecond);
      kept[i] = keep + __shfl_xor_sync(0xffffffffu, send, kDistance);
    }
    return warp_total<kSums / 2, kLanes / 2>(kept);
  }
}

// A step, by a block of eight warps that owns eight channels with all their gates: a warp makes the sums of a channel,
// for up to kBatch entries at a time, its lanes side by side along k; then a thread makes a channel's h of an entry.
template <class Cell, class Element, int kBatch>
struct RecurrentStep {
  static constexpr int kGates = Cell::kGates, kChannels = 8, kThreads = 32 * kChannels;
  static constexpr int kSums = 4 * kBatch;  // kGates * kBatch, or more: a power of two
  static constexpr int kPitch = 20;         // so that eight channels and four entries lie in different banks

  typename Cell::Tensors tensors;
  const float* input;  // (B, T, kGates, C): W x + b_W
  int B, T, C;

  int warp = threadIdx.x / 32;
  int first_channel = blockIdx.x * kChannels;

  // w: the warp's row of the first gate, in global or shared memory; the other gates' are gate_stride apart.
  __device__ void run(int t, const float* w, int64_t gate_stride, const float* h, float* next_h, float* sums) const {
    for (int b = 0; b < B; b += kBatch) {
      const int entries = min(kBatch, B - b);
      const bool finishes = threadIdx.x < kChannels * entries;
      const int channel = first_channel + threadIdx.x % kChannels, entry = threadIdx.x / kChannels;
      const int64_t token = int64_t{b + entry} * T + t;
      float from_x[kGates];
      if (finishes) bring_input(token, channel, from_x);  // while the products are made
      const float total = products(w, gate_stride, h + int64_t{b} * C, entries);
      const int lane = threadIdx.x % 32, which = lane * kSums / 32;
      if (lane % (32 / kSums) == 0) sums[warp * kPitch + which] = total;
      __syncthreads();
      if (finishes) {
        const int64_t at = int64_t{b + entry} * C + channel;
        finish(t, token, channel, at, from_x, sums + threadIdx.x % kChannels * kPitch + entry, h, next_h);
      }
      __syncthreads();
    }
  }

 private:
  __device__ float products(const float* w, int64_t gate_stride, const float* h, int entries) const {
    float sum[kSums] = {};  // [gate][entry]
    for (int k = threadIdx.x % 32 * 4; k < C; k += 128) {
      float4 row[kGates];
#pragma unroll
      for (int gate = 0; gate < kGates; ++gate) row[gate] = load4(w + gate * gate_stride + k);
#pragma unroll
      for (int entry = 0; entry < kBatch; ++entry) {
        if (entry >= entries) break;
        const float4 value = load4(h + int64_t{entry} * C + k);
#pragma unroll
        for (int gate = 0; gate < kGates; ++gate) {
          add_dot(row[gate], value, sum[gate * kBatch + entry]);
        }
      }
    }
    return warp_total(sum);
  }

  __device__ void bring_input(int64_t token, int channel, float (&from_x)[kGates]) const {
#pragma unroll
    for (int gate = 0; gate < kGates; ++gate) from_x[gate] = input[(token * kGates + gate) * C + channel];
  }

  __device__ void finish(int t, int64_t token, int channel, int64_t at, const float (&from_x)[kGates],
                         const float* sums, const float* h, float* next_h) const {
    float from_h[kGates];
#pragma unroll
    for (int gate = 0; gate < kGates; ++gate) from_h[gate] = sums[gate * kBatch] + tensors.b_hh[gate * C + channel];
    const float value = Cell::step(tensors, from_x, from_h, h + at, at, t == 0);
    next_h[at] = value;
    store(value, reinterpret_cast<Element*>(tensors.y) + token * C + channel);
  }
};

// Picks kBatch.
template <class Body>
void with_batch(int64_t B, const Body& body) {
  if (B == 1) {
    body(std::integral_constant<int, 1>());
  } else {
    body(std::integral_constant<int, 4>());
  }
}

inline std::optional<std::string> unsupported_by_steps(const Problem& p) {
  if (p.channels() % 32 == 0) return std::nullopt;
  return "a hidden size that is not a multiple of 32";
}

}  // namespace wkv::kernels
