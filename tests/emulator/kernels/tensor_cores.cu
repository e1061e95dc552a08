// Matrix products of one warp, C = A B + C, through nvcuda::wmma and through mma.sync with ldmatrix.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <mma.h>

using namespace nvcuda;

// A is M x K, B is K x N, C is M x N, all row-major in memory unless the layout says column-major.
template <int M, int N, int K, class T, class Accumulator, class LayoutA, class LayoutB, class Memory>
__device__ void wmma_product(const Memory* a, const Memory* b, const Accumulator* c, Accumulator* d) {
  wmma::fragment<wmma::matrix_a, M, N, K, T, LayoutA> left;
  wmma::fragment<wmma::matrix_b, M, N, K, T, LayoutB> right;
  wmma::fragment<wmma::accumulator, M, N, K, Accumulator> sum;
  constexpr bool a_is_row = std::is_same<LayoutA, wmma::row_major>::value;
  constexpr bool b_is_row = std::is_same<LayoutB, wmma::row_major>::value;
  wmma::load_matrix_sync(left, a, a_is_row ? K : M);
  wmma::load_matrix_sync(right, b, b_is_row ? N : K);
  wmma::load_matrix_sync(sum, c, N, wmma::mem_row_major);
  if (std::is_same<T, wmma::precision::tf32>::value) {
    for (int i = 0; i < left.num_elements; ++i) left.x[i] = wmma::__float_to_tf32(left.x[i]);
    for (int i = 0; i < right.num_elements; ++i) right.x[i] = wmma::__float_to_tf32(right.x[i]);
  }
  wmma::mma_sync(sum, left, right, sum);
  wmma::store_matrix_sync(d, sum, N, wmma::mem_row_major);
}

template <int M, int N, int K, class T, class LayoutA, class LayoutB>
__device__ void wmma_16_bit(const T* a, const T* b, const float* c, float* d) {
  wmma_product<M, N, K, T, float, LayoutA, LayoutB>(a, b, c, d);
}
using Row = wmma::row_major;
using Column = wmma::col_major;

// clang-format off
extern "C" __global__ void wmma_f16_16_16_16_row_col(const __half* a, const __half* b, const float* c, float* d) { wmma_16_bit<16, 16, 16, __half, Row, Column>(a, b, c, d); }
extern "C" __global__ void wmma_f16_16_16_16_col_row(const __half* a, const __half* b, const float* c, float* d) { wmma_16_bit<16, 16, 16, __half, Column, Row>(a, b, c, d); }
extern "C" __global__ void wmma_f16_32_8_16_row_row(const __half* a, const __half* b, const float* c, float* d) { wmma_16_bit<32, 8, 16, __half, Row, Row>(a, b, c, d); }
extern "C" __global__ void wmma_f16_8_32_16_col_col(const __half* a, const __half* b, const float* c, float* d) { wmma_16_bit<8, 32, 16, __half, Column, Column>(a, b, c, d); }
extern "C" __global__ void wmma_bf16_16_16_16_row_row(const __nv_bfloat16* a, const __nv_bfloat16* b, const float* c, float* d) { wmma_16_bit<16, 16, 16, __nv_bfloat16, Row, Row>(a, b, c, d); }
extern "C" __global__ void wmma_bf16_32_8_16_col_row(const __nv_bfloat16* a, const __nv_bfloat16* b, const float* c, float* d) { wmma_16_bit<32, 8, 16, __nv_bfloat16, Column, Row>(a, b, c, d); }
extern "C" __global__ void wmma_bf16_8_32_16_row_col(const __nv_bfloat16* a, const __nv_bfloat16* b, const float* c, float* d) { wmma_16_bit<8, 32, 16, __nv_bfloat16, Row, Column>(a, b, c, d); }
extern "C" __global__ void wmma_half_16_16_16_row_row(const __half* a, const __half* b, const __half* c, __half* d) { wmma_product<16, 16, 16, __half, __half, Row, Row>(a, b, c, d); }
extern "C" __global__ void wmma_tf32_16_16_8_row_row(const float* a, const float* b, const float* c, float* d) { wmma_product<16, 16, 8, wmma::precision::tf32, float, Row, Row>(a, b, c, d); }
extern "C" __global__ void wmma_tf32_16_16_8_col_col(const float* a, const float* b, const float* c, float* d) { wmma_product<16, 16, 8, wmma::precision::tf32, float, Column, Column>(a, b, c, d); }
extern "C" __global__ void wmma_f64_8_8_4_row_col(const double* a, const double* b, const double* c, double* d) { wmma_product<8, 8, 4, double, double, Row, Column>(a, b, c, d); }
extern "C" __global__ void wmma_s8_16_16_16_row_col(const signed char* a, const signed char* b, const int* c, int* d) { wmma_product<16, 16, 16, signed char, int, Row, Column>(a, b, c, d); }
// clang-format on

