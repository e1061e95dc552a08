// One token of WKV4 for one channel; exponents are powers of two.
#pragma once

#include "kernels/running_sums.cuh"

namespace wkv::kernels {

// y from the sums before the token, with it and its bonus.
inline __device__ float wkv4_output(RunningSums sums, float k, float v, float u) {
  sums.add(u + k, v);
  return sums.mean();
}

inline __device__ void wkv4_advance(RunningSums& sums, float k, float v, float w) {
  sums.exponent -= w;
  sums.add(k, v);
}

}  // namespace wkv::kernels
