#include "harness/compare.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "harness/executor.hpp"

namespace wkv {
namespace {

constexpr double kSmallest = std::numeric_limits<float>::min();  // normal; bf16 has the same

// Offset of the first element for whose bits the predicate holds, or -1. In blocks, so that the usual case, none, is a
// vectorised reduction; these in parts for the threads of an executor, if there is one.
template <class Word, class Predicate>
int64_t find_bits(std::span<const std::byte> memory, Executor* executor, const Predicate& predicate) {
  const auto* words = reinterpret_cast<const Word*>(memory.data());
  const auto size = static_cast<int64_t>(memory.size() / sizeof(Word));
  constexpr int64_t kBlock = 4096, kPart = 256 * kBlock;
  std::vector<int64_t> found(static_cast<size_t>((size + kPart - 1) / kPart), -1);
  const auto search = [&](int64_t part, int) {
    const int64_t part_end = std::min(size, (part + 1) * kPart);
    for (int64_t begin = part * kPart; begin < part_end; begin += kBlock) {
      const int64_t end = std::min(part_end, begin + kBlock);
      bool any = false;
      for (int64_t i = begin; i < end; ++i) any |= predicate(words[i]);
      if (!any) continue;
      found[static_cast<size_t>(part)] = std::find_if(words + begin, words + end, predicate) - words;
      return;
    }
  };
  const auto parts = static_cast<int64_t>(found.size());
  if (executor != nullptr) {
    executor->parallel_for(parts, search);
  } else {
    for (int64_t part = 0; part < parts; ++part) search(part, 0);
  }
  const auto first = std::find_if(found.begin(), found.end(), [](int64_t offset) { return offset >= 0; });
  return first == found.end() ? -1 : *first;
}

// All exponent bits set: infinities and NaNs, poison among them.
int64_t find_not_finite(std::span<const std::byte> memory, DType dtype, Executor* executor) {
  if (dtype == DType::f32) {
    return find_bits<uint32_t>(memory, executor, [](uint32_t bits) { return (bits & 0x7f800000u) == 0x7f800000u; });
  }
  const uint16_t exponent = dtype == DType::f16 ? 0x7c00u : 0x7f80u;
  return find_bits<uint16_t>(memory, executor, [=](uint16_t bits) { return (bits & exponent) == exponent; });
}

struct Outliers {
  std::string first;
  int64_t count = 0, of = 0;
};

void compare_output(const TensorSet& set, const Slice& slice, const ExpectedOutput& expected, DType products,
                    Comparison& result, Outliers& outliers) {
  const TensorSpec& spec = set.spec(expected.tensor);
  const std::byte* data = set.data(expected.tensor);
  const std::vector<int64_t> offsets = slice_offsets(spec, slice);
  if (offsets.size() != expected.value.size()) {
    throw std::logic_error(fmt::format("{} values expected of {} elements of output \"{}\"", expected.value.size(),
                                       offsets.size(), expected.tensor));
  }
  outliers.of += static_cast<int64_t>(offsets.size());
  for (size_t i = 0; i < offsets.size(); ++i) {
    const double got = element(data, spec.dtype, offsets[i]);
    const double allowed = tolerance(expected, i, spec.dtype, products);
    const double difference = std::abs(got - expected.value[i]);
    result.tolerance_ratio = std::max(result.tolerance_ratio, difference / allowed);
    result.error = std::max(result.error, difference / std::max(expected.scale[i], kSmallest));
    if (difference <= allowed) continue;
    if (outliers.count++ == 0) {
      outliers.first = fmt::format("{} is wrong: expected {:.9g}, got {:.9g}, tolerance {:.2g}",
                                   element_name(spec, offsets[i]), expected.value[i], got, allowed);
    }
  }
}

}  // namespace

// Three parts:
// - The stored value is rounded once more: half a unit in the last place, at most u(stored) |value|; in fp16, whose
//   denormals begin at 6e-5, at least half of the smallest one.
// - The arithmetic. A rounding is off by up to u, evenly spread, 0.58 u in standard deviation, and roundings are nearly
//   independent; an operator's `growth` says how many of them, as a root of a sum of squares, weigh as much as the
//   output's `scale`. So an error has a standard deviation below 0.58 u(fp32) growth scale, and the largest of the
//   1e9 errors of a big output is at 6.1 deviations: 3.5 u growth scale. A variant that rounds the factors of its
//   products to a shorter type adds u(products) factor_growth scale, by the same reasoning. Roundings that all go the
//   same way are at worst u each: u drift scale.
// - Results below the smallest normal float may be flushed to zero, here or in a term: a constant.
double tolerance(const ExpectedOutput& expected, size_t i, DType stored, DType products) {
  constexpr double kDeviations = 3.5;
  const double accumulated = unit_roundoff(DType::f32) * expected.growth;
  const double factors = products == DType::f32 ? 0 : unit_roundoff(products) * expected.factor_growth;
  const double drift = unit_roundoff(DType::f32) * expected.drift;
  const double arithmetic = (kDeviations * (accumulated + factors) + drift) * expected.scale[i];
  const double stored_rounding = std::max(unit_roundoff(stored) * (std::abs(expected.value[i]) + arithmetic),
                                          stored == DType::f16 ? 0x1p-25 : 0.0);
  return stored_rounding + arithmetic + expected.growth * kSmallest;
}

std::string element_name(const TensorSpec& spec, int64_t offset) {
  std::vector<int64_t> position(spec.dims.size());
  for (size_t d = spec.dims.size(); d-- > 0;) {
    position[d] = offset % spec.dims[d].size;
    offset /= spec.dims[d].size;
  }
  constexpr std::array<char, 4> kLetters{'b', 't', 'h', 'n'};  // in the order of Axis
  std::string name = spec.name + "(";
  for (size_t d = 0; d < position.size(); ++d) {
    name += fmt::format("{}{}={}", d == 0 ? "" : ", ", kLetters[static_cast<size_t>(spec.dims[d].axis)], position[d]);
  }
  return name + ")";
}

bool holds_poison(std::span<const std::byte> memory, DType dtype, int64_t offset) {
  const size_t size = size_of(dtype);
  return std::memcmp(memory.data() + static_cast<size_t>(offset) * size, &TensorSet::kPoison, size) == 0;
}

std::string find_unwritten(const TensorSet& set, Executor* executor) {
  for (const TensorSpec& spec : set.specs()) {
    if (spec.role != Role::output) continue;
    const auto memory = set.bytes(spec);
    const int64_t offset = find_not_finite(memory, spec.dtype, executor);
    if (offset < 0) continue;
    const std::string name = element_name(spec, offset);
    if (holds_poison(memory, spec.dtype, offset)) return name + " is not written";
    return fmt::format("{} is {}", name, element(memory.data(), spec.dtype, offset));
  }
  return {};
}

// Coarse, since there is no scale to judge by but the row of channels that an element is in.
std::string find_disagreement(const TensorSet& one, const TensorSet& other) {
  constexpr double kCoarse = 1.0 / 32;
  for (const TensorSpec& spec : one.specs()) {
    if (spec.role != Role::output || one.checksum(spec) == other.checksum(spec)) continue;
    const std::byte *a = one.data(spec.name), *b = other.data(spec.name);
    const int64_t row_size = spec.dims.back().size;
    for (int64_t row = 0; row < spec.elements(); row += row_size) {
      double size = 0, difference = 0;
      int64_t worst = row;
      for (int64_t i = row; i < row + row_size; ++i) {
        const double x = element(a, spec.dtype, i), y = element(b, spec.dtype, i);
        size = std::max(size, std::abs(x));
        if (std::abs(x - y) > difference) difference = std::abs(x - y), worst = i;
      }
      if (difference <= kCoarse * size) continue;
      return fmt::format("{} is {:.9g} in one run and {:.9g} in another on the same inputs", element_name(spec, worst),
                         element(a, spec.dtype, worst), element(b, spec.dtype, worst));
    }
  }
  return {};
}

Comparison compare(const TensorSet& set, const std::vector<Slice>& slices,
                   const std::vector<std::vector<ExpectedOutput>>& expected, DType products,
                   const std::string& origin) {
  Comparison result;
  Outliers outliers;
  for (size_t s = 0; s < slices.size(); ++s) {
    for (const ExpectedOutput& output : expected[s]) {
      compare_output(set, slices[s], output, products, result, outliers);
    }
  }
  if (outliers.count > 0) {
    result.failure = fmt::format("{} (by {}; {} of {} elements)", outliers.first, origin, outliers.count, outliers.of);
  }
  return result;
}

}  // namespace wkv
