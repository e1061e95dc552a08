// The innermost loops behind the ceilings, in the best SIMD instructions that the CPU has.
#pragma once

#include <cstddef>
#include <cstdint>

namespace wkv {

// Copies from one place to another, over and over; both 64-byte aligned, `floats` a multiple of kCopyGranule.
// Streaming stores go past the caches.
void copy_rounds(const float* from, float* to, size_t floats, int64_t rounds, bool streaming);
constexpr size_t kCopyGranule = 256;

// Reads from four places side by side, a multiple of kCopyGranule floats; returns a sum, which means nothing.
float read_all(const float* from, size_t floats);

// Independent chains of arithmetic in registers; return the FLOPs done.
double fma_rounds(int64_t rounds);
double bf16_dot_rounds(int64_t rounds);  // 0, and nothing done, where the CPU has no such instruction

// Of the SIMD instruction set in use, e.g. "AVX2".
const char* simd_target();

}  // namespace wkv
