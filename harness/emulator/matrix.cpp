#include "harness/emulator/matrix.hpp"

#include <algorithm>
#include <cmath>

#include "harness/emulator/float_format.hpp"

namespace wkv::emulator {
namespace {

constexpr int kMaxElements = 512;  // 32 x 16 (wmma) or 16 x 32 (mma of bytes)
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

int32_t to_integer(Type type, uint32_t bits) {
  switch (type) {
    case Type::s8:
      return static_cast<int8_t>(bits);
    case Type::u8:
      return static_cast<uint8_t>(bits);
    default:
      return static_cast<int32_t>(bits);
  }
}

// Calls body(element, its bits in all lanes, in the low bits of words that may have others above).
template <class Body>
void for_each_element(const FragmentLayout& layout, std::span<const Words* const> registers, const Body& body) {
  const int per_register = layout.elements_per_register(), bits = 8 * static_cast<int>(bytes_of(layout.type));
  for (int element = 0; element < layout.elements_per_lane; ++element) {
    const Words& words = *registers[static_cast<size_t>(element / per_register)];
    const int shift = element % per_register * bits;
    Words shifted;
    for (size_t lane = 0; lane < kWarpSize; ++lane) shifted[lane] = words[lane] >> shift;
    body(element, shifted);
  }
}

template <class T>
float widen_bits(uint32_t bits) {
  if constexpr (std::is_same_v<T, float>) return std::bit_cast<float>(bits);
  if constexpr (!std::is_same_v<T, float>) return widen(T{static_cast<typename T::Bits>(bits)});
}

template <class T>
void gather_as(Elements<float>& matrix, const FragmentLayout& layout, std::span<const Words* const> registers) {
  for_each_element(layout, registers, [&](int element, const Words& words) {
    std::array<float, kWarpSize> values;
    for (size_t lane = 0; lane < kWarpSize; ++lane) values[lane] = widen_bits<T>(words[lane]);
    const auto indices = layout.indices(element);
    for (size_t lane = 0; lane < kWarpSize; ++lane) matrix[indices[lane]] = values[lane];
  });
}

void gather(Elements<float>& matrix, const FragmentLayout& layout, std::span<const Words* const> registers) {
  switch (layout.type) {
    case Type::f16:
      return gather_as<F16>(matrix, layout, registers);
    case Type::bf16:
      return gather_as<BF16>(matrix, layout, registers);
    case Type::tf32:
      return gather_as<TF32>(matrix, layout, registers);
    case Type::e4m3:
      return gather_as<E4M3>(matrix, layout, registers);
    case Type::e5m2:
      return gather_as<E5M2>(matrix, layout, registers);
    default:
      return gather_as<float>(matrix, layout, registers);
  }
}

template <class Integer>
void gather(Elements<Integer>& matrix, const FragmentLayout& layout, std::span<const Words* const> registers) {
  for_each_element(layout, registers, [&](int element, const Words& words) {
    const auto indices = layout.indices(element);
    for (size_t lane = 0; lane < kWarpSize; ++lane) matrix[indices[lane]] = to_integer(layout.type, words[lane]);
  });
}

// Writes all of the registers given, more than the matrix needs with repetitions.
template <class Element, class Convert>
void scatter(const Elements<Element>& matrix, const FragmentLayout& layout, std::span<Words* const> registers,
             const Convert& convert) {
  const int per_register = layout.elements_per_register(), bits = 8 * static_cast<int>(bytes_of(layout.type));
  for (size_t index = 0; index < registers.size(); ++index) {
    const int first = static_cast<int>(index) % layout.registers() * per_register;
    Words words{};
    for (int i = 0; i < per_register; ++i) {
      const auto indices = layout.indices(first + i);
      for (size_t lane = 0; lane < kWarpSize; ++lane) words[lane] |= convert(matrix[indices[lane]]) << (i * bits);
    }
    *registers[index] = words;
  }
}

// c += a b, in order of k for every element of c.
void accumulate_integers(Elements<int64_t>& c, const Elements<int32_t>& a, const Elements<int32_t>& b,
                         MatrixShape shape) {
  for (int row = 0; row < shape.m; ++row) {
    for (int k = 0; k < shape.k; ++k) {
      const int32_t left = a[static_cast<size_t>(row * shape.k + k)];
      for (int column = 0; column < shape.n; ++column) {
        c[static_cast<size_t>(row * shape.n + column)] += left * b[static_cast<size_t>(k * shape.n + column)];
      }
    }
  }
}

// Eight sums side by side, four such rows at a time: enough additions that do not depend on one another.
[[gnu::always_inline]] inline void accumulate_in_vectors(Elements<float>& c, const Elements<float>& a,
                                                         const Elements<float>& b, MatrixShape shape) {
  typedef float Eight __attribute__((vector_size(32), aligned(4), may_alias));
  constexpr int kRows = 4;
  for (int row = 0; row < shape.m; row += kRows) {
    for (int column = 0; column < shape.n; column += 8) {
      Eight* sums[kRows];
      for (int r = 0; r < kRows; ++r) {
        sums[r] = reinterpret_cast<Eight*>(&c[static_cast<size_t>((row + r) * shape.n + column)]);
      }
      Eight s0 = *sums[0], s1 = *sums[1], s2 = *sums[2], s3 = *sums[3];
      const float* left = &a[static_cast<size_t>(row * shape.k)];
      for (int k = 0; k < shape.k; ++k, ++left) {
        const Eight right = *reinterpret_cast<const Eight*>(&b[static_cast<size_t>(k * shape.n + column)]);
        s0 += left[0] * right;
        s1 += left[shape.k] * right;
        s2 += left[2 * shape.k] * right;
        s3 += left[3 * shape.k] * right;
      }
      *sums[0] = s0, *sums[1] = s1, *sums[2] = s2, *sums[3] = s3;
    }
  }
}

using AccumulateFloats = void (*)(Elements<float>&, const Elements<float>&, const Elements<float>&, MatrixShape);
void accumulate_plain(Elements<float>& c, const Elements<float>& a, const Elements<float>& b, MatrixShape shape) {
  accumulate_in_vectors(c, a, b, shape);
}
#if defined(__x86_64__)
[[gnu::target("avx2")]] void accumulate_avx2(Elements<float>& c, const Elements<float>& a, const Elements<float>& b,
                                             MatrixShape shape) {
  accumulate_in_vectors(c, a, b, shape);
}
const AccumulateFloats accumulate_floats = __builtin_cpu_supports("avx2") ? accumulate_avx2 : accumulate_plain;
#else
const AccumulateFloats accumulate_floats = accumulate_plain;
#endif

uint32_t float_bits(Type type, float value) {
  if (type == Type::f16) return round_to<F16>(value).bits;
  return std::bit_cast<uint32_t>(value == value ? value : canonical_nan<float>());
}

}  // namespace

FragmentLayout::FragmentLayout(MatrixOperand operand, MatrixShape shape, Type element_type) : type(element_type) {
  rows = operand == MatrixOperand::b ? shape.k : shape.m;
  columns = operand == MatrixOperand::a ? shape.k : shape.n;
  elements_per_lane = rows * columns / static_cast<int>(kWarpSize);
  indices_.reserve(static_cast<size_t>(rows * columns));
  for (int element = 0; element < elements_per_lane; ++element) {
    for (int lane = 0; lane < static_cast<int>(kWarpSize); ++lane) {
      const Position at = position_of(operand, shape, elements_per_register(), lane, element);
      indices_.push_back(static_cast<uint16_t>(at.row * columns + at.column));
    }
  }
}

Position FragmentLayout::at(int lane, int element) const {
  const int index = indices(element)[static_cast<size_t>(lane)];
  return {index / columns, index % columns};
}

MatrixMultiply::MatrixMultiply(MatrixShape shape, Type a, Type b, Type c, Type d, bool satfinite)
    : shape_(shape),
      a_(MatrixOperand::a, shape, a),
      b_(MatrixOperand::b, shape, b),
      c_(MatrixOperand::c, shape, c),
      d_(MatrixOperand::c, shape, d),
      satfinite_(satfinite) {}

void MatrixMultiply::run(std::span<Words* const> d, std::span<const Words* const> a, std::span<const Words* const> b,
                         std::span<const Words* const> c) const {
  if (d_.type == Type::s32) {
    Elements<int32_t> left, right;
    Elements<int64_t> sums;
    gather(left, a_, a);
    gather(right, b_, b);
    gather(sums, c_, c);
    accumulate_integers(sums, left, right, shape_);
    scatter(sums, d_, d, [this](int64_t sum) {
      return static_cast<uint32_t>(satfinite_ ? std::clamp<int64_t>(sum, INT32_MIN, INT32_MAX) : sum);
    });
    return;
  }
  Elements<float> left, right, sums;
  gather(left, a_, a);
  gather(right, b_, b);
  gather(sums, c_, c);
  accumulate_floats(sums, left, right, shape_);
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
