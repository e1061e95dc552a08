// LSTM and GRU in one launch for all tokens, w_hh in shared memory. The blocks wait for each other once a token, which
// takes a launch that has all of them on the device at once.
#pragma once

#include <string>

#include "kernels/recurrent.cuh"

namespace wkv::kernels {

// All blocks of the grid have come here `round` times, the first one being 1, and see what each had written before.
// The counter is 0 at first.
inline __device__ void wait_for_all_blocks(unsigned* arrived, unsigned round) {
  __syncthreads();
  if (threadIdx.x == 0) {
    asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(arrived) : "memory");
    for (;;) {
      unsigned count;
      asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(count) : "l"(arrived) : "memory");
      if (count >= round * gridDim.x) break;
      __nanosleep(20);
    }
  }
  __syncthreads();
}

template <class Cell, class Element, int kBatch>
__global__ void __launch_bounds__(256)
    recurrent_persistent(const typename Cell::Tensors tensors, const float* input, float* h_scratch, unsigned* arrived,
                         const int B, const int T, const int C) {
  using Step = RecurrentStep<Cell, Element, kBatch>;
  extern __shared__ float4 weights[];  // [warp][gate][C]
  __shared__ float sums[Step::kChannels * Step::kPitch];
  const Step step{tensors, input, B, T, C};
  float* own = reinterpret_cast<float*>(weights) + step.warp * Step::kGates * C;
#pragma unroll
  for (int gate = 0; gate < Step::kGates; ++gate) {
    const float* row = tensors.w_hh + (int64_t{gate} * C + step.first_channel + step.warp) * C;
    for (int k = threadIdx.x % 32 * 4; k < C; k += 128) copy16_async(own + gate * C + k, row + k);
  }
  __pipeline_commit();
  __pipeline_wait_prior(0);  // each lane reads what it has copied itself

  const float* h = tensors.h;
  for (int t = 0; t < T; ++t) {
    float* next_h = t == T - 1 ? tensors.h_out : h_scratch + int64_t{t % 2} * B * C;
    step.run(t, own, C, h, next_h, sums);
    if (t < T - 1) wait_for_all_blocks(arrived, static_cast<unsigned>(t + 1));
    h = next_h;
  }
}

inline LaunchShape persistent_shape(const Problem& p, int64_t gates) {
  constexpr int64_t kChannels = 8;  // of a block
  return {.grid = {static_cast<uint32_t>(p.channels() / kChannels)},
          .block = {256},
          .dynamic_shared_bytes = static_cast<uint32_t>(kChannels * gates * p.channels() * int64_t{sizeof(float)}),
          .cooperative = true};
}

// A block takes a multiprocessor: where two would fit, they would only share its shared memory's bandwidth.
inline std::optional<std::string> unsupported_by_size(const LaunchShape& shape, const DeviceProperties& device) {
  constexpr size_t kStaticShared = 1024;  // sums, rounded up
  const auto multiprocessors = static_cast<uint32_t>(device.multiprocessors);
  if (shape.grid.x <= multiprocessors && shape.dynamic_shared_bytes + kStaticShared <= device.shared_bytes) {
    return std::nullopt;
  }
  return "w_hh does not fit on the chip: it takes " + std::to_string(shape.grid.x) + " multiprocessors with " +
         std::to_string(shape.dynamic_shared_bytes / 1024 + 1) + " KiB of shared memory each, and there are " +
         std::to_string(multiprocessors) + " with " + std::to_string(device.shared_bytes / 1024) + " KiB";
}

template <class Op, class Cell>
void launch_persistent(const Problem& p, const typename Op::Tensors& tensors, Device& device) {
  const int64_t C = p.channels(), T = p.new_tokens();
  const size_t input_bytes = sizeof(float) * static_cast<size_t>(p.B * T * Op::kGates * C),
               h_bytes = sizeof(float) * static_cast<size_t>(p.B * C);
  std::byte* scratch = device.scratch(input_bytes + 2 * h_bytes + sizeof(unsigned));
  std::byte *h_scratch = scratch + input_bytes, *arrived = h_scratch + 2 * h_bytes;
  device.fill(arrived, std::byte{0}, sizeof(unsigned));
  with_device_element(p.dtype, [&]<class Element>(Element*) {
    launch_input_products<Element>(device, tensors.x, tensors.w_ih, tensors.b_ih, scratch, p.B * T, C, Op::kGates * C);
    with_batch(p.B, [&]<int kBatch>(std::integral_constant<int, kBatch>) {
      device.launch(recurrent_persistent<Cell, Element, kBatch>, persistent_shape(p, Op::kGates), tensors,
                    reinterpret_cast<const float*>(scratch), reinterpret_cast<float*>(h_scratch),
                    reinterpret_cast<unsigned*>(arrived), static_cast<int>(p.B), static_cast<int>(T),
                    static_cast<int>(C));
    });
  });
}

}  // namespace wkv::kernels
