// Matrix instructions of a warp: which lane and register holds which matrix element, and the products.
//
// All the layouts of mma.sync and wmma come from one rule. A 32-bit register (64-bit for fp64) holds E neighbouring
// elements along K of A and B (E = 1 for tf32 and fp64, 2 for fp16 and bf16, 4 for 8 bits) or 2 results along N of C
// and D over one or two registers; with g = lane / 4 and t = lane % 4 it covers a tile of 8 by 4 E: rows g of A,
// columns g of B, rows g of C, and t the other index. The tiles of A go down the 16 rows, then along K, then to the
// next 16 rows; B's along K, then along N; C's down 16 rows, then along N, then to the next 16 rows. For mma.sync this
// is the PTX ISA's layout. wmma's is opaque to PTX programs; it is that of the mma.sync which hardware runs for it.
// Registers that a wmma fragment has beyond its matrix repeat it.
//
// Sums: a product of fp16, bf16, tf32 or fp8 elements is exact in fp32 (but for parts below 2^-149); the products are
// added to c one after the other in order of k, each sum rounded to nearest in fp32. Hardware adds groups of 4 to 16
// products at once, aligned to the greatest and truncated, so that last bits differ. With fp16 results the sum is kept
// in fp32 and rounded once. fp64: fused multiply-add in order of k. Integers: exact, then wrapped or (.satfinite)
// clamped.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "harness/emulator/types.hpp"
#include "harness/emulator/warp_exchange.hpp"

namespace wkv::emulator {

struct MatrixShape {
  int m = 0, n = 0, k = 0;
  bool operator==(const MatrixShape&) const = default;
};
enum class MatrixOperand { a, b, c };  // c: accumulator, d as well

struct Position {
  int row = 0, column = 0;  // of A: m, k; of B: k, n; of C and D: m, n
  bool operator==(const Position&) const = default;
};

// The elements of one operand, `elements_per_lane` of them in each lane, lowest bits of the lowest register first.
struct FragmentLayout {
  FragmentLayout(MatrixOperand operand, MatrixShape shape, Type type);

  int elements_per_lane = 0;  // without repetitions
  int rows = 0, columns = 0;
  Type type;

  Position at(int lane, int element) const;
  // Where the lanes' elements are in the matrix, stored row after row.
  std::span<const uint16_t, kWarpSize> indices(int element) const {
    return std::span<const uint16_t, kWarpSize>(&indices_[static_cast<size_t>(element) * kWarpSize], kWarpSize);
  }
  int elements_per_register() const { return bytes_of(type) >= 4 ? 1 : 4 / static_cast<int>(bytes_of(type)); }
  int registers() const { return elements_per_lane / elements_per_register(); }

 private:
  std::vector<uint16_t> indices_;  // [element][lane]
};

// d = a b + c for a whole warp. Registers are given as arrays of lanes; fp64 ones with the 64-bit calls.
class MatrixMultiply {
 public:
  MatrixMultiply(MatrixShape shape, Type a, Type b, Type c, Type d, bool satfinite = false);

  // d may be the same registers as c. Spans longer than the layout's registers are repetitions: ignored in operands,
  // written in d.
  void run(std::span<Words* const> d, std::span<const Words* const> a, std::span<const Words* const> b,
           std::span<const Words* const> c) const;
  using DoubleWords = std::array<double, kWarpSize>;
  void run(std::span<DoubleWords* const> d, std::span<const DoubleWords* const> a,
           std::span<const DoubleWords* const> b, std::span<const DoubleWords* const> c) const;

  const MatrixShape& shape() const { return shape_; }
  const FragmentLayout& a() const { return a_; }
  const FragmentLayout& b() const { return b_; }
  const FragmentLayout& c() const { return c_; }
  const FragmentLayout& d() const { return d_; }

 private:
  MatrixShape shape_;
  FragmentLayout a_, b_, c_, d_;
  bool satfinite_;
};

// An 8 x 8 matrix of 16-bit elements, as ldmatrix, stmatrix and movmatrix move it: lane 4 r + p holds elements 2 p and
// 2 p + 1 of row r, transposed of column r.
using Matrix8x8 = std::array<std::array<uint16_t, 8>, 8>;
Words distribute(const Matrix8x8& matrix, bool transposed);
Matrix8x8 collect(const Words& fragment, bool transposed);

}  // namespace wkv::emulator
