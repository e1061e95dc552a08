// The problem generator: inputs from a seed, the same on every machine and for every number of threads.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "harness/executor.hpp"
#include "harness/tensor.hpp"

namespace wkv {

enum class InputKind {
  realistic,  // normal values; decay with w over what trained models have, 0.001 to 0.9999
  extreme,    // w of exactly 0 and 1, of 1e-20 and next to 1; heads of large and of tiny values
};

constexpr std::string_view name_of(InputKind kind) { return kind == InputKind::realistic ? "realistic" : "extreme"; }

// Fills every input of the set.
void fill_inputs(const TensorSet& set, InputKind kind, uint64_t seed, Executor& executor);

// The seed of a run's input set number `index`.
uint64_t seed_of_set(uint64_t seed, int index);

}  // namespace wkv
