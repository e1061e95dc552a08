// The states that segments of a sequence start from, out of what each segment makes of a state of zero:
//   start[0] = state,  start[s] = w^tokens start[s-1] + local[s-1]
// for every element of the state. Both kernels move every local state in and every start out once, in place: starts
// holds local[0] to local[count - 1] of each head (grid y), then start[1] to start[count].
#pragma once

#include <cub/block/block_scan.cuh>

#include "kernels/device.cuh"
#include "kernels/wkv5/decay.cuh"

namespace wkv::kernels {

constexpr int kChainThreads = 256;

// One segment after the other; a thread owns four elements, of one key channel. Eight loads are under way at a time.
template <int N>
__global__ void __launch_bounds__(kChainThreads) wkv5_chain_segments(const float* w, const float* state, float* starts,
                                                                     const int H, const int count, const int tokens) {
  constexpr int kAhead = 8;
  const int64_t head = blockIdx.y, element = 4 * (blockIdx.x * kChainThreads + threadIdx.x);
  starts += head * count * N * N + element;
  const Decay decay = decay_over(tokens, w[head % H * N + element / N]);
  float4 s = load4(state + head * N * N + element);
  for (int first = 0; first < count; first += kAhead) {
    float4 local[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      if (first + i < count) local[i] = load4(starts + i * N * N);
    }
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      if (first + i >= count) break;
      s = decayed(s, decay);
      s = {s.x + local[i].x, s.y + local[i].y, s.z + local[i].z, s.w + local[i].w};
      store4_whole(s, starts + i * N * N);
    }
    starts += kAhead * N * N;
  }
}

// What a run of segments does to a state S: S' = decay S + state. The decay is kept in double precision: of equal
// segments it is a power of a power, where a rounding to fp32 would grow with the number of segments.
struct Link {
  double decay;
  float4 state[2];
};

struct Join {
  static __device__ float4 joined(float decay, float4 s, float4 add) {
    return {decay * s.x + add.x, decay * s.y + add.y, decay * s.z + add.z, decay * s.w + add.w};
  }
  __device__ Link operator()(const Link& first, const Link& second) const {
    const auto decay = static_cast<float>(second.decay);
    return {first.decay * second.decay,
            {joined(decay, first.state[0], second.state[0]), joined(decay, first.state[1], second.state[1])}};
  }
};

// Hands the scan of one tile of segments on to the next.
struct RunningLink {
  Link total;
  __device__ Link operator()(const Link& tile) {
    const Link before = total;
    total = Join{}(total, tile);
    return before;
  }
};

inline __device__ float4 pick4(float4 first, float4 second, unsigned which) {
  return {pick(first.x, second.x, which), pick(first.y, second.y, which), pick(first.z, second.z, which),
          pick(first.w, second.w, which)};
}

inline __device__ float4 shuffle4_xor(float4 value, int lanes) {
  constexpr unsigned kWholeWarp = 0xffffffffu;
  return {__shfl_xor_sync(kWholeWarp, value.x, lanes), __shfl_xor_sync(kWholeWarp, value.y, lanes),
          __shfl_xor_sync(kWholeWarp, value.z, lanes), __shfl_xor_sync(kWholeWarp, value.w, lanes)};
}

// Two lanes exchange the second value of the even one for the first of the odd one: what they loaded from two places,
// half a sector each, becomes a whole sector each, and the other way round.
inline __device__ void transpose_pair(float4 (&values)[2]) {
  const bool odd = threadIdx.x % 2 == 1;
  const unsigned own = odd ? kSecond : kFirst, others = odd ? kFirst : kSecond;
  const float4 keep = pick4(values[0], values[1], own);
  const float4 got = shuffle4_xor(pick4(values[0], values[1], others), 1);
  values[0] = pick4(keep, got, own);
  values[1] = pick4(keep, got, others);
}

constexpr int kScanThreads = 256;

// A scan over (decay, state) pairs, each standing for a run of segments. A block owns eight neighbouring elements of a
// state (x), which are of one key channel; a thread owns a segment.
template <int N>
__global__ void __launch_bounds__(kScanThreads) wkv5_scan_segments(const float* w, const float* state, float* starts,
                                                                   const int H, const int count, const int tokens) {
  using Scan = cub::BlockScan<Link, kScanThreads, cub::BLOCK_SCAN_WARP_SCANS>;
  __shared__ typename Scan::TempStorage shared;

  const int64_t head = blockIdx.y, elements = 8 * blockIdx.x + threadIdx.x % 2 * 4;
  state += head * N * N + elements;
  starts += head * count * N * N + elements;
  double segment_decay = 1, square = w[head % H * N + 8 * blockIdx.x / N];
  for (int n = tokens; n > 0; n /= 2, square *= square) {
    if (n % 2 == 1) segment_decay *= square;
  }

  RunningLink running{{1, {}}};
  for (int first = 0; first <= count; first += kScanThreads) {
    // Links are counted from the initial state, link 0; lanes come in pairs, of links `pair` and `pair` + 1.
    const int pair = first + threadIdx.x / 2 * 2;
    Link link{segment_decay, {}};
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int number = pair + i;
      if (number <= count) link.state[i] = load4(number == 0 ? state : starts + (number - 1) * N * N);
    }
    transpose_pair(link.state);
    Scan(shared).InclusiveScan(link, link, Join{}, running);
    transpose_pair(link.state);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int number = pair + i;
      if (number > 0 && number <= count) store4_whole(link.state[i], starts + (number - 1) * N * N);
    }
    __syncthreads();  // the next tile's scan uses the same shared memory
  }
}

}  // namespace wkv::kernels
