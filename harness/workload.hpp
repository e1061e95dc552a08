// A workload: the input sets of one problem, and what their outputs should be. Shared by all variants of a cell.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "harness/executor.hpp"
#include "harness/inputs.hpp"
#include "harness/operator.hpp"

namespace wkv {

// Where inputs come from: a generator and its seed, or a file.
struct InputSource {
  std::string name;  // "realistic", "extreme" or a file's name
  uint64_t seed = 0;
  // Fills the inputs of set number `index`; different indices give different inputs.
  std::function<void(const TensorSet&, int index, Executor&)> fill;
  // Outputs that the source itself gives for set 0 in one slice; compared besides the reference. May be empty.
  std::function<std::vector<ExpectedOutput>(const Problem&, const Slice&)> given;
};

InputSource generated_inputs(InputKind kind, uint64_t seed);

// The slices of a problem that are compared with the reference.
struct Sample {
  std::vector<Slice> slices;
  std::string description;  // "all", or "4 of 32 heads, 64 of 65536 rows": stored with the result
};

// As many slices as a reference run of about this many FLOPs can check, reading the inputs counted as FLOPs too. The
// first and the last head and row are among them, the others are drawn by the seed.
Sample sample_of(const Operator& op, const Problem& problem, double reference_flops, uint64_t seed);

// For each slice of a sample its outputs.
using ExpectedSample = std::vector<std::vector<ExpectedOutput>>;

class Workload {
 public:
  static constexpr double kReferenceFlops = 1.2e9;  // for one set: a second or two on two cores, see sample_of

  // Allocates and fills `sets` sets (at least two). Throws std::bad_alloc.
  Workload(const Operator& op, const Problem& problem, InputSource source, int sets, Executor& executor,
           double reference_flops = kReferenceFlops);

  const Operator& op() const { return *op_; }
  const Problem& problem() const { return problem_; }
  const InputSource& source() const { return source_; }
  const Sample& sample() const { return sample_; }
  int sets() const { return static_cast<int>(sets_.size()); }
  const TensorSet& set(int index) const { return at(index).tensors; }
  // Which of the source's inputs a set holds: those of its own index, until they are exchanged.
  int contents(int set) const { return at(set).contents; }
  // Of all sets together: what timed iterations, which rotate over the sets, cycle through.
  size_t working_set_bytes() const;
  // What one set needs, without allocating it.
  static size_t set_bytes(const Operator& op, const Problem& problem);

  // The outputs for the inputs that the set holds; computed at the first call, on the executor's threads, when the
  // inputs must be intact. Throws std::runtime_error if an output is beyond fp32's range.
  const ExpectedSample& expected(int set, Executor& executor);
  // The outputs that the source gives for its inputs number 0; empty if it gives none.
  const ExpectedSample& given();

  // Two sets exchange their inputs, so that the same memory holds other inputs than before.
  void exchange_inputs(int one, int other, Executor& executor);
  // Name of the first input of a set that is not as it was filled; empty if none. On the executor's
  // threads, if one is given.
  std::string changed_input(int set, Executor* executor = nullptr) const;
  // Inputs and guards become again what they were, whatever a variant did to them.
  void restore(int set, Executor& executor);

 private:
  struct Set {
    TensorSet tensors;
    int contents;
    std::vector<uint64_t> checksums;  // of each input as it was filled
  };
  const Set& at(int index) const { return sets_[static_cast<size_t>(index)]; }
  Set& at(int index) { return sets_[static_cast<size_t>(index)]; }

  const Operator* op_;
  Problem problem_;
  InputSource source_;
  Sample sample_;
  std::vector<Set> sets_;
  std::vector<ExpectedSample> expected_;  // by contents
  ExpectedSample given_;
};

}  // namespace wkv
