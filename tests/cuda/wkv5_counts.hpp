// What the counter tests of WKV5's CUDA variants share.
#pragma once

#include <algorithm>
#include <catch2/catch.hpp>
#include <string_view>
#include <vector>

#include "harness/device/emulated_device.hpp"
#include "harness/runner.hpp"

namespace wkv {

using emulator::InstructionClass;

inline const Variant& wkv5_variant(std::string_view name) {
  const auto variants = variants_of("wkv5");
  const auto found = std::find_if(variants.begin(), variants.end(), [&](const Variant* v) { return v->name == name; });
  REQUIRE(found != variants.end());
  return **found;
}

// Of one run: each kernel that it launched, once.
inline std::vector<KernelCounts> counts_of_run(std::string_view variant, const Problem& problem) {
  Executor executor(1);
  Workload workload(operator_named("wkv5"), problem, generated_inputs(InputKind::realistic, 5), 2, executor);
  EmulatedDevice device;
  const auto runner = make_runner(wkv5_variant(variant), workload, executor, &device);
  runner->upload(0);
  runner->run(0);
  for (const KernelCounts& kernel : device.counts()) CHECK(kernel.launches == 1);
  return {device.counts().begin(), device.counts().end()};
}

// Of a run that is one launch.
inline KernelCounts counts_of_launch(std::string_view variant, const Problem& problem) {
  const auto kernels = counts_of_run(variant, problem);
  REQUIRE(kernels.size() == 1);
  return kernels[0];
}

inline uint64_t instructions(const emulator::Counters& counters, InstructionClass which) {
  return counters.warp_instructions[static_cast<size_t>(which)];
}

inline void check_no_spills(const KernelAttributes& attributes) {
  CHECK(attributes.registers <= 255);
  REQUIRE(attributes.spills.has_value());
  CHECK(attributes.spills->store_bytes == 0);
  CHECK(attributes.spills->load_bytes == 0);
  CHECK(attributes.local_bytes == 0);
}

inline void check_no_conflicts(const emulator::Counters& counters) {
  CHECK(counters.shared_load_conflicts == 0);
  CHECK(counters.shared_store_conflicts == 0);
}

// Every byte moves once, in whole sectors: r, k, v and the state in, y and the state out for each (b, h), and w and u
// for each block, since every batch entry has its own.
inline void check_minimum_traffic(const Problem& problem, const emulator::Counters& counters) {
  const auto heads = static_cast<uint64_t>(problem.B * problem.H), T = static_cast<uint64_t>(problem.new_tokens()),
             N = static_cast<uint64_t>(problem.N), state = N * N * 4, sequence = T * N * size_of(problem.dtype);
  CHECK(counters.global_load_bytes == heads * (3 * sequence + state + 2 * N * 4));
  CHECK(counters.global_store_bytes == heads * (sequence + state));
  CHECK(counters.global_load_sectors == counters.global_load_bytes / 32);
  CHECK(counters.global_store_sectors == counters.global_store_bytes / 32);
  CHECK(counters.global_atomic_bytes == 0);
  CHECK(counters.local_load_bytes + counters.local_store_bytes == 0);
  if (problem.B == 1) {
    const double moved = static_cast<double>(counters.global_load_bytes + counters.global_store_bytes);
    CHECK(moved == operator_named("wkv5").cost(problem).bytes);
  }
}

}  // namespace wkv
