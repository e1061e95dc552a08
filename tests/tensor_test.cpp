#include "harness/tensor.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>

#include "harness/executor.hpp"
#include "harness/operator.hpp"

namespace wkv {
namespace {

TensorSpec sequence(std::string name, DType dtype, int64_t B, int64_t T, int64_t H, int64_t N, Role role) {
  return {.name = std::move(name),
          .dims = {{Axis::batch, B}, {Axis::time, T}, {Axis::head, H}, {Axis::channel, N}},
          .dtype = dtype,
          .role = role};
}

TEST_CASE("tensor: memory is aligned and guarded to the byte on both sides") {
  const TensorSet set(
      {sequence("x", DType::bf16, 1, 1, 1, 3, Role::input), sequence("y", DType::f32, 1, 5, 1, 7, Role::output)});
  for (const TensorSpec& spec : set.specs()) {
    REQUIRE(reinterpret_cast<uintptr_t>(set.data(spec.name)) % 64 == 0);
    const auto size = static_cast<std::ptrdiff_t>(spec.bytes());
    std::memset(set.data(spec.name), 0, spec.bytes());
    REQUIRE(set.overrun() == "");
    for (const std::ptrdiff_t offset : {std::ptrdiff_t{-4096}, std::ptrdiff_t{-1}, size, size + 4095}) {
      CAPTURE(spec.name, offset);
      set.data(spec.name)[offset] = std::byte{0};
      REQUIRE(set.overrun() == spec.name);
      set.restore_guards();
      REQUIRE(set.overrun() == "");
    }
  }
}

TEST_CASE("tensor: poison covers outputs, an odd number of short elements too, and nothing else") {
  const TensorSet set(
      {sequence("x", DType::f32, 1, 1, 1, 8, Role::input), sequence("y", DType::bf16, 1, 1, 1, 7, Role::output)});
  std::memset(set.data("x"), 0, 32);
  std::memset(set.data("y"), 0, 14);
  set.poison_outputs();
  for (int i = 0; i < 7; ++i) REQUIRE(set.as<BFloat16>("y")[i].bits == 0xffb7);
  for (int i = 0; i < 8; ++i) REQUIRE(set.as<float>("x")[i] == 0);
  REQUIRE(set.overrun() == "");
}

TEST_CASE("tensor: a checksum sees any change of a bit, and changes of the same bit in two words") {
  const TensorSet set({sequence("x", DType::f32, 1, 1, 1, 21, Role::input)});
  const TensorSpec& spec = set.spec("x");
  std::memset(set.data("x"), 0, spec.bytes());
  const uint64_t before = set.checksum(spec);
  auto* words = set.as<uint32_t>("x");
  for (int word = 0; word < 21; ++word) {
    for (int bit = 0; bit < 32; ++bit) {
      CAPTURE(word, bit);
      words[word] ^= 1u << bit;
      REQUIRE(set.checksum(spec) != before);
      const int next = (word + 8) % 21;  // in the same 64-bit chain
      words[next] ^= 1u << bit;
      REQUIRE(set.checksum(spec) != before);
      words[word] ^= 1u << bit, words[next] ^= 1u << bit;
    }
  }
  REQUIRE(set.checksum(spec) == before);
}

TEST_CASE("tensor: a checksum is the same by several threads, and sees changes in every block and at its edges") {
  constexpr int64_t kBlock = 1 << 18, kFloats = 3 * kBlock + 100;
  const TensorSet set({sequence("x", DType::f32, 1, kFloats, 1, 1, Role::input)});
  const TensorSpec& spec = set.spec("x");
  auto* values = set.as<float>("x");
  std::fill_n(values, kFloats, 1.0f);
  Executor executor(3);
  const uint64_t before = set.checksum(spec);
  REQUIRE(set.checksum(spec, &executor) == before);
  for (const int64_t i : {int64_t{0}, kBlock - 1, kBlock, 2 * kBlock, 3 * kBlock + 5, kFloats - 1}) {
    values[i] = 2;
    REQUIRE(set.checksum(spec, &executor) != before);
    REQUIRE(set.checksum(spec, &executor) == set.checksum(spec));
    values[i] = 1;
  }
  REQUIRE(set.checksum(spec, &executor) == before);
  std::fill_n(values + kBlock, kBlock, 3.0f);
  const uint64_t in_order = set.checksum(spec);
  std::swap_ranges(values, values + kBlock, values + kBlock);
  REQUIRE(set.checksum(spec) != in_order);
}

TEST_CASE("tensor: bf16 rounds to nearest even, and its roundoff is the largest relative error") {
  REQUIRE(static_cast<float>(BFloat16(1.00390625f)) == 1.0f);       // half-way: to even
  REQUIRE(static_cast<float>(BFloat16(1.01171875f)) == 1.015625f);  // half-way: to even
  double largest = 0;
  for (float value = 1; value < 2; value += 0x1p-12f) {
    largest = std::max(largest, std::abs(static_cast<double>(static_cast<float>(BFloat16(value))) - value) / value);
  }
  REQUIRE(largest <= unit_roundoff(DType::bf16));
  REQUIRE(largest > 0.99 * unit_roundoff(DType::bf16) / (1 + unit_roundoff(DType::bf16)));
}

TEST_CASE("slice: picks a batch entry, a head and some times, and shared tensors whole") {
  const TensorSpec x = sequence("x", DType::f32, 2, 3, 2, 2, Role::input);
  REQUIRE(slice_offsets(x, {.batch = 1, .head = 1, .times = {0, 2}}) == std::vector<int64_t>{14, 15, 22, 23});
  REQUIRE(slice_offsets(x, {.batch = 0, .head = 1, .times = {}}) == std::vector<int64_t>{2, 3, 6, 7, 10, 11});
  const TensorSpec shared{.name = "b", .dims = {{Axis::channel, 3}}};
  REQUIRE(slice_offsets(shared, {.batch = 1, .head = 1, .times = {1}}) == std::vector<int64_t>{0, 1, 2});
}

TEST_CASE("slice: read_slice gives the elements in the order of slice_offsets") {
  const TensorSet set(
      {sequence("x", DType::bf16, 2, 3, 2, 4, Role::input),
       {.name = "state", .dims = {{Axis::batch, 2}, {Axis::head, 2}, {Axis::channel, 2}, {Axis::channel, 3}}},
       {.name = "per_head", .dims = {{Axis::batch, 2}, {Axis::head, 2}}},
       {.name = "by_time", .dims = {{Axis::channel, 2}, {Axis::time, 3}}}});
  for (const TensorSpec& spec : set.specs()) {
    for (int64_t i = 0; i < spec.elements(); ++i) {
      const auto value = static_cast<float>(i);
      if (spec.dtype == DType::f32) {
        set.as<float>(spec.name)[i] = value;
      } else {
        set.as<BFloat16>(spec.name)[i] = BFloat16(value);
      }
    }
    std::vector<double> expected;
    for (const int64_t offset : slice_offsets(spec, {.batch = 1, .head = 0, .times = {}})) {
      expected.push_back(static_cast<double>(offset));
    }
    CAPTURE(spec.name);
    REQUIRE(read_slice(set, spec.name, 1, 0) == expected);
  }
}

}  // namespace
}  // namespace wkv
