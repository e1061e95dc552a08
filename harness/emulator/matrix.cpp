#include "harness/emulator/matrix.hpp"

#include <algorithm>
#include <cmath>

#include "harness/emulator/float_format.hpp"

namespace wkv::emulator {
namespace {

// The largest operands are 32 x 16 (wmma), 16 x 64 and 64 x 8 (mma of 4-bit elements).
constexpr int kMaxElements = 1024;
template <class T>
using Elements = std::array<T, kMaxElements>;

Position position_of(MatrixOperand operand, MatrixShape shape, int per_register, int lane, int element) {
  const int g = lane / 4, t = lane % 4;
  const int row_tiles = std::min(shape.m, 16) / 8;
  if (operand == MatrixOperand::c) {
    const int pair = element / 2, column_tiles = shape.n / 8;
    const int row_tile = pair % row_tiles + pair / (row_tiles * column_tiles) * 2;
    return {8 * row_tile + g, 8 * (pair / row_tiles % column_tiles) + 2 * t + element % 2};
  }
  const int tile = element / per_register;
  const int along_k = per_register * t + element % per_register;
  const int k_tiles = shape.k / (4 * per_register);
  if (operand == MatrixOperand::a) {
    const int row_tile = tile % row_tiles + tile / (row_tiles * k_tiles) * 2;
    return {8 * row_tile + g, 4 * per_register * (tile / row_tiles % k_tiles) + along_k};
  }
  return {4 * per_register * (tile % k_tiles) + along_k, 8 * (tile / k_tiles) + g};
}

float to_float(MatrixType type, uint32_t bits) {
  switch (type) {
    case MatrixType::f16:
      return widen(F16{static_cast<uint16_t>(bits)});
    case MatrixType::bf16:
      return widen(BF16{static_cast<uint16_t>(bits)});
    case MatrixType::tf32:
      return widen(TF32{bits});
    case MatrixType::e4m3:
      return widen(E4M3{static_cast<uint8_t>(bits)});
    case MatrixType::e5m2:
      return widen(E5M2{static_cast<uint8_t>(bits)});
    default:
      return std::bit_cast<float>(bits);
  }
}

int32_t to_integer(MatrixType type, uint32_t bits) {
  switch (type) {
    case MatrixType::s8:
      return static_cast<int8_t>(bits);
    case MatrixType::u8:
      return static_cast<uint8_t>(bits);
    case MatrixType::s4:
      return static_cast<int32_t>(bits << 28) >> 28;
    case MatrixType::u4:
      return static_cast<int32_t>(bits & 15);
    default:
      return static_cast<int32_t>(bits);
  }
}

template <class Element, class Convert>
void gather(Elements<Element>& matrix, const FragmentLayout& layout, std::span<const Words* const> registers,
            const Convert& convert) {
  const int per_register = layout.elements_per_register(), bits = bits_of(layout.type);
  for (int lane = 0; lane < static_cast<int>(kWarpSize); ++lane) {
    for (int element = 0; element < layout.elements_per_lane; ++element) {
      const Words& words = *registers[static_cast<size_t>(element / per_register)];
      const Position at = layout.at(lane, element);
      matrix[static_cast<size_t>(at.row * layout.columns + at.column)] =
          convert(layout.type, words[static_cast<size_t>(lane)] >> (element % per_register * bits));
    }
  }
}

// Writes all of the registers given, more than the matrix needs with repetitions.
template <class Element, class Convert>
void scatter(const Elements<Element>& matrix, const FragmentLayout& layout, std::span<Words* const> registers,
             const Convert& convert) {
  const int per_register = layout.elements_per_register(), bits = bits_of(layout.type);
  for (size_t index = 0; index < registers.size(); ++index) {
    const int first = static_cast<int>(index) % layout.registers() * per_register;
    for (int lane = 0; lane < static_cast<int>(kWarpSize); ++lane) {
      uint32_t word = 0;
      for (int i = 0; i < per_register; ++i) {
        const Position at = layout.at(lane, first + i);
        word |= convert(matrix[static_cast<size_t>(at.row * layout.columns + at.column)]) << (i * bits);
      }
      (*registers[index])[static_cast<size_t>(lane)] = word;
    }
  }
}

// c += a b, in order of k for every element of c; the inner loop over n has no dependences.
template <class Element, class Sum>
void accumulate(Elements<Sum>& c, const Elements<Element>& a, const Elements<Element>& b, MatrixShape shape) {
  for (int row = 0; row < shape.m; ++row) {
    Sum* sums = &c[static_cast<size_t>(row * shape.n)];
    for (int k = 0; k < shape.k; ++k) {
      const Element left = a[static_cast<size_t>(row * shape.k + k)];
      const Element* right = &b[static_cast<size_t>(k * shape.n)];
      for (int column = 0; column < shape.n; ++column) sums[column] += static_cast<Sum>(left * right[column]);
    }
  }
}

uint32_t float_bits(MatrixType type, float value) {
  if (type == MatrixType::f16) return round_to<F16>(value).bits;
  return std::bit_cast<uint32_t>(value == value ? value : canonical_nan<float>());
}

}  // namespace

FragmentLayout::FragmentLayout(MatrixOperand operand, MatrixShape shape, MatrixType element_type) : type(element_type) {
  rows = operand == MatrixOperand::b ? shape.k : shape.m;
  columns = operand == MatrixOperand::a ? shape.k : shape.n;
  elements_per_lane = rows * columns / static_cast<int>(kWarpSize);
  positions_.reserve(static_cast<size_t>(rows * columns));
  for (int lane = 0; lane < static_cast<int>(kWarpSize); ++lane) {
    for (int element = 0; element < elements_per_lane; ++element) {
      positions_.push_back(position_of(operand, shape, elements_per_register(), lane, element));
    }
  }
}

MatrixMultiply::MatrixMultiply(MatrixShape shape, MatrixType a, MatrixType b, MatrixType c, MatrixType d,
                               bool satfinite)
    : shape_(shape),
      a_(MatrixOperand::a, shape, a),
      b_(MatrixOperand::b, shape, b),
      c_(MatrixOperand::c, shape, c),
      d_(MatrixOperand::c, shape, d),
      satfinite_(satfinite) {}

void MatrixMultiply::run(std::span<Words* const> d, std::span<const Words* const> a, std::span<const Words* const> b,
                         std::span<const Words* const> c) const {
  if (d_.type == MatrixType::s32) {
    Elements<int32_t> left, right;
    Elements<int64_t> sums;
    gather(left, a_, a, to_integer);
    gather(right, b_, b, to_integer);
    gather(sums, c_, c, to_integer);
    accumulate(sums, left, right, shape_);
    scatter(sums, d_, d, [this](int64_t sum) {
      return static_cast<uint32_t>(satfinite_ ? std::clamp<int64_t>(sum, INT32_MIN, INT32_MAX) : sum);
    });
    return;
  }
  Elements<float> left, right, sums;
  gather(left, a_, a, to_float);
  gather(right, b_, b, to_float);
  gather(sums, c_, c, to_float);
  accumulate(sums, left, right, shape_);
  scatter(sums, d_, d, [this](float sum) { return float_bits(d_.type, sum); });
}

void MatrixMultiply::run(std::span<DoubleWords* const> d, std::span<const DoubleWords* const> a,
                         std::span<const DoubleWords* const> b, std::span<const DoubleWords* const> c) const {
  const auto gather_doubles = [](const FragmentLayout& layout, std::span<const DoubleWords* const> registers) {
    Elements<double> matrix;
    for (int lane = 0; lane < static_cast<int>(kWarpSize); ++lane) {
      for (int element = 0; element < layout.elements_per_lane; ++element) {
        const Position at = layout.at(lane, element);
        matrix[static_cast<size_t>(at.row * layout.columns + at.column)] =
            (*registers[static_cast<size_t>(element)])[static_cast<size_t>(lane)];
      }
    }
    return matrix;
  };
  const Elements<double> left = gather_doubles(a_, a), right = gather_doubles(b_, b), addend = gather_doubles(c_, c);
  for (int lane = 0; lane < static_cast<int>(kWarpSize); ++lane) {
    for (int element = 0; element < d_.elements_per_lane; ++element) {
      const Position at = d_.at(lane, element);
      double sum = addend[static_cast<size_t>(at.row * shape_.n + at.column)];
      for (int k = 0; k < shape_.k; ++k) {
        sum = std::fma(left[static_cast<size_t>(at.row * shape_.k + k)],
                       right[static_cast<size_t>(k * shape_.n + at.column)], sum);
      }
      (*d[static_cast<size_t>(element)])[static_cast<size_t>(lane)] = sum;
    }
  }
}

Words distribute(const Matrix8x8& matrix, bool transposed) {
  Words fragment;
  for (size_t lane = 0; lane < kWarpSize; ++lane) {
    const size_t row = lane / 4, column = 2 * (lane % 4);
    const uint32_t low = transposed ? matrix[column][row] : matrix[row][column];
    const uint32_t high = transposed ? matrix[column + 1][row] : matrix[row][column + 1];
    fragment[lane] = high << 16 | low;
  }
  return fragment;
}

Matrix8x8 collect(const Words& fragment, bool transposed) {
  Matrix8x8 matrix;
  for (size_t lane = 0; lane < kWarpSize; ++lane) {
    const size_t row = lane / 4, column = 2 * (lane % 4);
    const auto low = static_cast<uint16_t>(fragment[lane]), high = static_cast<uint16_t>(fragment[lane] >> 16);
    (transposed ? matrix[column][row] : matrix[row][column]) = low;
    (transposed ? matrix[column + 1][row] : matrix[row][column + 1]) = high;
  }
  return matrix;
}

}  // namespace wkv::emulator
