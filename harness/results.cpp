#include "harness/results.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <stdexcept>
#include <type_traits>

#include "harness/counts.hpp"

namespace wkv {
namespace {

using Json = nlohmann::ordered_json;

template <class Value>
void read(const Json& entry, const char* name, Value& value) {
  const Json& json = entry.at(name);
  if constexpr (std::is_same_v<Value, double>) {
    value = json.is_null() ? CellResult::kNone : json.get<double>();
  } else if constexpr (std::is_same_v<Value, bool> || std::is_same_v<Value, std::string>) {
    value = json.get<Value>();
  } else {
    if (!json.is_number_integer()) throw std::runtime_error(fmt::format("{} is not a whole number", name));
    value = json.get<Value>();
  }
}

template <class Value>
void read(const Json& entry, const char* name, std::optional<Value>& value) {
  if (entry.contains(name)) read(entry, name, value.emplace());
}

template <class Value>
void write(Json& entry, const char* name, const Value& value) {
  entry[name] = value;
}

template <class Value>
void write(Json& entry, const char* name, const std::optional<Value>& value) {
  if (value) entry[name] = *value;
}

bool is_aggregate(const Json& run) { return run.value("run_type", "") == "aggregate"; }

// Google Benchmark's entry of one aggregate; null if there is none.
const Json* aggregate(const CellResult& cell, std::string_view name) {
  for (const Json& run : cell.runs) {
    if (is_aggregate(run) && run.value("aggregate_name", "") == name) return &run;
  }
  return nullptr;
}

void add_rates(Json& entry, const CellResult& cell) {
  const Rates rates = rates_of(cell, entry.at("real_time").get<double>());
  entry["ns_per_token"] = rates.ns_per_token;
  entry["tokens_per_second"] = rates.tokens_per_second;
  entry["gflops"] = rates.gflops;
  entry["gbytes_per_second"] = rates.gbytes_per_second;
  entry["floor_share"] = rates.floor_share;
}

// Not an "iteration": compare.py averages the times of all of those, and this entry has none.
Json entry_without_run(const CellResult& cell) {
  Json entry{
      {"name", cell.name()}, {"run_name", cell.name()}, {"run_type", "aggregate"}, {"aggregate_name", cell.status}};
  if (cell.status == "skipped" || cell.status == "failed") {
    entry["error_occurred"] = true;
    entry["error_message"] = cell.reason;
  }
  if (!cell.kernels.empty()) entry["kernels"] = cell.kernels;
  return entry;
}

bool has_run(const Json& entry) { return entry.contains("real_time"); }

void check_run(const Json& entry) {
  if (!entry.at("real_time").is_number()) throw std::runtime_error("real_time is not a number");
  if (!entry.at("run_type").is_string()) throw std::runtime_error("run_type is not a text");
  if (is_aggregate(entry) && !entry.at("aggregate_name").is_string()) {
    throw std::runtime_error("aggregate_name is not a text");
  }
}

}  // namespace

Problem CellResult::problem() const {
  return {.B = B,
          .T = T,
          .H = H,
          .N = N,
          .mode = mode == name_of(Mode::decode) ? Mode::decode : Mode::prefill,
          .dtype = parse_dtype(dtype).value_or(DType::f32),
          .window = window};
}

std::string CellResult::name() const {
  return fmt::format("{}/{}/{}/threads:{}/{}", op, variant, to_string(problem()), run_threads, inputs);
}

double CellResult::median_ns() const {
  if (const Json* median = aggregate(*this, "median")) return median->at("real_time").get<double>();
  return runs.empty() ? kNone : runs.front().at("real_time").get<double>();  // one repetition has no aggregates
}

double CellResult::spread() const {
  const Json* cv = aggregate(*this, "cv");
  return cv == nullptr ? kNone : cv->at("real_time").get<double>();
}

int CellResult::repetitions() const {
  return static_cast<int>(std::count_if(runs.begin(), runs.end(), [](const Json& run) { return !is_aggregate(run); }));
}

Rates rates_of(const CellResult& cell, double time_ns) {
  const auto tokens = static_cast<double>(cell.tokens());
  return {.ns_per_token = time_ns / tokens,
          .tokens_per_second = tokens / time_ns * 1e9,
          .gflops = cell.flops / time_ns,
          .gbytes_per_second = cell.bytes / time_ns,
          .floor_share = cell.floor_ns / time_ns};
}

std::vector<Json> entries_of(const CellResult& cell) {
  std::vector<Json> entries(cell.runs.begin(), cell.runs.end());
  if (entries.empty()) entries.push_back(entry_without_run(cell));
  for (Json& entry : entries) {
    for_each_field(cell, [&](const char* name, const auto& value) { write(entry, name, value); });
    const bool is_time =
        !is_aggregate(entry) || entry["aggregate_name"] == "mean" || entry["aggregate_name"] == "median";
    if (has_run(entry) && is_time) add_rates(entry, cell);
  }
  return entries;
}

std::vector<CellResult> cells_of(const Json& entries) {
  if (!entries.is_array()) throw std::runtime_error("\"benchmarks\" is not a list");
  std::vector<CellResult> cells;
  std::map<std::string, size_t> index;
  for (size_t i = 0; i < entries.size(); ++i) {
    try {
      CellResult cell;
      for_each_field(cell, [&](const char* name, auto& value) { read(entries[i], name, value); });
      if (entries[i].contains("kernels")) {
        check_counts(entries[i].at("kernels"));
        cell.kernels = entries[i].at("kernels");
      }
      if (cell.counted() && cell.kernels.empty()) throw std::runtime_error("counted, but without counts");
      const auto [at, is_new] = index.emplace(cell.name(), cells.size());
      if (is_new) cells.push_back(std::move(cell));
      if (has_run(entries[i])) {
        check_run(entries[i]);
        cells[at->second].runs.push_back(entries[i]);
      }
    } catch (const std::exception& error) {
      throw std::runtime_error(fmt::format("entry {} of \"benchmarks\": {}", i, error.what()));
    }
  }
  for (const CellResult& cell : cells) {
    if (cell.timed() && cell.runs.empty())
      throw std::runtime_error(fmt::format("{} is timed but has no time", cell.name()));
  }
  return cells;
}

}  // namespace wkv
