// An operator: what it computes on which tensors, what it costs at least, and what is right (its reference).
// Declared once, in kernels/<op>/<op>.cpp; inputs, poison, guards, verification, results and plots follow from it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/problem.hpp"
#include "harness/tensor.hpp"

namespace wkv {

// The least that any algorithm for the problem does; what a variant does more is its own business.
struct Cost {
  double flops = 0;
  double bytes = 0;  // every input read once, every output written once
};

// What is compared with the reference at once: one batch entry and head, at some times.
// A tensor without a batch or head axis belongs to every slice whole.
struct Slice {
  int64_t batch = 0;
  int64_t head = 0;
  std::vector<int64_t> times;  // ascending; empty: all
};

// Offsets, in elements, of a tensor's elements that belong to the slice: ascending.
std::vector<int64_t> slice_offsets(const TensorSpec& spec, const Slice& slice);

// The elements of an input in the slice, in the order of slice_offsets: at all times, or at those of the slice.
std::vector<double> read_slice(const TensorSet& set, std::string_view tensor, int64_t batch, int64_t head);
std::vector<double> read_slice(const TensorSet& set, std::string_view tensor, const Slice& slice);

// One output in one slice, in the order of slice_offsets.
struct ExpectedOutput {
  std::string tensor;
  std::vector<double> value;
  // Root mean square of what a relative perturbation of 1 of every product would change: the size against which an
  // error is judged. Never below |value|.
  std::vector<double> scale;
  // How many units of roundoff of the accumulating type (fp32) rounding adds up to, as a multiple of scale.
  double growth = 1;
  // The same for roundings that can all go the same way: their sum instead of its root.
  double drift = 0;
  // The same for the type that a variant rounds the factors of its products to (Variant::products), where that is not
  // fp32. By default the root of the five roundings that a product of four factors and one intermediate sum goes
  // through, independent of each other.
  double factor_growth = 2.24;
};

struct Operator {
  std::string name;
  std::string summary;
  std::function<std::vector<TensorSpec>(const Problem&)> tensors;
  std::function<Cost(const Problem&)> cost;
  // The outputs of one slice from the inputs in the set, in double precision.
  std::function<std::vector<ExpectedOutput>(const TensorSet&, const Problem&, const Slice&)> reference;
  // False where a row of the output can be had alone (attention), so that times may be sampled.
  bool sequential = true;
  // For a sequential one that forgets (LSTM, GRU): rows after which hardly anything of a state is left. Its reference
  // can then have rows that follow each other alone: it starts about so many rows before them, from any state, and
  // counts what is still open after these as rounding. 0: it never forgets.
  int64_t forgets_after = 0;
  // False where every output channel needs all input channels (LSTM): no tensor then has a head axis, and a batch entry
  // is one slice.
  bool heads_apart = true;
  // True where Problem::window means something.
  bool windowed = false;
};

// An object of this type, at namespace scope of kernels/<op>/<op>.cpp, registers the operator.
struct RegisteredOperator {
  explicit RegisteredOperator(Operator op);
};

// Sorted by name. Throws std::out_of_range for an unknown name.
std::vector<const Operator*> all_operators();
const Operator& operator_named(std::string_view name);

}  // namespace wkv
