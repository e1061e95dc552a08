#include "harness/emulator/matrix.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <random>
#include <set>
#include <vector>

#include "harness/emulator/float_format.hpp"

using namespace wkv::emulator;

namespace {

using enum Type;
using enum MatrixOperand;

template <class Formula>
void check_layout(MatrixOperand operand, MatrixShape shape, Type type, int elements, const Formula& formula) {
  const FragmentLayout layout(operand, shape, type);
  CAPTURE(shape.m, shape.n, shape.k, static_cast<int>(operand), static_cast<int>(type));
  REQUIRE(layout.elements_per_lane == elements);
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < elements; ++i) {
      CAPTURE(lane, i);
      REQUIRE(layout.at(lane, i) == formula(lane >> 2, lane % 4, i));
    }
  }
}

// Registers of one operand, filled from and read into a matrix by the layout.
struct Fragment {
  explicit Fragment(const FragmentLayout& l) : layout(l), words(static_cast<size_t>(l.registers())) {}
  void set(int lane, int element, uint32_t bits) {
    const int per_register = layout.elements_per_register();
    uint32_t& word = words[static_cast<size_t>(element / per_register)][static_cast<size_t>(lane)];
    word |= bits << (element % per_register * static_cast<int>(8 * bytes_of(layout.type)));
  }
  uint32_t get(int lane, int element) const {
    const int per_register = layout.elements_per_register(), bits = static_cast<int>(8 * bytes_of(layout.type));
    const uint32_t word = words[static_cast<size_t>(element / per_register)][static_cast<size_t>(lane)];
    return bits == 32 ? word : word >> (element % per_register * bits) & ((1u << bits) - 1);
  }
  const FragmentLayout& layout;
  std::vector<Words> words;
};

template <class T>
std::vector<T*> pointers(std::vector<std::remove_const_t<T>>& words) {
  std::vector<T*> all;
  for (auto& word : words) all.push_back(&word);
  return all;
}

uint32_t encode(Type type, double value) {
  switch (type) {
    case f16:
      return round_to<F16>(value).bits;
    case bf16:
      return round_to<BF16>(value).bits;
    case tf32:
      return round_to<TF32>(value).bits;
    case e4m3:
      return round_to<E4M3>(value).bits;
    case e5m2:
      return round_to<E5M2>(value).bits;
    case f32:
      return std::bit_cast<uint32_t>(static_cast<float>(value));
    case s8:
    case u8:
      return static_cast<uint32_t>(static_cast<int32_t>(value)) & 255;
    default:
      return static_cast<uint32_t>(static_cast<int32_t>(value));
  }
}
double decode(Type type, uint32_t bits) {
  if (type == f16) return widen(F16{static_cast<uint16_t>(bits)});
  return type == s32 ? static_cast<int32_t>(bits) : static_cast<double>(std::bit_cast<float>(bits));
}

// A product of random small multiples of 1/4 (integers for integer types), which is exact in every format: the result
// must be the plain double product, element for element.
void check_product(MatrixShape shape, Type a_type, Type b_type, Type c_type, Type d_type) {
  CAPTURE(shape.m, shape.n, shape.k, static_cast<int>(a_type), static_cast<int>(d_type));
  const MatrixMultiply multiply(shape, a_type, b_type, c_type, d_type);
  std::mt19937 random(static_cast<uint32_t>(shape.m * shape.k));
  const bool whole = d_type == s32, is_unsigned = a_type == u8;
  const auto filled = [&](Fragment& fragment, int columns) {
    std::vector<double> matrix(static_cast<size_t>(fragment.layout.rows * columns), NAN);
    for (int lane = 0; lane < 32; ++lane) {
      for (int i = 0; i < fragment.layout.elements_per_lane; ++i) {
        const Position at = fragment.layout.at(lane, i);
        const int draw = static_cast<int>(random() % 8);
        const double value = is_unsigned && columns != shape.n ? draw : whole ? draw - 4 : (draw - 4) / 4.0;
        matrix[static_cast<size_t>(at.row * columns + at.column)] = value;
        fragment.set(lane, i, encode(fragment.layout.type, value));
      }
    }
    return matrix;
  };
  Fragment a(multiply.a()), b(multiply.b()), c(multiply.c()), d(multiply.d());
  const auto left = filled(a, shape.k), right = filled(b, shape.n), addend = filled(c, shape.n);
  multiply.run(pointers<Words>(d.words), pointers<const Words>(a.words), pointers<const Words>(b.words),
               pointers<const Words>(c.words));
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < d.layout.elements_per_lane; ++i) {
      const Position at = d.layout.at(lane, i);
      double sum = addend[static_cast<size_t>(at.row * shape.n + at.column)];
      for (int k = 0; k < shape.k; ++k) {
        const double y = right[static_cast<size_t>(k * shape.n + at.column)];
        const double b_value = b_type == u8 ? static_cast<uint8_t>(y) : y;
        sum += left[static_cast<size_t>(at.row * shape.k + k)] * b_value;
      }
      REQUIRE(decode(d_type, d.get(lane, i)) == sum);
    }
  }
}

}  // namespace

