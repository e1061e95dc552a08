// The decay of a state over several tokens at once (decay.hpp), in a kernel.
#pragma once

#include "kernels/wkv5/decay.hpp"

namespace wkv::kernels {

inline __device__ float4 decayed(float4 s, const Decay& decay) {
  const auto apply = [&](float x) {
    return decay.gain * x + __uint_as_float(__float_as_uint(x) & __float_as_uint(decay.keep));
  };
  return {apply(s.x), apply(s.y), apply(s.z), apply(s.w)};
}

}  // namespace wkv::kernels
