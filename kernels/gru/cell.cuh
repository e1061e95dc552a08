// A channel's step of GRU on a device.
#pragma once

#include "kernels/gru/gru.hpp"
#include "kernels/recurrent.cuh"

namespace wkv::kernels {

struct GruCell {
  static constexpr int kGates = Gru::kGates;
  using Tensors = GruTensors;

  static __device__ float step(const GruTensors&, const float (&from_x)[3], const float (&from_h)[3], const float* h,
                               int64_t, bool) {
    const float r = sigmoid(from_x[0] + from_h[0]), z = sigmoid(from_x[1] + from_h[1]);
    const float n = tanhf(from_x[2] + r * from_h[2]);
    return n + z * (*h - n);
  }
};

}  // namespace wkv::kernels