TEST_CASE("mma fragments lie as the PTX ISA says") {
  // Each formula is the ISA's for the shape, with g = groupID and t = threadID_in_group.
  const auto c_formula = [](int g, int t, int i) { return Position{g + (i < 2 ? 0 : 8), t * 2 + (i & 1)}; };
  SECTION("m16n8k8 of 16 bits") {
    const MatrixShape shape{16, 8, 8};
    check_layout(a, shape, f16, 4, [](int g, int t, int i) { return Position{i < 2 ? g : g + 8, t * 2 + (i & 1)}; });
    check_layout(b, shape, bf16, 2, [](int g, int t, int i) { return Position{t * 2 + i, g}; });
    check_layout(c, shape, f32, 4, c_formula);
    check_layout(c, shape, f16, 4, c_formula);
  }
  SECTION("m16n8k16 of 16 bits") {
    const MatrixShape shape{16, 8, 16};
    check_layout(a, shape, bf16, 8, [](int g, int t, int i) {
      return Position{(i >= 0 && i < 2) || (i >= 4 && i < 6) ? g : g + 8, t * 2 + (i & 1) + (i >= 4 ? 8 : 0)};
    });
    check_layout(b, shape, f16, 4, [](int g, int t, int i) { return Position{t * 2 + (i & 1) + (i >= 2 ? 8 : 0), g}; });
    check_layout(c, shape, f32, 4, c_formula);
  }
  SECTION("m16n8k4 and m16n8k8 of tf32") {
    check_layout(a, {16, 8, 4}, tf32, 2, [](int g, int t, int i) { return Position{i == 0 ? g : g + 8, t}; });
    check_layout(b, {16, 8, 4}, tf32, 1, [](int g, int t, int) { return Position{t, g}; });
    check_layout(a, {16, 8, 8}, tf32, 4, [](int g, int t, int i) {
      return Position{i == 0 || i == 2 ? g : g + 8, i == 0 || i == 1 ? t : t + 4};
    });
    check_layout(b, {16, 8, 8}, tf32, 2, [](int g, int t, int i) { return Position{i == 0 ? t : t + 4, g}; });
  }
  SECTION("fp64") {
    check_layout(a, {8, 8, 4}, f64, 1, [](int g, int t, int) { return Position{g, t}; });
    check_layout(b, {8, 8, 4}, f64, 1, [](int g, int t, int) { return Position{t, g}; });
    check_layout(c, {8, 8, 4}, f64, 2, [](int g, int t, int i) { return Position{g, t * 2 + (i & 1)}; });
    check_layout(a, {16, 8, 16}, f64, 8, [](int g, int t, int i) {
      return Position{i % 2 == 0 ? g : g + 8, i / 2 * 4 + t};
    });
    check_layout(b, {16, 8, 16}, f64, 4, [](int g, int t, int i) { return Position{t + i * 4, g}; });
  }
  SECTION("8 bits") {
    check_layout(a, {16, 8, 16}, s8, 8, [](int g, int t, int i) {
      return Position{i < 4 ? g : g + 8, t * 4 + (i & 3)};
    });
    check_layout(b, {16, 8, 16}, s8, 4, [](int g, int t, int i) { return Position{t * 4 + i, g}; });
    check_layout(a, {16, 8, 32}, e4m3, 16, [](int g, int t, int i) {
      return Position{(i >= 0 && i < 4) || (i >= 8 && i < 12) ? g : g + 8, t * 4 + (i & 3) + (i >= 8 ? 16 : 0)};
    });
    check_layout(b, {16, 8, 32}, u8, 8, [](int g, int t, int i) {
      return Position{t * 4 + (i & 3) + (i >= 4 ? 16 : 0), g};
    });
    check_layout(c, {16, 8, 32}, s32, 4, c_formula);
  }
}