// Element-wise work on the accumulator between two products, through shared memory, as fused kernels do.
extern "C" __global__ void wmma_scaled_chain(const __half* a, const __half* b, float* d) {
  __shared__ __align__(32) __half staged[16 * 24];
  __shared__ __align__(32) float result[16 * 20];
  wmma::fragment<wmma::matrix_a, 16, 16, 16, __half, wmma::row_major> left;
  wmma::fragment<wmma::matrix_b, 16, 16, 16, __half, wmma::col_major> right;
  wmma::fragment<wmma::accumulator, 16, 16, 16, float> sum;
  for (int i = threadIdx.x; i < 256; i += 32) staged[i / 16 * 24 + i % 16] = a[i];
  __syncwarp();
  wmma::fill_fragment(sum, 0.0f);
  wmma::load_matrix_sync(left, staged, 24);
  wmma::load_matrix_sync(right, b, 16);
  wmma::mma_sync(sum, left, right, sum);
  for (int i = 0; i < sum.num_elements; ++i) sum.x[i] = 0.5f * sum.x[i] + 1.0f;
  wmma::store_matrix_sync(result, sum, 20, wmma::mem_col_major);
  __syncwarp();
  for (int i = threadIdx.x; i < 256; i += 32) d[i] = result[i % 16 * 20 + i / 16];
}

// m16n8k16 with operands through ldmatrix: A row-major 16 x 16, B row-major 16 x 8 (transposed on load).
template <class T>
__device__ void load_fragments(const T* a, const T* b, unsigned (&left)[4], unsigned (&right)[2]) {
  __shared__ __align__(16) T a_tile[16 * 16], b_tile[16 * 8];
  for (int i = threadIdx.x; i < 256; i += 32) a_tile[i] = a[i];
  for (int i = threadIdx.x; i < 128; i += 32) b_tile[i] = b[i];
  __syncwarp();
  const auto a_row =
      static_cast<unsigned>(__cvta_generic_to_shared(&a_tile[threadIdx.x % 16 * 16 + threadIdx.x / 16 * 8]));
  const auto b_row = static_cast<unsigned>(__cvta_generic_to_shared(&b_tile[threadIdx.x % 16 * 8]));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(left[0]), "=r"(left[1]), "=r"(left[2]), "=r"(left[3])
               : "r"(a_row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(right[0]), "=r"(right[1])
               : "r"(b_row));
}

extern "C" __global__ void mma_bf16_16_8_16(const __nv_bfloat16* a, const __nv_bfloat16* b, const float* c, float* d) {
  unsigned left[4], right[2];
  load_fragments(a, b, left, right);
  const int g = threadIdx.x / 4, t = threadIdx.x % 4;
  float sum[4];
  for (int i = 0; i < 4; ++i) sum[i] = c[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right[0]), "r"(right[1]));
  for (int i = 0; i < 4; ++i) d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sum[i];
}

extern "C" __global__ void mma_f16_16_8_16(const __half* a, const __half* b, const __half* c, __half* d) {
  unsigned left[4], right[2];
  load_fragments(a, b, left, right);
  const int g = threadIdx.x / 4, t = threadIdx.x % 4;
  unsigned sum[2];
  for (int i = 0; i < 2; ++i) sum[i] = *reinterpret_cast<const unsigned*>(&c[(g + i * 8) * 8 + 2 * t]);
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16 {%0, %1}, {%2, %3, %4, %5}, {%6, %7}, {%0, %1};"
               : "+r"(sum[0]), "+r"(sum[1])
               : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right[0]), "r"(right[1]));
  for (int i = 0; i < 2; ++i) *reinterpret_cast<unsigned*>(&d[(g + i * 8) * 8 + 2 * t]) = sum[i];
}

extern "C" __global__ void mma_tf32_16_8_8(const float* a, const float* b, const float* c, float* d) {
  const int g = threadIdx.x / 4, t = threadIdx.x % 4;
  unsigned left[4], right[2];
  const auto tf32 = [](float x) {
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return bits;
  };
  for (int i = 0; i < 4; ++i) left[i] = tf32(a[(g + i % 2 * 8) * 8 + t + i / 2 * 4]);
  for (int i = 0; i < 2; ++i) right[i] = tf32(b[(t + i * 4) * 8 + g]);
  float sum[4];
  for (int i = 0; i < 4; ++i) sum[i] = c[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right[0]), "r"(right[1]));
  for (int i = 0; i < 4; ++i) d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sum[i];
}

// Transposes a 16 x 16 matrix by quarters: movmatrix within, swapped quarters between.
extern "C" __global__ void transpose_in_registers(const __half* in, __half* out) {
  const int g = threadIdx.x / 4, t = threadIdx.x % 4;
  for (int quarter = 0; quarter < 4; ++quarter) {
    const int row = quarter / 2 * 8, column = quarter % 2 * 8;
    const unsigned fragment = *reinterpret_cast<const unsigned*>(&in[(row + g) * 16 + column + 2 * t]);
    unsigned turned;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(turned) : "r"(fragment));
    *reinterpret_cast<unsigned*>(&out[(column + g) * 16 + row + 2 * t]) = turned;
  }
}
