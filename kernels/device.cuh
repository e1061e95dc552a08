// What the CUDA kernels share: conversion of sequence elements to and from fp32, and asynchronous copies.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_pipeline.h>

#include "harness/dtype.hpp"

namespace wkv::kernels {

inline __device__ float load(const float* from) { return *from; }
inline __device__ float load(const __nv_bfloat16* from) { return __bfloat162float(*from); }
inline __device__ float load(const __half* from) { return __half2float(*from); }

// Four neighbouring elements in one load, aligned to their size together.
inline __device__ float4 load4(const float* from) { return *reinterpret_cast<const float4*>(from); }

inline __device__ float4 load4(const __nv_bfloat16* from) {
  const uint2 bits = *reinterpret_cast<const uint2*>(from);
  return {__uint_as_float(bits.x << 16), __uint_as_float(bits.x & 0xffff0000u), __uint_as_float(bits.y << 16),
          __uint_as_float(bits.y & 0xffff0000u)};
}

inline __device__ float4 load4(const __half* from) {
  const uint2 bits = *reinterpret_cast<const uint2*>(from);  // two loads of a pair each would meet in the banks
  const float2 low = __half22float2(*reinterpret_cast<const __half2*>(&bits.x)),
               high = __half22float2(*reinterpret_cast<const __half2*>(&bits.y));
  return {low.x, low.y, high.x, high.y};
}

// Two neighbouring elements, likewise.
inline __device__ float2 load2(const float* from) { return *reinterpret_cast<const float2*>(from); }
inline __device__ float2 load2(const __nv_bfloat16* from) {
  const unsigned bits = *reinterpret_cast<const unsigned*>(from);
  return {__uint_as_float(bits << 16), __uint_as_float(bits & 0xffff0000u)};
}
inline __device__ float2 load2(const __half* from) { return __half22float2(*reinterpret_cast<const __half2*>(from)); }

inline __device__ void store4(float4 value, float* to) { *reinterpret_cast<float4*>(to) = value; }

// To global memory. The compiler takes a plain float4 store apart where it likes to, which quadruples the sectors; it
// leaves these whole. The last one is for what nothing reads soon.
inline __device__ void store4_whole(float4 value, float* to) { __stcg(reinterpret_cast<float4*>(to), value); }
inline __device__ void store4_last(float4 value, float* to) { __stcs(reinterpret_cast<float4*>(to), value); }

// Rounds to nearest even.
inline __device__ void store(float value, float* to) { *to = value; }
inline __device__ void store(float value, __nv_bfloat16* to) { *to = __float2bfloat16_rn(value); }
inline __device__ void store(float value, __half* to) { *to = __float2half_rn(value); }

// Two neighbouring elements in one store; rounds to nearest even.
inline __device__ void store2(float2 value, float* to) {
  unsigned long long pair;  // as one value, which the compiler cannot take apart
  asm("mov.b64 %0, {%1, %2};" : "=l"(pair) : "f"(value.x), "f"(value.y));
  *reinterpret_cast<unsigned long long*>(to) = pair;
}
inline __device__ void store2(float2 value, __nv_bfloat16* to) {
  *reinterpret_cast<__nv_bfloat162*>(to) = __float22bfloat162_rn(value);
}
inline __device__ void store2(float2 value, __half* to) { *reinterpret_cast<__half2*>(to) = __float22half2_rn(value); }

// One of two values; the compiler, which likes to make branches of ?: even around shuffles, leaves it one instruction.
constexpr unsigned kFirst = 0x3210, kSecond = 0x7654;
inline __device__ float pick(float first, float second, unsigned which) {
  return __uint_as_float(__byte_perm(__float_as_uint(first), __float_as_uint(second), which));
}

// Starts copies of 16-byte pieces from global to shared memory, past the registers and L1; both 16-byte aligned.
// They belong to the group that __pipeline_commit closes next.
inline __device__ void copy16_async(void* shared, const void* global) { __pipeline_memcpy_async(shared, global, 16); }

// Where threads that follow each other copy pieces of 16 bytes that follow each other, kRowPieces a row of shared
// memory: the row of the nth piece. Eight lanes write 128 bytes at once; where those are two rows, they are four apart,
// which keeps rows that are padded by 16 bytes off each other's banks.
template <int kRowPieces>
constexpr __device__ int row_of_piece(int n) {
  const int row = n / kRowPieces;
  return kRowPieces == 4 ? row / 8 * 8 + row % 2 * 4 + row % 8 / 2 : row;
}

// Four neighbouring elements in one store to global memory, likewise.
inline __device__ void store4_row(float4 value, float* to) { store4_whole(value, to); }
inline __device__ void store4_row(float4 value, __nv_bfloat16* to) {
  const __nv_bfloat162 pairs[2] = {__float22bfloat162_rn({value.x, value.y}),
                                   __float22bfloat162_rn({value.z, value.w})};
  *reinterpret_cast<uint2*>(to) = {*reinterpret_cast<const unsigned*>(&pairs[0]),
                                   *reinterpret_cast<const unsigned*>(&pairs[1])};
}
inline __device__ void store4_row(float4 value, __half* to) {
  const __half2 pairs[2] = {__float22half2_rn({value.x, value.y}), __float22half2_rn({value.z, value.w})};
  *reinterpret_cast<uint2*>(to) = {*reinterpret_cast<const unsigned*>(&pairs[0]),
                                   *reinterpret_cast<const unsigned*>(&pairs[1])};
}

// Calls body with a null pointer of the dtype's element type on the device, to pick a kernel's instance.
template <class Body>
void with_device_element(DType dtype, const Body& body) {
  switch (dtype) {
    case DType::f32:
      return body(static_cast<float*>(nullptr));
    case DType::bf16:
      return body(static_cast<__nv_bfloat16*>(nullptr));
    case DType::f16:
      return body(static_cast<__half*>(nullptr));
  }
}

}  // namespace wkv::kernels
