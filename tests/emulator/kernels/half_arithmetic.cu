// Arithmetic on __half2 and __nv_bfloat162 through the toolkit's operators and intrinsics.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

// One output for each operation, n apart.
template <class T2>
__device__ void two_wide(const T2* a, const T2* b, const T2* c, T2* out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const T2 x = a[i], y = b[i], z = c[i];
  out[0 * n + i] = __hadd2(x, y);
  out[1 * n + i] = __hsub2(x, y);
  out[2 * n + i] = __hmul2(x, y);
  out[3 * n + i] = __hfma2(x, y, z);
  out[4 * n + i] = __hmin2(x, y);
  out[5 * n + i] = __hmax2(x, y);
  out[6 * n + i] = __hneg2(x);
  out[7 * n + i] = __habs2(y);
  out[8 * n + i] = __hfma2_relu(x, y, z);
  out[9 * n + i] = __hmax2_nan(x, y);
  out[10 * n + i] = __heq2(x, y);
  out[11 * n + i] = __hlt2(x, y);
  out[12 * n + i] = __hmul2_sat(x, y);
  out[13 * n + i] = x + y * z;
}
extern "C" __global__ void half2_operations(const __half2* a, const __half2* b, const __half2* c, __half2* out, int n) {
  two_wide(a, b, c, out, n);
}
extern "C" __global__ void bfloat162_operations(const __nv_bfloat162* a, const __nv_bfloat162* b,
                                                const __nv_bfloat162* c, __nv_bfloat162* out, int n) {
  two_wide(a, b, c, out, n);
}

// What the conversions give, as bits.
extern "C" __global__ void conversions(const float* in, unsigned* out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const float x = in[i];
  const __half h = __float2half(x);
  const __nv_bfloat16 b = __float2bfloat16(x);
  out[0 * n + i] = __half_as_ushort(h);
  out[1 * n + i] = __half_as_ushort(__float2half_rz(x));
  out[2 * n + i] = __bfloat16_as_ushort(b);
  out[3 * n + i] = __bfloat16_as_ushort(__float2bfloat16_rz(x));
  out[4 * n + i] = __float_as_uint(__half2float(h));
  out[5 * n + i] = __float_as_uint(__bfloat162float(b));
  out[6 * n + i] = static_cast<unsigned>(__half2int_rn(h));
  out[7 * n + i] = static_cast<unsigned>(__float2int_rz(x));
  out[8 * n + i] = __float2uint_rn(x);
  out[9 * n + i] = static_cast<unsigned>(__float2ll_rd(x));
  out[10 * n + i] = static_cast<unsigned>(__float2ll_rd(x) >> 32);
  const __half2 pair = __floats2half2_rn(x, -x);
  out[11 * n + i] = *reinterpret_cast<const unsigned*>(&pair);
  out[12 * n + i] = __nv_cvt_float_to_fp8(x, __NV_SATFINITE, __NV_E4M3);
  out[13 * n + i] = __nv_cvt_float_to_fp8(x, __NV_SATFINITE, __NV_E5M2);
  out[14 * n + i] = __half_as_ushort(__double2half(static_cast<double>(x)));
  out[15 * n + i] = __half_as_ushort(__hadd(h, __int2half_rn(i)));
}

extern "C" __global__ void half_functions(const __half* in, float* out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const __half x = in[i];
  out[0 * n + i] = __half2float(hexp(x));
  out[1 * n + i] = __half2float(hsqrt(__habs(x)));
  out[2 * n + i] = __half2float(hrcp(x));
  out[3 * n + i] = __half2float(hexp2(x));
  out[4 * n + i] = __half2float(htanh_approx(x));
  out[5 * n + i] = __half2float(hrint(x));
  out[6 * n + i] = __half2float(hlog(__habs(x)));
  out[7 * n + i] = __half2float(x / __float2half(3.0f));
  out[8 * n + i] = x > __float2half(0.5f) ? 1.0f : 0.0f;
  out[9 * n + i] = __hisnan(x) ? 1.0f : 0.0f;
}
