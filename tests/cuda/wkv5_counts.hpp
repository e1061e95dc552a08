// What the counter tests of WKV5's CUDA variants share.
#pragma once

#include <string_view>
#include <vector>

#include "tests/cuda/counts.hpp"

namespace wkv {

inline const Variant& wkv5_variant(std::string_view name) { return variant_named("wkv5", name); }

inline std::vector<KernelCounts> counts_of_run(std::string_view variant, const Problem& problem) {
  return counts_of_run(wkv5_variant(variant), problem);
}

// Of a run that is one launch.
inline KernelCounts counts_of_launch(std::string_view variant, const Problem& problem) {
  const auto kernels = counts_of_run(variant, problem);
  REQUIRE(kernels.size() == 1);
  return kernels[0];
}

// Every byte moves once, in whole sectors: r, k, v and the state in, y and the state out for each (b, h), and w and u
// for each block, since every batch entry has its own.
inline void check_minimum_traffic(const Problem& problem, const emulator::Counters& counters) {
  const auto heads = static_cast<uint64_t>(problem.B * problem.H), T = static_cast<uint64_t>(problem.new_tokens()),
             N = static_cast<uint64_t>(problem.N), state = N * N * 4, sequence = T * N * size_of(problem.dtype);
  CHECK(counters.global_load_bytes == heads * (3 * sequence + state + 2 * N * 4));
  CHECK(counters.global_store_bytes == heads * (sequence + state));
  check_whole_sectors(counters);
  CHECK(counters.global_atomic_bytes == 0);
  CHECK(counters.local_load_bytes + counters.local_store_bytes == 0);
  if (problem.B == 1) {
    const double moved = static_cast<double>(counters.global_load_bytes + counters.global_store_bytes);
    CHECK(moved == operator_named("wkv5").cost(problem).bytes);
  }
}

}  // namespace wkv
