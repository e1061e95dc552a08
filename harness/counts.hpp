// What the emulated device counted in one run, as it is stored with a result and shown: exact, and never a time.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "harness/device/emulated_device.hpp"
#include "harness/results.hpp"

namespace wkv {

// An entry for each kernel and shape.
nlohmann::ordered_json json_of(const std::vector<KernelCounts>& counts);
// Throws std::runtime_error if something is no such entry.
void check_counts(const nlohmann::ordered_json& kernels);

// Two tables: what was moved and computed beside the least that any algorithm does, and instructions by class.
std::string counts_text(const std::vector<const CellResult*>& cells);
// One line on one cell.
std::string counts_summary(const CellResult& cell);

}  // namespace wkv
