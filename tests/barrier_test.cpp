#include "harness/barrier.hpp"

#include <catch2/catch.hpp>
#include <vector>

#include "harness/executor.hpp"

namespace wkv {
namespace {

TEST_CASE("barrier: in every round each task sees what all the others did in the round before") {
  const int threads = GENERATE(1, 2, 3, 5);
  Executor executor(threads);
  Barrier barrier(threads);
  constexpr int kRounds = 2000;
  std::vector<int> round(static_cast<size_t>(threads));  // plain memory: the barrier orders it
  std::vector<int> missed(static_cast<size_t>(threads));
  executor.parallel_for(threads, [&](int64_t task, int) {
    for (int i = 1; i <= kRounds; ++i) {
      round[static_cast<size_t>(task)] = i;
      barrier.wait();
      for (const int other : round) missed[static_cast<size_t>(task)] += other != i;
      barrier.wait();
    }
  });
  for (const int count : missed) REQUIRE(count == 0);
}

}  // namespace
}  // namespace wkv
