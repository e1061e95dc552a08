// CUB's warp and block primitives, as anyone would use them.
#include <cub/block/block_radix_sort.cuh>
#include <cub/block/block_reduce.cuh>
#include <cub/block/block_scan.cuh>
#include <cub/block/block_store.cuh>
#include <cub/warp/warp_reduce.cuh>
#include <cub/warp/warp_scan.cuh>

constexpr int kThreads = 128;

extern "C" __global__ void warp_reduce_and_scan(const float* in, float* sums, int* scanned) {
  using Reduce = cub::WarpReduce<float>;
  using Scan = cub::WarpScan<int>;
  __shared__ typename Reduce::TempStorage reduce_storage[kThreads / 32];
  __shared__ typename Scan::TempStorage scan_storage[kThreads / 32];
  const int warp = threadIdx.x / 32;
  const float value = in[blockIdx.x * kThreads + threadIdx.x];
  const float sum = Reduce(reduce_storage[warp]).Sum(value);
  if (threadIdx.x % 32 == 0) sums[(blockIdx.x * kThreads + threadIdx.x) / 32] = sum;
  int before;
  Scan(scan_storage[warp]).ExclusiveSum(static_cast<int>(value), before);
  scanned[blockIdx.x * kThreads + threadIdx.x] = before;
}

struct Decayed {  // y = decay * before + add, the pair that a linear recurrence scans over
  float decay, add;
};
struct Compose {
  __device__ Decayed operator()(const Decayed& first, const Decayed& second) const {
    return {first.decay * second.decay, second.decay * first.add + second.add};
  }
};

extern "C" __global__ void block_reduce_and_scan(const float* in, float* maxima, float* recurrence) {
  using Reduce = cub::BlockReduce<float, kThreads>;
  using Scan = cub::BlockScan<Decayed, kThreads, cub::BLOCK_SCAN_WARP_SCANS>;
  __shared__ union {
    typename Reduce::TempStorage reduce;
    typename Scan::TempStorage scan;
  } storage;
  const int at = blockIdx.x * kThreads + threadIdx.x;
  const float largest = Reduce(storage.reduce).Reduce(in[at], cuda::maximum<>{});
  if (threadIdx.x == 0) maxima[blockIdx.x] = largest;
  __syncthreads();
  Decayed state{0.5f, in[at]};
  Scan(storage.scan).InclusiveScan(state, state, Compose{});
  recurrence[at] = state.add;
}

extern "C" __global__ void block_sort(const unsigned* in, unsigned* out) {
  using Sort = cub::BlockRadixSort<unsigned, kThreads, 4>;
  using Store = cub::BlockStore<unsigned, kThreads, 4, cub::BLOCK_STORE_WARP_TRANSPOSE>;
  __shared__ union {
    typename Sort::TempStorage sort;
    typename Store::TempStorage store;
  } storage;
  unsigned keys[4];
  for (int i = 0; i < 4; ++i) keys[i] = in[(blockIdx.x * kThreads + threadIdx.x) * 4 + i];
  Sort(storage.sort).Sort(keys);
  __syncthreads();
  Store(storage.store).Store(out + blockIdx.x * kThreads * 4, keys);
}
