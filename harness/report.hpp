// What is printed when a run has ended.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "harness/results.hpp"
#include "harness/variant.hpp"

namespace wkv {

// For a person: the machine and its ceilings, one table per operator and shape in the order of T, and behind them
// what failed and what was skipped, with the reasons.
std::string table_text(const nlohmann::ordered_json& context, const std::vector<CellResult>& cells);

// A line per cell with every stored field, its median time and what follows from that.
std::string csv_text(const std::vector<CellResult>& cells);

// Operators and their variants, and whether a variant runs here on the given problem.
std::string list_text(const std::vector<const Operator*>& operators, const Problem& problem);

// "12 timed, 1 failed, 3 skipped".
std::string statuses_text(const std::vector<CellResult>& cells);

// "B=1 H=32 N=64", and the window where there is one.
std::string shape_text(const CellResult& cell);

// The outcome of one cell in a line: its time, or its status with the reason.
std::string outcome_text(const CellResult& cell);

}  // namespace wkv
