// What the counter tests of CUDA variants share.
#pragma once

#include <algorithm>
#include <catch2/catch.hpp>
#include <string_view>
#include <vector>

#include "harness/device/emulated_device.hpp"
#include "harness/runner.hpp"

namespace wkv {

using emulator::InstructionClass;

inline const Variant& variant_named(std::string_view op, std::string_view name) {
  const auto variants = variants_of(op);
  const auto found = std::find_if(variants.begin(), variants.end(), [&](const Variant* v) { return v->name == name; });
  REQUIRE(found != variants.end());
  return **found;
}

// Of one run: each kernel that it launched, once.
inline std::vector<KernelCounts> counts_of_run(const Variant& variant, const Problem& problem) {
  Executor executor(1);
  Workload workload(operator_named(variant.op), problem, generated_inputs(InputKind::realistic, 5), 2, executor);
  EmulatedDevice device;
  const auto runner = make_runner(variant, workload, executor, &device);
  runner->upload(0);
  runner->run(0);
  for (const KernelCounts& kernel : device.counts()) CHECK(kernel.launches == 1);
  return {device.counts().begin(), device.counts().end()};
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

inline void check_whole_sectors(const emulator::Counters& counters) {
  CHECK(counters.global_load_sectors == counters.global_load_bytes / 32);
  CHECK(counters.global_store_sectors == counters.global_store_bytes / 32);
}

}  // namespace wkv
