// The decay of a state over several tokens at once (decay.hpp), in a kernel.
#pragma once

#include "kernels/wkv5/decay.hpp"

namespace wkv::kernels {

inline __device__ float decayed(float s, const Decay& decay) {
  return decay.gain * s + __uint_as_float(__float_as_uint(s) & __float_as_uint(decay.keep));
}

inline __device__ float4 decayed(float4 s, const Decay& decay) {
  return {decayed(s.x, decay), decayed(s.y, decay), decayed(s.z, decay), decayed(s.w, decay)};
}

}  // namespace wkv::kernels
