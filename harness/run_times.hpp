// How long a run will take, from how long others took: what decides whether a cell fits its budget.
#pragma once

#include <map>
#include <optional>
#include <tuple>

#include "harness/variant.hpp"

namespace wkv {

class RunTimes {
 public:
  void observe(const Operator& op, const Variant& variant, const Problem& problem, int threads, double seconds);

  // The latest observation of the variant in this mode and dtype on as many threads, in proportion to the work: the
  // larger of the ratios of FLOPs and of bytes. Nothing before the first.
  std::optional<double> predict(const Operator& op, const Variant& variant, const Problem& problem, int threads) const;

 private:
  struct Observation {
    Cost cost;
    double seconds;
  };
  using Key = std::tuple<const Variant*, Mode, DType, int>;
  std::map<Key, Observation> latest_;
};

// Where nothing is known: far below what a plain loop reaches.
double pessimistic_seconds(const Cost& cost);

// Runs the variant on the beginning of the problem's sequence, as long a one as takes some milliseconds, and
// returns the time that it took and the shorter problem; an estimate, neither verified nor kept. On a device as for
// make_runner.
struct Probe {
  Problem problem;
  double seconds;
};
Probe probe(const Operator& op, const Variant& variant, const Problem& problem, Executor& executor, Device* device);

}  // namespace wkv
