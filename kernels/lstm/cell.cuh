// A channel's step of LSTM on a device.
#pragma once

#include "kernels/lstm/lstm.hpp"
#include "kernels/recurrent.cuh"

namespace wkv::kernels {

struct LstmCell {
  static constexpr int kGates = Lstm::kGates;
  using Tensors = LstmTensors;

  // The channel's state lies at offset `at`; c is carried in c_out.
  static __device__ float step(const LstmTensors& tensors, const float (&from_x)[4], const float (&from_h)[4],
                               const float*, int64_t at, bool first) {
    const float i = sigmoid(from_x[0] + from_h[0]), f = sigmoid(from_x[1] + from_h[1]),
                g = tanhf(from_x[2] + from_h[2]), o = sigmoid(from_x[3] + from_h[3]);
    const float c = f * (first ? tensors.c : tensors.c_out)[at] + i * g;
    tensors.c_out[at] = c;
    return o * tanhf(c);
  }
};

}  // namespace wkv::kernels
