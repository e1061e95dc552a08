// Sums over lanes of several values at once, in about one shuffle a value.
#pragma once

#include "kernels/device.cuh"

namespace wkv::kernels {

// Adds up over the lanes that differ in Bit and lower bits. Each keeps a part of the 2 Kept sums, in order of lanes;
// where lanes outnumber sums, neighbours keep the same one. kUsed: the sums that are not zero in every lane.
template <int Kept, int Bit, unsigned kUsed = 0xffffffffu>
__device__ void sum_over_lanes(float* sums) {
  constexpr unsigned kWholeWarp = 0xffffffffu;
  if constexpr (Kept == 0) {
    sums[0] += __shfl_xor_sync(kWholeWarp, sums[0], Bit);
  } else {
    const unsigned keep = threadIdx.x & Bit ? kSecond : kFirst, send = threadIdx.x & Bit ? kFirst : kSecond;
#pragma unroll
    for (int i = 0; i < Kept; ++i) {
      if (((kUsed >> i | kUsed >> (Kept + i)) & 1) == 0) continue;
      const float a = sums[i], b = sums[Kept + i];
      sums[i] = pick(a, b, keep) + __shfl_xor_sync(kWholeWarp, pick(a, b, send), Bit);
    }
  }
  if constexpr (Bit > 1) sum_over_lanes<Kept / 2, Bit / 2, (kUsed | kUsed >> Kept)>(sums);
}

}  // namespace wkv::kernels
