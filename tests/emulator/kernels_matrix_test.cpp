// Products through nvcuda::wmma and inline mma.sync, as nvcc compiles them, against products in fp64.
#include <random>

#include "harness/emulator/float_format.hpp"
#include "tests/emulator/kernels.hpp"

using namespace wkv::emulator;
using test::Device;
using test::for_each_architecture;

namespace {

template <class T>
double value_of(T value) {
  if constexpr (std::is_arithmetic_v<T>) return value;
  if constexpr (!std::is_arithmetic_v<T>) return widen(value);
}
template <class T>
T made_from(double value) {
  if constexpr (std::is_arithmetic_v<T>) return static_cast<T>(value);
  if constexpr (!std::is_arithmetic_v<T>) return round_to<T>(value);
}

// Small integers: exact in every format, so that results must be equal.
template <class T>
std::vector<T> random_matrix(size_t elements, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<T> values;
  for (size_t i = 0; i < elements; ++i) values.push_back(made_from<T>(static_cast<int>(random() % 9) - 4));
  return values;
}

struct Shape {
  size_t m, n, k;
};

// Runs a kernel (a, b, c, d) of one warp; columns say which operands are column-major in memory.
template <class T, class Sum>
void check(const Module& module, std::string_view entry, Shape shape, bool a_column = false, bool b_column = false) {
  INFO(entry);
  const auto a = random_matrix<T>(shape.m * shape.k, 1), b = random_matrix<T>(shape.k * shape.n, 2);
  const auto c = random_matrix<Sum>(shape.m * shape.n, 3);
  Device device;
  const uint64_t at_a = device.put(a), at_b = device.put(b), at_c = device.put(c),
                 at_d = device.room_for<Sum>(c.size());
  const Counters counters = device.run(module, entry, 1, 32, at_a, at_b, at_c, at_d);
  CHECK(counters.matrix_instructions == 1);
  const auto d = device.get<Sum>(at_d, c.size());
  for (size_t i = 0; i < shape.m; ++i) {
    for (size_t j = 0; j < shape.n; ++j) {
      double sum = value_of(c[i * shape.n + j]);
      for (size_t l = 0; l < shape.k; ++l) {
        sum += value_of(a[a_column ? l * shape.m + i : i * shape.k + l]) *
               value_of(b[b_column ? j * shape.k + l : l * shape.n + j]);
      }
      CAPTURE(i, j);
      REQUIRE(value_of(d[i * shape.n + j]) == sum);
    }
  }
}

}  // namespace

TEST_CASE("kernels: wmma in every shape, type and layout") {
  for_each_architecture("tensor_cores", [](const Module& module) {
    check<F16, float>(module, "wmma_f16_16_16_16_row_col", {16, 16, 16}, false, true);
    check<F16, float>(module, "wmma_f16_16_16_16_col_row", {16, 16, 16}, true, false);
    check<F16, float>(module, "wmma_f16_32_8_16_row_row", {32, 8, 16});
    check<F16, float>(module, "wmma_f16_8_32_16_col_col", {8, 32, 16}, true, true);
    check<BF16, float>(module, "wmma_bf16_16_16_16_row_row", {16, 16, 16});
    check<BF16, float>(module, "wmma_bf16_32_8_16_col_row", {32, 8, 16}, true, false);
    check<BF16, float>(module, "wmma_bf16_8_32_16_row_col", {8, 32, 16}, false, true);
    check<F16, F16>(module, "wmma_half_16_16_16_row_row", {16, 16, 16});
    check<float, float>(module, "wmma_tf32_16_16_8_row_row", {16, 16, 8});
    check<float, float>(module, "wmma_tf32_16_16_8_col_col", {16, 16, 8}, true, true);
    check<double, double>(module, "wmma_f64_8_8_4_row_col", {8, 8, 4}, false, true);
    check<int8_t, int32_t>(module, "wmma_s8_16_16_16_row_col", {16, 16, 16}, false, true);
  });
}

TEST_CASE("kernels: mma.sync with ldmatrix") {
  for_each_architecture("tensor_cores", [](const Module& module) {
    check<BF16, float>(module, "mma_bf16_16_8_16", {16, 8, 16});
    check<F16, F16>(module, "mma_f16_16_8_16", {16, 8, 16});
    check<float, float>(module, "mma_tf32_16_8_8", {16, 8, 8});
  });
}

TEST_CASE("kernels: element-wise work on fragments, and a transpose in registers") {
  for_each_architecture("tensor_cores", [](const Module& module) {
    const auto a = random_matrix<F16>(256, 4), b = random_matrix<F16>(256, 5);
    Device device;
    const uint64_t at_a = device.put(a), at_b = device.put(b), at_d = device.room_for<float>(256);
    device.run(module, "wmma_scaled_chain", 1, 32, at_a, at_b, at_d);
    const uint64_t turned = device.room_for<F16>(256);
    device.run(module, "transpose_in_registers", 1, 32, at_a, turned);
    for (size_t i = 0; i < 16; ++i) {
      for (size_t j = 0; j < 16; ++j) {
        float sum = 0;
        for (size_t k = 0; k < 16; ++k) sum += widen(a[i * 16 + k]) * widen(b[j * 16 + k]);
        CHECK(device.get<float>(at_d, 256)[i * 16 + j] == 0.5f * sum + 1);
        CHECK(device.get<F16>(turned, 256)[j * 16 + i].bits == a[i * 16 + j].bits);
      }
    }
  });
}
