// How long a run will take, from how long others took: what decides whether a cell fits its budget.
#pragma once

#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "harness/variant.hpp"

namespace wkv {

// A run of some length and how long it took.
struct TimedRun {
  Problem problem;
  double seconds;
};

// Of runs from the shortest to the longest: whether the longest took so much longer that what a run takes at any length
// (reordering the weights, say) and what grows with the length can be told apart.
bool shows_growth(double shortest_seconds, double longest_seconds);

class RunTimes {
 public:
  void observe(const Variant& variant, const Problem& problem, int threads, double seconds);

  struct Prediction {
    double seconds;
    bool founded;  // on lengths that show the growth; else it may be far too large, but hardly too small
  };

  // From the variant's runs in this mode and dtype on as many threads. If there are some of this shape: the longest
  // one's time, of which what it has beyond the shortest one's grows in proportion to the work, the larger of the
  // ratios of FLOPs and of bytes. Else the latest run's time, all of it in proportion. Nothing before the first.
  std::optional<Prediction> predict(const Operator& op, const Variant& variant, const Problem& problem,
                                    int threads) const;

 private:
  using Key = std::tuple<const Variant*, Mode, DType, int>;
  std::map<Key, std::vector<TimedRun>> runs_;  // at most one of a problem, the latest last
};

// Where nothing is known: far below what a plain loop reaches.
double pessimistic_seconds(const Cost& cost);

// Runs the variant on the beginning of the problem's sequence, on longer and longer ones until a run takes some
// milliseconds and shows growth, or all of them have taken `most_seconds`; estimates, neither verified nor kept. On a
// device as for make_runner.
std::vector<TimedRun> probe(const Operator& op, const Variant& variant, const Problem& problem, Executor& executor,
                            Device* device, double most_seconds);

}  // namespace wkv
