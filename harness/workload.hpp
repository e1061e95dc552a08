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

// As many slices as a reference run of about this many FLOPs can check; the first and last head and row among them.
Sample sample_of(const Operator& op, const Problem& problem, double reference_flops, uint64_t seed);

class Workload {
 public:
  // Allocates and fills `sets` sets (at least two). Throws std::bad_alloc.
  Workload(const Operator& op, const Problem& problem, InputSource source, int sets, Executor& executor);

  const Operator& op() const { return *op_; }
  const Problem& problem() const { return problem_; }
  const InputSource& source() const { return source_; }
  const Sample& sample() const { return sample_; }
  int sets() const { return static_cast<int>(sets_.size()); }
  const TensorSet& set(int index) const { return sets_[static_cast<size_t>(index)]; }
  // Of all sets together: what timed iterations, which rotate over the sets, cycle through.
  size_t working_set_bytes() const;
  // What one set needs, without allocating it.
  static size_t set_bytes(const Operator& op, const Problem& problem);

  // For each slice of the sample its outputs with the inputs of this set; computed at the first call, on the executor's
  // threads, when the set must hold its own inputs. Throws std::runtime_error if an output is beyond fp32's range.
  const std::vector<std::vector<ExpectedOutput>>& expected(int set, Executor& executor);

  // For each slice of the sample the outputs that the source gives for set 0; asked for at the first call.
  const std::vector<std::vector<ExpectedOutput>>& given();

  // Fills a set's inputs again, with those of set number `like`.
  void refill(int set, int like, Executor& executor);
  // Name of the first input of a set that is not as it was filled; empty if none.
  std::string changed_input(int set) const;

 private:
  const Operator* op_;
  Problem problem_;
  InputSource source_;
  Sample sample_;
  std::vector<TensorSet> sets_;
  std::vector<std::vector<std::vector<ExpectedOutput>>> expected_;
  std::vector<std::vector<ExpectedOutput>> given_;
  std::vector<std::vector<uint64_t>> checksums_;  // for each set, of its inputs as they were filled
};

}  // namespace wkv
