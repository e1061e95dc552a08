// Copies from global to shared memory that run beside the arithmetic: cp.async groups, cuda::pipeline, cuda::barrier.
#include <cooperative_groups.h>
#include <cooperative_groups/memcpy_async.h>
#include <cuda_pipeline.h>

#include <cuda/barrier>
#include <cuda/pipeline>

namespace cg = cooperative_groups;
constexpr int kThreads = 64, kStages = 3, kSteps = 10;

// Sums kSteps tiles of kThreads float4, kStages of them in flight.
extern "C" __global__ void staged_sum(const float4* in, float4* out) {
  __shared__ float4 tiles[kStages][kThreads];
  const auto fetch = [&](int step) {
    if (step < kSteps)
      __pipeline_memcpy_async(&tiles[step % kStages][threadIdx.x], &in[step * kThreads + threadIdx.x], 16);
    __pipeline_commit();
  };
  for (int step = 0; step < kStages - 1; ++step) fetch(step);
  float4 sum = make_float4(0, 0, 0, 0);
  for (int step = 0; step < kSteps; ++step) {
    fetch(step + kStages - 1);
    __pipeline_wait_prior(kStages - 1);
    __syncthreads();
    const float4 value = tiles[step % kStages][kThreads - 1 - threadIdx.x];
    sum.x += value.x, sum.y += value.y, sum.z += value.z, sum.w += value.w;
    __syncthreads();
  }
  out[threadIdx.x] = sum;
}

// The last partial tile is filled up with zeros by the copy itself.
extern "C" __global__ void zero_filled(const float* in, float* out, int n) {
  __shared__ float tile[kThreads];
  const int at = blockIdx.x * kThreads + threadIdx.x;
  __pipeline_memcpy_async(&tile[threadIdx.x], &in[at < n ? at : 0], 4, at < n ? 0 : 4);
  __pipeline_commit();
  __pipeline_wait_prior(0);
  __syncthreads();
  out[at] = tile[threadIdx.x ^ 1];
}

extern "C" __global__ void block_pipeline(const int* in, int* out) {
  __shared__ cuda::pipeline_shared_state<cuda::thread_scope_block, 2> state;
  __shared__ alignas(16) int tiles[2][kThreads];
  const auto block = cg::this_thread_block();
  auto pipeline = cuda::make_pipeline(block, &state);
  const auto fetch = [&](int step) {
    pipeline.producer_acquire();
    cuda::memcpy_async(block, tiles[step % 2], in + step * kThreads, cuda::aligned_size_t<16>(sizeof(int) * kThreads),
                       pipeline);
    pipeline.producer_commit();
  };
  fetch(0);
  int sum = 0;
  for (int step = 0; step < kSteps; ++step) {
    if (step + 1 < kSteps) fetch(step + 1);
    pipeline.consumer_wait();
    sum += tiles[step % 2][(threadIdx.x + 1) % kThreads];
    pipeline.consumer_release();
  }
  out[threadIdx.x] = sum;
}

// Two halves of a block hand tiles to one another by barriers in shared memory: arrive here, wait there.
extern "C" __global__ void producer_consumer(const int* in, int* out) {
  using Barrier = cuda::barrier<cuda::thread_scope_block>;
#pragma nv_diag_suppress static_var_with_dynamic_init
  __shared__ Barrier full, empty;
  __shared__ int tile[kThreads];
  if (threadIdx.x == 0) {
    init(&full, 2 * kThreads);
    init(&empty, 2 * kThreads);
  }
  __syncthreads();
  if (threadIdx.x < kThreads) {
    for (int step = 0; step < kSteps; ++step) {
      if (step > 0) empty.arrive_and_wait();
      tile[threadIdx.x] = in[step * kThreads + threadIdx.x];
      const auto token = full.arrive();
      static_cast<void>(token);
    }
  } else {
    int sum = 0;
    for (int step = 0; step < kSteps; ++step) {
      if (step > 0) {
        const auto token = empty.arrive();
        static_cast<void>(token);
      }
      full.arrive_and_wait();
      sum += tile[2 * kThreads - 1 - threadIdx.x];
    }
    out[threadIdx.x - kThreads] = sum;
  }
}
