#include <numeric>

#include "harness/emulator/emulator.hpp"

namespace wkv::emulator {

std::string_view name_of(InstructionClass instruction_class) {
  constexpr std::array<std::string_view, kInstructionClasses> kNames = {
      "fp32",  "fp64",      "fp16",   "integer",    "conversion", "special", "move",    "global", "shared",
      "local", "parameter", "atomic", "async copy", "shuffle",    "matrix",  "barrier", "control"};
  return kNames[static_cast<size_t>(instruction_class)];
}

uint64_t Counters::total_warp_instructions() const {
  return std::accumulate(warp_instructions.begin(), warp_instructions.end(), uint64_t{0});
}

uint64_t Counters::total_lane_instructions() const {
  return std::accumulate(lane_instructions.begin(), lane_instructions.end(), uint64_t{0});
}

Counters& Counters::operator+=(const Counters& other) {
  for (size_t i = 0; i < kInstructionClasses; ++i) {
    warp_instructions[i] += other.warp_instructions[i];
    lane_instructions[i] += other.lane_instructions[i];
  }
  constexpr uint64_t Counters::*kSums[] = {
      &Counters::flops,
      &Counters::global_load_requests,
      &Counters::global_store_requests,
      &Counters::global_load_sectors,
      &Counters::global_store_sectors,
      &Counters::global_load_bytes,
      &Counters::global_store_bytes,
      &Counters::global_atomic_sectors,
      &Counters::global_atomic_bytes,
      &Counters::shared_load_wavefronts,
      &Counters::shared_store_wavefronts,
      &Counters::shared_load_conflicts,
      &Counters::shared_store_conflicts,
      &Counters::shared_load_bytes,
      &Counters::shared_store_bytes,
      &Counters::local_load_bytes,
      &Counters::local_store_bytes,
      &Counters::matrix_instructions,
      &Counters::barriers,
      &Counters::branches,
      &Counters::divergent_branches,
      &Counters::blocks,
      &Counters::warps,
  };
  for (const auto sum : kSums) this->*sum += other.*sum;
  return *this;
}

}  // namespace wkv::emulator
