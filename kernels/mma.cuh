// Matrix products on tensor cores as CUDA kernels here use them: 16 x 16 tiles of factors that are either operand.
//
// A tile holds X[m][k], 16 rows m and 16 terms k of the contraction, spread over a warp as mma.sync wants its first
// operand. Rows 0-7 or 8-15 of it are at once what mma.sync wants as second operand, X^T[k][n] with eight columns n.
// So one way to load serves both sides of a product, and accumulators become factors where they lie.
// PTX ISA 9.0, 9.7.14 (mma.sync, ldmatrix): lane 4 g + t has rows g and g + 8 and, of a row, two neighbours 2 t, 2 t +
// 1 of eight columns. For tf32, whose steps are eight terms long, the terms of a step are numbered in the order that
// gives the same neighbours: a sum over k has no order.
#pragma once

#include <cstdint>

#include "kernels/device.cuh"

namespace wkv::kernels {

// Four 8 x 8 matrices of 16-bit elements, lane l giving the address of row l % 8 of matrix l / 8.
inline __device__ void load_matrices(uint32_t (&x)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(row)))
               : "memory");
}

inline __device__ void load_matrices_transposed(uint32_t (&x)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(row)))
               : "memory");
}

// Accumulators of a 16 x 8 product: {c[0], c[1]} of row g, {c[2], c[3]} of row g + 8, columns 2 t and 2 t + 1.
using Accumulators = float[4];

// Which operand of mma.sync a tile's registers are loaded for; it can be the other one, at the price of moving them.
enum class Operand { first, second };

// bf16 or f16 factors, fp32 sums: one mma a product.
template <class Element>
struct HalfTile {
  using Factor = Element;
  static constexpr int kRowPad = 8, kColumnPad = 8;  // elements that keep rows in shared memory off each other's banks
  uint32_t x[4];                                     // (rows 0-7, terms 0-7), (8-15, 0-7), (0-7, 8-15), (8-15, 8-15)

  // X[m][k] at from[m * pitch + k].
  template <Operand operand>
  static __device__ HalfTile of_rows(const Element* from, int pitch) {
    const int lane = threadIdx.x % 32, rows = operand == Operand::first ? lane / 8 % 2 : lane / 16,
              terms = operand == Operand::first ? lane / 16 : lane / 8 % 2;
    uint32_t x[4];
    load_matrices(x, from + (8 * rows + lane % 8) * pitch + 8 * terms);
    return arranged<operand>(x);
  }
  // X[m][k] at from[k * pitch + m].
  template <Operand operand>
  static __device__ HalfTile of_columns(const Element* from, int pitch) {
    const int lane = threadIdx.x % 32, rows = operand == Operand::first ? lane / 8 % 2 : lane / 16,
              terms = operand == Operand::first ? lane / 16 : lane / 8 % 2;
    uint32_t x[4];
    load_matrices_transposed(x, from + (8 * terms + lane % 8) * pitch + 8 * rows);
    return arranged<operand>(x);
  }
  // Terms 0-7 from one product, 8-15 from another.
  static __device__ HalfTile of_sums(const Accumulators& left, const Accumulators& right) {
    return {
        {packed(left[0], left[1]), packed(left[2], left[3]), packed(right[0], right[1]), packed(right[2], right[3])}};
  }

 private:
  template <Operand operand>
  static __device__ HalfTile arranged(const uint32_t (&x)[4]) {
    return operand == Operand::first ? HalfTile{{x[0], x[1], x[2], x[3]}} : HalfTile{{x[0], x[2], x[1], x[3]}};
  }
  static __device__ uint32_t packed(float first, float second) {
    uint32_t pair;
    store2(float2{first, second}, reinterpret_cast<Element*>(&pair));
    return pair;
  }
};

