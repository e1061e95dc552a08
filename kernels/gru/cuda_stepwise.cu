// gru cuda_stepwise: the input's products for all tokens at once, then a launch a token: h's products and the cell.
// A block owns 64 tokens x 64 rows of w_ih; then eight channels with all their gates, a warp one each (recurrent.cuh).
// Moves x once for every 64 rows and w_ih once for every 64 tokens; the sums, 12 C bytes a token, out and in again;
//   w_hh once a token for every four batch entries, from L2 where it fits; h through L2.
// Limit: the latency of a launch, or L2's bandwidth where w_hh is large; the FP32 rate at large B.
// Supports hidden sizes that are multiples of 32.
#include "harness/variant.hpp"
#include "kernels/gru/cell.cuh"

namespace wkv::kernels {
namespace {

template <class Element, int kBatch>
__global__ void __launch_bounds__(256) gru_step(const GruTensors tensors, const float* input, const float* h,
                                                float* next_h, const int t, const int B, const int T, const int C) {
  using Step = RecurrentStep<GruCell, Element, kBatch>;
  __shared__ float sums[Step::kChannels * Step::kPitch];
  const Step step{tensors, input, B, T, C};
  const float* w = tensors.w_hh + int64_t{step.first_channel + step.warp} * C;
  step.run(t, w, int64_t{C} * C, h, next_h, sums);
}

void launch(const Problem& p, const GruTensors& tensors, Device& device) {
  const int64_t C = p.channels(), T = p.new_tokens(), gates = Gru::kGates;
  const size_t input_bytes = sizeof(float) * static_cast<size_t>(p.B * T * gates * C),
               h_bytes = sizeof(float) * static_cast<size_t>(p.B * C);
  std::byte* scratch = device.scratch(input_bytes + 2 * h_bytes);
  const auto h_after = [&](int64_t t) {
    return t == T - 1 ? tensors.h_out : reinterpret_cast<float*>(scratch + input_bytes + t % 2 * h_bytes);
  };
  const LaunchShape shape{.grid = {static_cast<uint32_t>(C / 8)}, .block = {256}};
  with_device_element(p.dtype, [&]<class Element>(Element*) {
    launch_input_products<Element>(device, tensors.x, tensors.w_ih, tensors.b_ih, scratch, p.B * T, C, gates * C);
    with_batch(p.B, [&]<int kBatch>(std::integral_constant<int, kBatch>) {
      for (int64_t t = 0; t < T; ++t) {
        device.launch(gru_step<Element, kBatch>, shape, tensors, reinterpret_cast<const float*>(scratch),
                      t == 0 ? tensors.h : h_after(t - 1), h_after(t), static_cast<int>(t), static_cast<int>(p.B),
                      static_cast<int>(T), static_cast<int>(C));
      }
    });
  });
}

const Registered<Gru> variant{{.name = "cuda_stepwise",
                               .device = DeviceKind::cuda,
                               .dtypes = {DType::f32, DType::bf16, DType::f16},
                               .unsupported = unsupported_by_steps,
                               .launch = launch}};

}  // namespace
}  // namespace wkv::kernels