TEST_CASE("every element of an operand is in exactly one place") {
  for (const auto& [shape, type] : {std::pair{MatrixShape{16, 16, 16}, f16},
                                    {{32, 8, 16}, bf16},
                                    {{8, 32, 16}, f16},
                                    {{16, 16, 8}, tf32},
                                    {{16, 8, 32}, e4m3},
                                    {{16, 16, 16}, s8},
                                    {{32, 8, 16}, u8},
                                    {{8, 32, 16}, s8}}) {
    for (const MatrixOperand operand : {a, b, c}) {
      const FragmentLayout layout(operand, shape, operand == c ? f32 : type);
      std::set<std::pair<int, int>> seen;
      for (int lane = 0; lane < 32; ++lane) {
        for (int i = 0; i < layout.elements_per_lane; ++i) {
          const Position at = layout.at(lane, i);
          CHECK((at.row < layout.rows && at.column < layout.columns));
          seen.insert({at.row, at.column});
        }
      }
      CHECK(static_cast<int>(seen.size()) == layout.rows * layout.columns);
    }
  }
}

TEST_CASE("mma and wmma products are those of the matrices") {
  for (const Type type : {f16, bf16}) {
    check_product({16, 8, 8}, type, type, f32, f32);
    check_product({16, 8, 16}, type, type, f32, f32);
    check_product({16, 16, 16}, type, type, f32, f32);
    check_product({32, 8, 16}, type, type, f32, f32);
    check_product({8, 32, 16}, type, type, f32, f32);
  }
  check_product({16, 8, 16}, f16, f16, f16, f16);
  check_product({16, 16, 16}, f16, f16, f16, f32);
  check_product({16, 16, 16}, f16, f16, f32, f16);
  check_product({16, 8, 4}, tf32, tf32, f32, f32);
  check_product({16, 8, 8}, tf32, tf32, f32, f32);
  check_product({16, 16, 8}, tf32, tf32, f32, f32);
  check_product({16, 8, 32}, e4m3, e5m2, f32, f32);
  check_product({16, 8, 16}, s8, u8, s32, s32);
  check_product({16, 8, 32}, u8, s8, s32, s32);
  check_product({8, 8, 16}, s8, s8, s32, s32);
  check_product({32, 8, 16}, s8, s8, s32, s32);
}

TEST_CASE("mma sums in fp32 in order of k, and rounds fp16 results once") {
  const MatrixMultiply multiply({16, 8, 8}, f16, f16, f32, f32);
  Fragment a(multiply.a()), b(multiply.b()), c(multiply.c()), d(multiply.d());
  // Row 0 of A is 1 and 2^-8s, column 0 of B 1 and 2^-16s: c = 1, then 1, then 2^-24 each, half a unit of 2: all lost.
  for (int lane = 0; lane < 4; ++lane) {
    for (int i = 0; i < 2; ++i) {
      const bool first = lane == 0 && i == 0;
      a.set(lane, i, encode(f16, first ? 1 : 0x1p-8));
      b.set(lane, i, encode(f16, first ? 1 : 0x1p-16));
    }
  }
  c.set(0, 0, encode(f32, 1));
  const auto run = [&](const MatrixMultiply& product, Fragment& result, Fragment& addend) {
    product.run(pointers<Words>(result.words), pointers<const Words>(a.words), pointers<const Words>(b.words),
                pointers<const Words>(addend.words));
  };
  run(multiply, d, c);
  CHECK(decode(f32, d.get(0, 0)) == 2);
  // Two products of 1 + 2^-10 squared each lie between fp16s; their sum rounds to 2 + 2^-8, not to twice a rounded one.
  const MatrixMultiply half({16, 8, 8}, f16, f16, f16, f16);
  Fragment half_c(half.c()), half_d(half.d());
  a.words.assign(a.words.size(), Words{});
  b.words.assign(b.words.size(), Words{});
  for (int i = 0; i < 2; ++i) {
    a.set(0, i, encode(f16, 1 + 0x1p-10));
    b.set(0, i, encode(f16, 1 + 0x1p-10));
  }
  half_c.set(0, 0, encode(f16, 0x1p-10));
  run(half, half_d, half_c);
  CHECK(decode(f16, half_d.get(0, 0)) == static_cast<double>(widen(round_to<F16>(2 + 0x1p-8 + 0x1p-19 + 0x1p-10))));
}

