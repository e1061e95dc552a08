// Verification of a variant against the reference, before it is timed and again afterwards.
#pragma once

#include <string>

#include "harness/runner.hpp"
#include "harness/workload.hpp"

namespace wkv {

struct Verification {
  std::string failure;  // one line for the user: what is wrong, the first bad index, expected, got; empty if none
  double error = 0;     // largest |got - expected| relative to the output's scale (ExpectedOutput::scale)
  double tolerance_ratio = 0;  // largest |got - expected| / tolerance; above 1 is a failure
  double fastest_seconds = 0;  // of the runs made: an estimate for choosing the number of timed iterations

  bool passed() const { return failure.empty(); }
};

// Runs the variant several times on poisoned outputs, on different input sets, and checks that each time
// every output is right, written and stays so after the return, inputs are unchanged, and nothing around the tensors
// is touched. An exception from the variant becomes a failure, except std::bad_alloc.
Verification verify(Runner& runner, Workload& workload, Executor& executor);

// Checks the outputs that a run (a timed one) left in a set.
Verification check_outputs(Runner& runner, Workload& workload, int set, Executor& executor);

}  // namespace wkv
