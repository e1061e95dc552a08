// AFT by sums over chunks of keys, a thread a channel: what a window leaves outside, and a single query.
// Grids: 128 channels (x), chunks where there are some (y), batch entries (z).
#pragma once

#include "kernels/aft/aft.hpp"
#include "kernels/device.cuh"
#include "kernels/running_sums.cuh"

namespace wkv::kernels {

constexpr int kChunkThreads = 128;
constexpr int kChunk = 64;  // keys

// Sums of every chunk, in channels of all batch entries; what is of one kind lies together.
struct ChunkSums {
  float* numerators;
  int64_t C, chunks, count;

  // Of a chunk in a channel of a batch entry.
  __device__ float* at(int64_t entry, int64_t chunk, int c) const {
    return numerators + (entry * chunks + chunk) * C + c;
  }
  __device__ RunningSums get(const float* at) const { return {at[0], at[count], at[2 * count]}; }
  __device__ void set(float* at, const RunningSums& sums) const {
    at[0] = sums.numerator, at[count] = sums.denominator, at[2 * count] = sums.exponent;
  }
};

inline __device__ float aft_bias(const AftTensors& tensors, const AftWindow& window, int64_t query, int64_t key) {
  return key < window.outside(query) ? 0 : tensors.bias[window.row(query) + key];
}

// Each chunk's own sums; of exp(k), or with the biases of the only query.
template <class Element>
__global__ void __launch_bounds__(kChunkThreads)
    aft_chunk_sums(const AftTensors tensors, const AftWindow window, const bool biased, const ChunkSums sums) {
  const int c = blockIdx.x * kChunkThreads + threadIdx.x;
  if (c >= sums.C) return;
  const int64_t first = int64_t{blockIdx.y} * kChunk, at = (blockIdx.z * window.T + first) * sums.C + c;
  const auto *k = reinterpret_cast<const Element*>(tensors.k) + at,
             *v = reinterpret_cast<const Element*>(tensors.v) + at;
  const int keys = static_cast<int>(min(int64_t{kChunk}, window.T - first));
  RunningSums chunk = no_sums();
#pragma unroll 8
  for (int i = 0; i < keys; ++i) {
    const float bias = biased ? aft_bias(tensors, window, 0, first + i) : 0;
    chunk.add(kLog2E * (load(k + i * sums.C) + bias), load(v + i * sums.C));
  }
  sums.set(sums.at(blockIdx.z, blockIdx.y, c), chunk);
}

// In place: the sums of all chunks before each.
static __global__ void __launch_bounds__(kChunkThreads) aft_chain_chunks(const ChunkSums sums) {
  const int c = blockIdx.x * kChunkThreads + threadIdx.x;
  if (c >= sums.C) return;
  float* at = sums.at(blockIdx.z, 0, c);
  RunningSums total = no_sums();
#pragma unroll 8
  for (int64_t chunk = 0; chunk < sums.chunks; ++chunk, at += sums.C) {
    const RunningSums own = sums.get(at);
    sums.set(at, total);
    total.add(own);
  }
}

// y of the only query, from its sums.
template <class Element>
__global__ void __launch_bounds__(kChunkThreads) aft_join_chunks(const AftTensors tensors, const ChunkSums sums) {
  const int c = blockIdx.x * kChunkThreads + threadIdx.x;
  if (c >= sums.C) return;
  const float* at = sums.at(blockIdx.z, 0, c);
  RunningSums total = no_sums();
#pragma unroll 8
  for (int64_t chunk = 0; chunk < sums.chunks; ++chunk, at += sums.C) total.add(sums.get(at));
  const int64_t query = blockIdx.z * sums.C + c;
  const float q = load(reinterpret_cast<const Element*>(tensors.q) + query);
  store(total.mean() * __fdividef(1, 1 + exp2f(-kLog2E * q)), reinterpret_cast<Element*>(tensors.y) + query);
}

}  // namespace wkv::kernels
