// Comparison of outputs in memory with what they should be, element by element.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "harness/operator.hpp"
#include "harness/tensor.hpp"

namespace wkv {

// The largest |got - expected| that rounding explains, for element i of an output stored as `stored`, by a variant
// that accumulates in fp32 and rounds the factors of its products to `products`. compare.cpp has the derivation.
double tolerance(const ExpectedOutput& expected, size_t i, DType stored, DType products);

// "y(b=0, t=3, h=1, n=5)"
std::string element_name(const TensorSpec& spec, int64_t offset);

// Whether the element, at an offset in elements, is as TensorSet::poison_outputs leaves it.
bool holds_poison(std::span<const std::byte> memory, DType dtype, int64_t offset);

// One line on the first element of an output, of all of them, that still holds poison or that is not finite; empty if
// there is none. On the executor's threads, if one is given.
std::string find_unwritten(const TensorSet& set, Executor* executor = nullptr);

// One line on the first output element that the two sets, which hold the same inputs, do not agree on; empty if they
// agree as well as results that are summed up in another order do.
std::string find_disagreement(const TensorSet& one, const TensorSet& other);

struct Comparison {
  std::string failure;         // one line on the first element that is too far off, and how many are; empty if none
  double error = 0;            // largest |got - expected| / scale
  double tolerance_ratio = 0;  // largest |got - expected| / tolerance
};

// Slices and expected correspond. `origin` says where the expected values come from.
Comparison compare(const TensorSet& set, const std::vector<Slice>& slices,
                   const std::vector<std::vector<ExpectedOutput>>& expected, DType products, const std::string& origin);

}  // namespace wkv
