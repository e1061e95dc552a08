// Tiles of a warp, coalesced groups and block-wide groups of cooperative groups.
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <cooperative_groups/scan.h>

namespace cg = cooperative_groups;

// out: for each thread the sum of its tile of 8, the largest of its warp, the exclusive prefix in its tile of 16.
extern "C" __global__ void tile_reductions(const int* in, int* sum8, int* max32, int* prefix16, float* fsum4) {
  const cg::thread_block block = cg::this_thread_block();
  const unsigned at = block.group_index().x * block.size() + block.thread_rank();
  const int value = in[at];
  const auto tile8 = cg::tiled_partition<8>(block);
  sum8[at] = cg::reduce(tile8, value, cg::plus<int>());
  max32[at] = cg::reduce(cg::tiled_partition<32>(block), value, cg::greater<int>());
  prefix16[at] = cg::exclusive_scan(cg::tiled_partition<16>(block), value);
  fsum4[at] = cg::reduce(cg::tiled_partition<4>(tile8), 0.5f * value, cg::plus<float>());
}

// Lanes with the same key add together and one of them does the atomic.
extern "C" __global__ void labelled_histogram(const int* in, int* counts, int n) {
  const int at = blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= n) return;
  const auto active = cg::coalesced_threads();
  const auto same = cg::labeled_partition(active, in[at]);
  if (same.thread_rank() == 0) atomicAdd(&counts[in[at]], static_cast<int>(same.size()));
}

// Tree by shuffles within a tile, then block-wide by shared memory.
extern "C" __global__ void shuffle_sum(const double* in, double* out) {
  __shared__ double partial[32];
  const cg::thread_block block = cg::this_thread_block();
  const auto warp = cg::tiled_partition<32>(block);
  double sum = in[block.group_index().x * block.size() + block.thread_rank()];
  for (int offset = 16; offset > 0; offset /= 2) sum += warp.shfl_down(sum, offset);
  if (warp.thread_rank() == 0) partial[warp.meta_group_rank()] = sum;
  block.sync();
  if (warp.meta_group_rank() == 0) {
    sum = warp.thread_rank() < warp.meta_group_size() ? partial[warp.thread_rank()] : 0;
    for (int offset = 16; offset > 0; offset /= 2) sum += warp.shfl_xor(sum, offset);
    if (warp.thread_rank() == 0) out[block.group_index().x] = sum;
  }
}

extern "C" __global__ void votes(const int* in, unsigned* out) {
  const auto warp = cg::tiled_partition<32>(cg::this_thread_block());
  const int value = in[threadIdx.x];
  unsigned result = warp.ballot(value & 1);
  result ^= warp.any(value == 3) ? 0x10000u : 0;
  result ^= warp.all(value >= 0) ? 0x20000u : 0;
  result ^= warp.match_any(value % 4);
  int all_same;
  result ^= warp.match_all(value / 64, all_same);
  out[threadIdx.x] = result + (all_same ? 1 : 0) + __reduce_xor_sync(0xffffffffu, value) + __activemask();
}

// Tiles of several warps, which meet in shared memory that the system reserves.
extern "C" __global__ void wide_tiles(const int* in, int* sum64, int* max128) {
  const cg::thread_block block = cg::this_thread_block();
  const auto tile64 = cg::tiled_partition<64>(block);
  const auto tile128 = cg::tiled_partition<128>(block);
  const unsigned at = block.thread_rank();
  for (int round = 0; round < 3; ++round) sum64[at] = cg::reduce(tile64, in[at] + round, cg::plus<int>());
  tile128.sync();
  max128[at] = cg::reduce(tile128, in[at], cg::greater<int>());
}
