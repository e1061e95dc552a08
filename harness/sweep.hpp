// A sweep: every cell is predicted, verified, timed, verified again and handed on, one after the other.
#pragma once

#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "harness/ceilings.hpp"
#include "harness/results.hpp"
#include "harness/variant.hpp"
#include "harness/workload.hpp"

namespace wkv {

// All that runs on the same inputs.
struct Group {
  const Operator* op;
  Problem problem;
  InputSource source;
  std::vector<const Variant*> variants;
};

struct SweepSettings {
  std::vector<int> threads{1};         // each variant runs with each of these
  std::map<int, Ceilings> ceilings{};  // by number of threads; without them results have no floor
  int repetitions = 5;
  double repetition_seconds = 0.05;       // at least
  double cell_seconds = 30;               // a cell that is predicted to take longer is skipped
  double run_seconds = 1e9;               // so is one that would probably not have ended this long after the start
  size_t memory_bytes = size_t{1} << 40;  // likewise for what its inputs and scratch memory need
  bool verify_only = false;
  Device* device = nullptr;  // for CUDA variants; on an emulated one they are counted instead of timed
};

struct SweepProgress {
  int done = 0, total = 0;  // cells
  double seconds_left = 0;  // predicted
};

class SweepObserver {
 public:
  virtual ~SweepObserver() = default;
  // An earlier outcome of the cell that makes it needless to run it again, or nothing.
  virtual std::optional<CellResult> known(const CellResult& planned) = 0;
  virtual void begun(const CellResult& planned, const SweepProgress& progress) = 0;
  virtual void ended(const CellResult& result, const SweepProgress& progress) = 0;
};

// What the reason begins with where a cell was skipped because of run_seconds, or because the GPU gave up before it:
// another run would get to it.
constexpr std::string_view kNoTimeLeft = "no time left", kDeviceLost = "the GPU gave up";

// Cells follow the order of the groups; within one, of the variants and then the threads.
// Throws UsageError where inputs cannot be made.
void run_sweep(const std::vector<Group>& groups, const SweepSettings& settings, SweepObserver& observer);

}  // namespace wkv
