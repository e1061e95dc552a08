// From the command line to the cells of a run.
#pragma once

#include <cstdint>
#include <vector>

#include "harness/options.hpp"
#include "harness/sweep.hpp"

namespace wkv {

// Every operator, shape, dtype, mode and T with the variants chosen, T innermost and ascending. Throws UsageError.
std::vector<Group> make_groups(const Options& options, uint64_t seed);

}  // namespace wkv
