#include "harness/device/measuring_kernels.hpp"

namespace wkv {
namespace {

constexpr int kChains = 16;  // of FMAs; with 2048 threads a multiprocessor far more than the latency needs
constexpr int kTiles = 8;    // of sums of matrix products

__global__ void __launch_bounds__(kMeasuringThreads) copy(const float* from, float* to, int64_t floats) {
  constexpr int kQuads = MeasuringKernels::kCopyFloats / 4;
  const auto* source = reinterpret_cast<const float4*>(from);
  auto* target = reinterpret_cast<float4*>(to);
  const int64_t first = int64_t{blockIdx.x} * kMeasuringThreads * kQuads + threadIdx.x, end = floats / 4;
  float4 quads[kQuads];  // all loads are under way before the first store
#pragma unroll
  for (int i = 0; i < kQuads; ++i) {
    if (const int64_t at = first + i * kMeasuringThreads; at < end) quads[i] = source[at];
  }
#pragma unroll
  for (int i = 0; i < kQuads; ++i) {
    if (const int64_t at = first + i * kMeasuringThreads; at < end) target[at] = quads[i];
  }
}

__global__ void __launch_bounds__(kMeasuringThreads) fma(int rounds, float factor, float term, float* sums) {
  float chain[kChains];
#pragma unroll
  for (int i = 0; i < kChains; ++i) chain[i] = static_cast<float>(i);  // the same values would be one chain
  for (int round = 0; round < rounds; ++round) {
#pragma unroll
    for (int i = 0; i < MeasuringKernels::kFmas; ++i) chain[i % kChains] = chain[i % kChains] * factor + term;
  }
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kChains; ++i) sum += chain[i];
  sums[blockIdx.x * kMeasuringThreads + threadIdx.x] = sum;
}

__global__ void __launch_bounds__(kMeasuringThreads) mma(int rounds, float* sums) {
  constexpr unsigned kOnes = 0x3f803f80u, kSixteenths = 0x3d803d80u;  // pairs of bf16
  float tile[kTiles][4];
#pragma unroll
  for (int i = 0; i < kTiles; ++i) tile[i][0] = tile[i][1] = tile[i][2] = tile[i][3] = static_cast<float>(i);
  for (int round = 0; round < rounds; ++round) {
#pragma unroll
    for (int i = 0; i < MeasuringKernels::kMmas; ++i) {
      float(&sum)[4] = tile[i % kTiles];
      asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %4, %4, %4}, {%5, %5}, "
          "{%0, %1, %2, %3};"
          : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
          : "r"(kOnes), "r"(kSixteenths));
    }
  }
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kTiles; ++i) sum += tile[i][0] + tile[i][1] + tile[i][2] + tile[i][3];
  sums[blockIdx.x * kMeasuringThreads + threadIdx.x] = sum;
}

__global__ void spin(int64_t cycles, int64_t* spun) {
  const int64_t start = clock64();
  int64_t now = start;
  while (now - start < cycles) now = clock64();
  *spun = now - start;
}

struct Registered {
  Registered() {
    static const MeasuringKernels kernels{.copy = copy, .fma = fma, .mma = mma, .spin = spin};
    register_measuring_kernels(kernels);
  }
} const registered;

}  // namespace
}  // namespace wkv
