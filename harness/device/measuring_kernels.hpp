// The kernels behind a GPU's ceilings and its clock, as host code sees them: functions to name in a launch.
#pragma once

#include <cstdint>

namespace wkv {

// Arithmetic kernels run in blocks of this many threads and leave one float a thread in `sums`, so that the compiler
// keeps all of it.
constexpr int kMeasuringThreads = 256;

struct MeasuringKernels {
  // A block copies kMeasuringThreads * kCopyFloats floats; from and to are 16-byte aligned.
  void (*copy)(const float* from, float* to, int64_t floats);
  static constexpr int kCopyFloats = 16;  // a thread

  // Every thread: rounds * kFmas of x = factor * x + term.
  void (*fma)(int rounds, float factor, float term, float* sums);
  static constexpr int kFmas = 128;

  // Every warp: rounds * kMmas products of 16x16 by 16x8 matrices in bf16, added up in fp32; the first ones are all 1,
  // the second ones all 1/16, so that every element of a sum grows by 1.
  void (*mma)(int rounds, float* sums);
  static constexpr int kMmas = 32;
  static constexpr double kMmaFlops = 2.0 * 16 * 8 * 16;

  // One thread: waits for this many cycles of its clock or a few more, and tells how many.
  void (*spin)(int64_t cycles, int64_t* spun);
};

// Throws DeviceError in a program that was built without nvcc.
const MeasuringKernels& measuring_kernels();
void register_measuring_kernels(const MeasuringKernels& kernels);  // which live on

}  // namespace wkv
