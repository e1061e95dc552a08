// Atomic operations on global and shared memory, of all widths, with results that do not depend on their order.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cuda/atomic>

struct Results {
  int add, subtract, minimum, maximum;
  unsigned and_, or_, xor_, increment, decrement, exchange_sum, compare_and_swap;
  float float_add;
  double double_add;
  unsigned long long wide_add, wide_max;
  __half2 half2_add;
  __nv_bfloat162 bfloat162_add;
  int shared_add, scoped_add;
};

extern "C" __global__ void all_atomics(Results* results) {
  __shared__ int shared;
  const unsigned thread = blockIdx.x * blockDim.x + threadIdx.x;
  const int value = static_cast<int>(thread);
  if (threadIdx.x == 0) shared = 0;
  __syncthreads();
  atomicAdd(&results->add, value);
  atomicSub(&results->subtract, value);
  atomicMin(&results->minimum, value - 100);
  atomicMax(&results->maximum, value - 100);
  atomicAnd(&results->and_, ~(1u << (thread % 8)));
  atomicOr(&results->or_, 1u << (thread % 8));
  atomicXor(&results->xor_, thread);
  atomicInc(&results->increment, 9);
  atomicDec(&results->decrement, 9);
  // Each exchange gives what the one before it left: the sum of all but the last, added to the last, is that of all.
  atomicAdd(&results->exchange_sum,
            atomicExch(reinterpret_cast<unsigned*>(&results->compare_and_swap) + 0, 0u) * 0 + thread);
  for (unsigned seen = results->compare_and_swap;;) {
    const unsigned before = atomicCAS(&results->compare_and_swap, seen, seen + 0);
    if (before == seen) break;
    seen = before;
  }
  atomicAdd(&results->float_add, 0.5f);
  atomicAdd(&results->double_add, 0.25);
  atomicAdd(&results->wide_add, 1ull << 33);
  atomicMax(&results->wide_max, static_cast<unsigned long long>(thread) << 32);
  atomicAdd(&results->half2_add, __floats2half2_rn(1.0f, 2.0f));
  atomicAdd(&results->bfloat162_add, __floats2bfloat162_rn(1.0f, -1.0f));
  atomicAdd(&shared, value);
  cuda::atomic_ref<int, cuda::thread_scope_block> scoped(results->scoped_add);
  scoped.fetch_add(1, cuda::memory_order_relaxed);
  __syncthreads();
  if (threadIdx.x == 0) atomicAdd(&results->shared_add, shared);
}