// c[m][n] += sum_k a[m][k] b[8 half + n][k].
inline __device__ void multiply(Accumulators& c, const HalfTile<__nv_bfloat16>& a, const HalfTile<__nv_bfloat16>& b,
                                int half) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a.x[0]), "r"(a.x[1]), "r"(a.x[2]), "r"(a.x[3]), "r"(b.x[half]), "r"(b.x[half + 2]));
}

inline __device__ void multiply(Accumulators& c, const HalfTile<__half>& a, const HalfTile<__half>& b, int half) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a.x[0]), "r"(a.x[1]), "r"(a.x[2]), "r"(a.x[3]), "r"(b.x[half]), "r"(b.x[half + 2]));
}

// tf32 factors, fp32 sums. Of one part, each factor is rounded to 11 bits. Of two, what that leaves is a second factor:
// three products then stand for one, with an error of about 2^-22.
template <int kParts>
struct Tf32Tile {
  using Factor = float;
  static constexpr int kRowPad = 8, kColumnPad = 4;
  uint32_t x[kParts][2][4];  // of eight terms each: (row g, term 2 t), (g + 8, 2 t), (g, 2 t + 1), (g + 8, 2 t + 1)

  template <Operand>
  static __device__ Tf32Tile of_rows(const float* from, int pitch) {
    const int lane = threadIdx.x % 32;
    from += lane / 4 * pitch + lane % 4 * 2;
    Tf32Tile tile;
#pragma unroll
    for (int step = 0; step < 2; ++step) {
      const float2 upper = load2(from + 8 * step), lower = load2(from + 8 * pitch + 8 * step);
      tile.set(step, upper.x, lower.x, upper.y, lower.y);
    }
    return tile;
  }
  template <Operand, class Source>
  static __device__ Tf32Tile of_columns(const Source* from, int pitch) {
    const int lane = threadIdx.x % 32;
    from += lane % 4 * 2 * pitch + lane / 4;
    Tf32Tile tile;
#pragma unroll
    for (int step = 0; step < 2; ++step) {
      const Source* term = from + 8 * step * pitch;
      tile.set(step, load(term), load(term + 8), load(term + pitch), load(term + pitch + 8));
    }
    return tile;
  }
  static __device__ Tf32Tile of_sums(const Accumulators& left, const Accumulators& right) {
    Tf32Tile tile;
    tile.set(0, left[0], left[2], left[1], left[3]);
    tile.set(1, right[0], right[2], right[1], right[3]);
    return tile;
  }

 private:
  __device__ void set(int step, float a, float b, float c, float d) {
    const float values[4] = {a, b, c, d};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      x[0][step][i] = rounded(values[i]);
      if constexpr (kParts == 2) x[1][step][i] = rounded(values[i] - __uint_as_float(x[0][step][i]));
    }
  }
  static __device__ uint32_t rounded(float value) {
    uint32_t bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
    return bits;
  }
};

// Of two parts, the sixteen terms are summed apart: tensor cores cut sums off where fp32 addition rounds, and what they
// cut off a large c again and again would add up.
template <int kParts>
__device__ void multiply(Accumulators& c, const Tf32Tile<kParts>& a, const Tf32Tile<kParts>& b, int half) {
  Accumulators sum = {};
  const auto step = [&](Accumulators& to, const uint32_t(&p)[4], const uint32_t(&q)[4]) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(to[0]), "+f"(to[1]), "+f"(to[2]), "+f"(to[3])
        : "r"(p[0]), "r"(p[1]), "r"(p[2]), "r"(p[3]), "r"(q[half]), "r"(q[half + 2]));
  };
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    if constexpr (kParts == 1) {
      step(c, a.x[0][i], b.x[0][i]);
    } else {
      step(sum, a.x[1][i], b.x[0][i]), step(sum, a.x[0][i], b.x[1][i]), step(sum, a.x[0][i], b.x[0][i]);
    }
  }
  if constexpr (kParts == 2) c[0] += sum[0], c[1] += sum[1], c[2] += sum[2], c[3] += sum[3];
}

}  // namespace wkv::kernels
