// LSTM and GRU with a launch a token, w_hh from global memory each time.
#pragma once

#include "kernels/recurrent.cuh"

namespace wkv::kernels {

template <class Cell, class Element, int kBatch>
__global__ void __launch_bounds__(256)
    recurrent_step(const typename Cell::Tensors tensors, const float* input, const float* h, float* next_h, const int t,
                   const int B, const int T, const int C) {
  using Step = RecurrentStep<Cell, Element, kBatch>;
  __shared__ float sums[Step::kChannels * Step::kPitch];
  const Step step{tensors, input, B, T, C};
  const float* w = tensors.w_hh + int64_t{step.first_channel + step.warp} * C;
  step.run(t, w, int64_t{C} * C, h, next_h, sums);
}

template <class Op, class Cell>
void launch_stepwise(const Problem& p, const typename Op::Tensors& tensors, Device& device) {
  const int64_t C = p.channels(), T = p.new_tokens();
  const size_t input_bytes = sizeof(float) * static_cast<size_t>(p.B * T * Op::kGates * C),
               h_bytes = sizeof(float) * static_cast<size_t>(p.B * C);
  std::byte* scratch = device.scratch(input_bytes + 2 * h_bytes);
  const auto h_after = [&](int64_t t) {
    return t == T - 1 ? tensors.h_out : reinterpret_cast<float*>(scratch + input_bytes + t % 2 * h_bytes);
  };
  const LaunchShape shape{.grid = {static_cast<uint32_t>(C / 8)}, .block = {256}};
  with_device_element(p.dtype, [&]<class Element>(Element*) {
    launch_input_products<Element>(device, tensors.x, tensors.w_ih, tensors.b_ih, scratch, p.B * T, C, Op::kGates * C);
    with_batch(p.B, [&]<int kBatch>(std::integral_constant<int, kBatch>) {
      for (int64_t t = 0; t < T; ++t) {
        device.launch(recurrent_step<Cell, Element, kBatch>, shape, tensors, reinterpret_cast<const float*>(scratch),
                      t == 0 ? tensors.h : h_after(t - 1), h_after(t), static_cast<int>(t), static_cast<int>(p.B),
                      static_cast<int>(T), static_cast<int>(C));
      }
    });
  });
}

}  // namespace wkv::kernels