TEST_CASE("mma: infinities, NaN and integer overflow") {
  const MatrixMultiply multiply({16, 8, 8}, bf16, bf16, f32, f32);
  Fragment a(multiply.a()), b(multiply.b()), c(multiply.c()), d(multiply.d());
  a.set(0, 0, 0x7f80);  // infinity times 0 in row 0, columns but 0; times 1 in column 0
  b.set(0, 0, 0x3f80);
  multiply.run(pointers<Words>(d.words), pointers<const Words>(a.words), pointers<const Words>(b.words),
               pointers<const Words>(c.words));
  CHECK(d.get(0, 0) == 0x7f800000);
  CHECK(d.get(0, 1) == 0x7fffffff);
  CHECK(d.get(0, 2) == 0);
  for (const bool satfinite : {false, true}) {
    const MatrixMultiply bytes({8, 8, 16}, s8, s8, s32, s32, satfinite);
    Fragment x(bytes.a()), y(bytes.b()), z(bytes.c()), sum(bytes.d());
    x.set(0, 0, 1);
    y.set(0, 0, 1);
    z.set(0, 0, 0x7fffffff);
    bytes.run(pointers<Words>(sum.words), pointers<const Words>(x.words), pointers<const Words>(y.words),
              pointers<const Words>(z.words));
    CHECK(sum.get(0, 0) == (satfinite ? 0x7fffffff : 0x80000000));
  }
}

TEST_CASE("mma: fp64 by fused multiply-add") {
  for (const MatrixShape shape : {MatrixShape{8, 8, 4}, {16, 8, 4}, {16, 8, 8}, {16, 8, 16}}) {
    const MatrixMultiply multiply(shape, f64, f64, f64, f64);
    std::mt19937 random(1);
    std::uniform_real_distribution<double> uniform(-1, 1);
    using Doubles = MatrixMultiply::DoubleWords;
    const auto filled = [&](const FragmentLayout& layout, std::vector<double>& matrix) {
      std::vector<Doubles> registers(static_cast<size_t>(layout.registers()));
      matrix.resize(static_cast<size_t>(layout.rows * layout.columns));
      for (int lane = 0; lane < 32; ++lane) {
        for (int i = 0; i < layout.elements_per_lane; ++i) {
          const Position at = layout.at(lane, i);
          matrix[static_cast<size_t>(at.row * layout.columns + at.column)] =
              registers[static_cast<size_t>(i)][static_cast<size_t>(lane)] = uniform(random);
        }
      }
      return registers;
    };
    std::vector<double> left, right, addend;
    auto a_words = filled(multiply.a(), left), b_words = filled(multiply.b(), right),
         c_words = filled(multiply.c(), addend);
    multiply.run(pointers<Doubles>(c_words), pointers<const Doubles>(a_words), pointers<const Doubles>(b_words),
                 pointers<const Doubles>(c_words));
    for (int lane = 0; lane < 32; ++lane) {
      for (int i = 0; i < multiply.c().elements_per_lane; ++i) {
        const Position at = multiply.c().at(lane, i);
        double sum = addend[static_cast<size_t>(at.row * 8 + at.column)];
        for (int k = 0; k < shape.k; ++k) {
          sum = std::fma(left[static_cast<size_t>(at.row * shape.k + k)], right[static_cast<size_t>(k * 8 + at.column)],
                         sum);
        }
        REQUIRE(c_words[static_cast<size_t>(i)][static_cast<size_t>(lane)] == sum);
      }
    }
  }
}

TEST_CASE("wmma registers beyond the matrix repeat it") {
  const MatrixMultiply multiply({16, 16, 16}, f16, f16, f32, f32);
  Fragment a(multiply.a()), b(multiply.b()), c(multiply.c());
  CHECK(multiply.a().registers() == 4);
  a.words.resize(8, Words{});
  b.words.resize(8, Words{});
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 8; ++i) a.set(lane, i, encode(f16, 1)), b.set(lane, i, encode(f16, 2));
  }
  std::vector<Words> d(16);
  multiply.run(pointers<Words>(d), pointers<const Words>(a.words), pointers<const Words>(b.words),
               pointers<const Words>(c.words));
  CHECK(d[0][5] == encode(f32, 32));
  CHECK(d[8] == d[0]);
  CHECK(d[15] == d[7]);
}

TEST_CASE("ldmatrix, stmatrix and movmatrix: two elements of a row in each lane") {
  Matrix8x8 matrix;
  for (size_t row = 0; row < 8; ++row) {
    for (size_t column = 0; column < 8; ++column) matrix[row][column] = static_cast<uint16_t>(16 * row + column);
  }
  const Words plain = distribute(matrix, false), transposed = distribute(matrix, true);
  CHECK(plain[0] == 0x00010000);
  CHECK(plain[5] == 0x00130012);  // row 1, columns 2 and 3
  CHECK(plain[31] == 0x00770076);
  CHECK(transposed[5] == 0x00310021);  // column 1, rows 2 and 3
  CHECK(collect(plain, false) == matrix);
  CHECK(collect(transposed, true) == matrix);
  CHECK(distribute(collect(plain, true), false) == transposed);
}
