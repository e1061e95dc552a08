// The CUDA math library in fp32 and fp64, with and without the fast intrinsics: long sequences of ordinary
// instructions that nobody tuned for us.
#include <cstdint>

extern "C" __global__ void float_functions(const float* in, float* out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const float x = in[i], positive = fabsf(x) + 0.001f;
  int k = 0;
  const float results[] = {expf(x),          exp2f(x),  logf(positive), log1pf(positive),     sinf(x),
                           cosf(x),          tanf(x),   tanhf(x),       powf(positive, 1.7f), sqrtf(positive),
                           rsqrtf(positive), cbrtf(x),  erff(x),        atan2f(x, 2.0f),      asinf(x / 100),
                           fmodf(x, 0.7f),   roundf(x), x / 3.7f,       hypotf(x, 3.0f),      lgammaf(positive),
                           expm1f(x),        sinhf(x),  ldexpf(x, 3),   remainderf(x, 1.3f)};
  for (const float result : results) out[k++ * n + i] = result;
}

extern "C" __global__ void fast_functions(const float* in, float* out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const float x = in[i], positive = fabsf(x) + 0.001f;
  int k = 0;
  const float results[] = {
      __expf(x),    __logf(positive),     __sinf(x),          __cosf(x),     __powf(positive, 1.7f), __fdividef(x, 3),
      __frcp_rn(x), __fsqrt_rz(positive), __fmaf_ru(x, x, 1), __saturatef(x)};
  for (const float result : results) out[k++ * n + i] = result;
}

extern "C" __global__ void double_functions(const double* in, double* out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const double x = in[i], positive = fabs(x) + 0.001;
  int k = 0;
  const double results[] = {exp(x),         log(positive),   sin(x),          cos(x),  tanh(x), pow(positive, 1.7),
                            sqrt(positive), rsqrt(positive), cbrt(x),         erf(x),  x / 3.7, fmod(x, 0.7),
                            atan2(x, 2.0),  __ddiv_rd(x, 3), __dadd_ru(x, 1), rint(x), exp2(x), floor(x)};
  for (const double result : results) out[k++ * n + i] = result;
}

extern "C" __global__ void integer_functions(const uint32_t* in, uint32_t* out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const uint32_t x = in[i], y = in[(i + 1) % n];
  const auto sx = static_cast<int32_t>(x), sy = static_cast<int32_t>(y);
  const uint64_t wide = uint64_t{x} << 32 | y;
  int k = 0;
  const uint32_t results[] = {x / (y | 1),
                              x % (y | 1),
                              static_cast<uint32_t>(sx / (sy | 1)),
                              static_cast<uint32_t>(sx % 7),
                              __umulhi(x, y),
                              static_cast<uint32_t>(__mulhi(sx, sy)),
                              static_cast<uint32_t>(__clz(sx)),
                              static_cast<uint32_t>(__popc(x)),
                              __brev(x),
                              static_cast<uint32_t>(__ffs(sx)),
                              __byte_perm(x, y, 0x5140),
                              __funnelshift_l(x, y, 9),
                              __sad(sx, sy, 5u),
                              static_cast<uint32_t>(__dp4a(sx, sy, 7)),
                              __vadd4(x, y),
                              __vmaxs2(x, y),
                              __vabsdiffu4(x, y),
                              static_cast<uint32_t>(__popcll(wide) + __clzll(static_cast<long long>(wide | 1))),
                              static_cast<uint32_t>(wide / 1000000007),
                              static_cast<uint32_t>(__umul64hi(wide, wide)),
                              static_cast<uint32_t>(__hadd(sx, sy)),
                              static_cast<uint32_t>(abs(sx)) + min(x, y) + static_cast<uint32_t>(max(sx, sy)),
                              static_cast<uint32_t>(__mul24(sx, sy)),
                              (x & y) | (~x & ~y)};
  for (const uint32_t result : results) out[k++ * n + i] = result;
}
