#include "harness/report.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "harness/counts.hpp"
#include "harness/text_table.hpp"
#include "harness/units.hpp"

namespace wkv {
namespace {

std::string number_or_dash(double value, const char* format) {
  return std::isfinite(value) ? fmt::format(fmt::runtime(format), value) : "-";
}

// Beyond the spread of good measurements.
bool beats_floor(const CellResult* cell) { return cell->floor_ns > 1.1 * cell->median_ns(); }

// Cells that share a table: all but variant and T are the same.
std::string heading(const CellResult& cell) {
  return fmt::format("{}  {} {}  {}  {} {}  {} inputs, seed {}", cell.op, cell.dtype, cell.mode, shape_text(cell),
                     cell.run_threads, cell.run_threads == 1 ? "thread" : "threads", cell.inputs, cell.seed);
}

std::vector<std::pair<std::string, std::vector<const CellResult*>>> by_heading(const std::vector<CellResult>& cells) {
  std::vector<std::pair<std::string, std::vector<const CellResult*>>> tables;
  std::map<std::string, size_t> index;
  for (const CellResult& cell : cells) {
    if (cell.status == "skipped") continue;
    const auto [at, is_new] = index.emplace(heading(cell), tables.size());
    if (is_new) tables.push_back({at->first, {}});
    tables[at->second].second.push_back(&cell);
  }
  for (auto& [text, table] : tables) {
    std::stable_sort(table.begin(), table.end(), [](const auto* a, const auto* b) { return a->T < b->T; });
  }
  return tables;
}

std::string timings(const std::vector<const CellResult*>& cells) {
  TextTable table(
      {"T", "<variant", "median", "+-", "ns/token", "GFLOP/s", "GB/s", "of floor", "error", "extra memory", "<status"});
  for (const CellResult* cell : cells) {
    const double median = cell->median_ns();
    const Rates rates = rates_of(*cell, median);
    table.add({std::to_string(cell->T), cell->variant, format_seconds(median * 1e-9),
               number_or_dash(100 * cell->spread(), "{:.1f}%"), number_or_dash(rates.ns_per_token, "{:.0f}"),
               number_or_dash(rates.gflops, "{:.1f}"), number_or_dash(rates.gbytes_per_second, "{:.1f}"),
               number_or_dash(100 * rates.floor_share, "{:.0f}%"), number_or_dash(cell->error, "{:.1e}"),
               format_bytes(static_cast<double>(cell->extra_bytes)),
               cell->status == "timed" ? (cell->noisy ? "noisy" : "") : cell->status});
  }
  return table.text();
}

std::string verifications(const std::vector<const CellResult*>& cells) {
  TextTable table({"T", "<variant", "error", "of tolerance", "<compared", "<status"});
  for (const CellResult* cell : cells) {
    table.add({std::to_string(cell->T), cell->variant, number_or_dash(cell->error, "{:.1e}"),
               number_or_dash(100 * cell->tolerance_ratio, "{:.0f}%"), cell->sample, cell->status});
  }
  return table.text();
}

// Cells that did not run for the same reason make one line; reasons that name a prediction differ.
std::string not_run(const std::vector<CellResult>& cells, std::string_view status) {
  std::vector<std::pair<std::string, std::vector<int64_t>>> lines;
  std::vector<std::string> reasons;
  for (const CellResult& cell : cells) {
    if (cell.status != status) continue;
    const std::string what = fmt::format("{} {} {} {} {} threads={}", cell.op, cell.variant, cell.dtype, cell.mode,
                                         shape_text(cell), cell.run_threads);
    size_t i = 0;
    while (i < lines.size() && !(lines[i].first == what && reasons[i] == cell.reason)) ++i;
    if (i == lines.size()) {
      lines.push_back({what, {}});
      reasons.push_back(cell.reason);
    }
    lines[i].second.push_back(cell.T);
  }
  std::string text;
  for (size_t i = 0; i < lines.size(); ++i) {
    const auto& lengths = lines[i].second;
    const std::string T = lengths.size() > 3 ? fmt::format("{}, {} .. {}", lengths[0], lengths[1], lengths.back())
                                             : fmt::format("{}", fmt::join(lengths, ", "));
    text += fmt::format("  {} T={}: {}\n", lines[i].first, T, reasons[i]);
  }
  return text;
}

std::string device_text(const nlohmann::ordered_json& device) {
  std::string text = fmt::format("device: {}", device.value("name", "unknown"));
  if (const std::string driver = device.value("driver", ""); !driver.empty()) {
    text +=
        fmt::format(", compute capability {:.1f}, {} multiprocessors, {} memory, {} L2, up to {:.0f} MHz; driver: {}",
                    device.value("architecture", 0) / 10.0, device.value("multiprocessors", 0),
                    format_bytes(device.value("memory_bytes", 0.0)), format_bytes(device.value("l2_bytes", 0.0)),
                    device.value("clock_hz", 0.0) * 1e-6, driver);
  }
  return text + "\n";
}

std::string machine_text(const nlohmann::ordered_json& context) {
  std::string text = fmt::format("{}, {} CPUs, {}\n", context.value("cpu_model", "unknown CPU"),
                                 context.value("num_cpus", 0), context.value("simd", ""));
  const bool has_device = context.contains("device");
  if (has_device) text += device_text(context.at("device"));
  for (const auto& ceilings : context.value("ceilings", nlohmann::ordered_json::array())) {
    const auto& copy = ceilings.at("copy");
    std::vector<std::string> levels;
    for (const size_t i : std::set{size_t{0}, copy.size() / 2, copy.size() - 1}) {
      levels.push_back(fmt::format("{:.0f} GB/s in {}", copy.at(i).at("bytes_per_second").get<double>() * 1e-9,
                                   format_bytes(copy.at(i).at("working_set_bytes"))));
    }
    const double bf16 = ceilings.at("bf16_dot_flops_per_second").get<double>() * 1e-9;
    text += fmt::format(
        "ceilings, {}: {:.0f} GFLOP/s fp32 FMA, {} {}, copy {}\n",
        has_device ? "measured on the device" : fmt::format("threads={}", ceilings.at("threads").get<int>()),
        ceilings.at("fma_flops_per_second").get<double>() * 1e-9, bf16 > 0 ? fmt::format("{:.0f} GFLOP/s", bf16) : "no",
        has_device ? "bf16 mma.sync" : "bf16 dot", fmt::join(levels, ", "));
  }
  return text;
}

std::string quoted_csv(std::string text) {
  if (text.find_first_of(",\"\n") == text.npos) return text;
  for (size_t i = text.find('"'); i != text.npos; i = text.find('"', i + 2)) text.insert(i, 1, '"');
  return "\"" + text + "\"";
}

template <class Value>
std::string csv_field(const Value& value) {
  if constexpr (std::is_same_v<Value, std::string>) {
    return quoted_csv(value);
  } else if constexpr (std::is_same_v<Value, double>) {
    return number_or_dash(value, "{}") == "-" ? "" : fmt::format("{}", value);
  } else if constexpr (std::is_same_v<Value, std::optional<int64_t>>) {
    return value ? fmt::format("{}", *value) : "";
  } else {
    return fmt::format("{}", value);
  }
}

}  // namespace

std::string table_text(const nlohmann::ordered_json& context, const std::vector<CellResult>& cells) {
  std::string text = machine_text(context);
  bool any_timed = false, any_above_floor = false, any_counted = false;
  for (const auto& [heading_text, table] : by_heading(cells)) {
    const bool timed = std::any_of(table.begin(), table.end(), [](const CellResult* cell) { return cell->timed(); });
    const bool counted = std::any_of(table.begin(), table.end(), [](const auto* cell) { return cell->counted(); });
    any_timed |= timed;
    any_counted |= counted;
    any_above_floor |= std::any_of(table.begin(), table.end(), beats_floor);
    text += fmt::format("\n{}\n{}", heading_text,
                        timed     ? timings(table)
                        : counted ? counts_text(table)
                                  : verifications(table));
  }
  if (any_timed) {
    text += fmt::format(
        "\nmedian and standard deviation of the repetitions (noisy: above {:.0f}%); error against the reference,"
        "\nrelative to the output's scale; of floor: the least time by the ceilings as a share of the median\n",
        100 * kNoisySpread);
  }
  if (any_counted) {
    text +=
        "\ncounts of one run on the emulated device, exact and no times; of least: what any algorithm moves and "
        "computes"
        "\nat least; sector use: bytes asked for as a share of the 32-byte sectors touched; conflicts: of shared memory"
        "\nbanks, in wavefronts; registers and spills (bytes) a thread, shared memory (bytes) a block, by ptxas\n";
  }
  if (any_above_floor) {
    text += "above 100%: the ceilings were measured too low, as on a busy machine; measure again when it is idle\n";
  }
  for (const auto& [status, title] : {std::pair("failed", "Failed"), std::pair("skipped", "Skipped")}) {
    const std::string lines = not_run(cells, status);
    if (!lines.empty()) text += fmt::format("\n{}\n{}", title, lines);
  }
  return text;
}

std::string csv_text(const std::vector<CellResult>& cells) {
  std::vector<std::string> names;
  const CellResult any;
  for_each_field(any, [&](const char* name, const auto&) { names.emplace_back(name); });
  std::string text = fmt::format(
      "{},median_ns,spread,repetitions,ns_per_token,tokens_per_second,gflops,gbytes_per_second,floor_share\n",
      fmt::join(names, ","));
  for (const CellResult& cell : cells) {
    std::vector<std::string> fields;
    for_each_field(cell, [&](const char*, const auto& value) { fields.push_back(csv_field(value)); });
    const double median = cell.median_ns();
    const Rates rates = rates_of(cell, median);
    fields.insert(fields.end(),
                  {csv_field(median), csv_field(cell.spread()), csv_field(cell.repetitions()),
                   csv_field(rates.ns_per_token), csv_field(rates.tokens_per_second), csv_field(rates.gflops),
                   csv_field(rates.gbytes_per_second), csv_field(rates.floor_share)});
    text += fmt::format("{}\n", fmt::join(fields, ","));
  }
  return text;
}

std::string list_text(const std::vector<const Operator*>& operators, const Problem& problem) {
  std::string text;
  for (const Operator* op : operators) {
    text += fmt::format("{}: {}\n", op->name, op->summary);
    TextTable table({"<", "<variant", "<device", "<dtypes", "<products", "<here"});
    for (const Variant* variant : variants_of(op->name)) {
      std::vector<std::string_view> dtypes;
      for (const DType dtype : variant->dtypes) dtypes.push_back(name_of(dtype));
      const auto reason = unsupported(*variant, problem);
      table.add({"", variant->name, std::string(name_of(variant->device)), fmt::format("{}", fmt::join(dtypes, ",")),
                 std::string(variant->products ? name_of(*variant->products) : "as stored"),
                 reason                               ? "no: " + *reason
                 : variant->device == DeviceKind::cpu ? "yes"
                                                      : "yes, emulated"});
    }
    text += table.text();
  }
  return text + fmt::format("\"here\": on this machine, for {}\n", to_string(problem));
}

std::string statuses_text(const std::vector<CellResult>& cells) {
  std::vector<std::string> parts;
  for (const std::string_view status : {"timed", "counted", "verified", "failed", "skipped"}) {
    const auto count =
        std::count_if(cells.begin(), cells.end(), [&](const CellResult& cell) { return cell.status == status; });
    if (count > 0) parts.push_back(fmt::format("{} {}", count, status));
  }
  return parts.empty() ? "no cells" : fmt::format("{}", fmt::join(parts, ", "));
}

std::string shape_text(const CellResult& cell) {
  return fmt::format("B={} H={} N={}{}", cell.B, cell.H, cell.N, cell.window ? fmt::format(" W={}", *cell.window) : "");
}

std::string outcome_text(const CellResult& cell) {
  if (cell.timed()) {
    const std::string floor = std::isfinite(cell.floor_ns) ? fmt::format(", {:.0f}% of the floor's speed",
                                                                         100 * cell.floor_ns / cell.median_ns())
                                                           : "";
    return fmt::format("{} +-{}{}, error {:.1e}{}", format_seconds(cell.median_ns() * 1e-9),
                       number_or_dash(100 * cell.spread(), "{:.1f}%"), floor, cell.error, cell.noisy ? ", noisy" : "");
  }
  if (cell.counted()) return counts_summary(cell);
  if (cell.status == "verified") {
    return fmt::format("verified, error {:.1e}, {:.0f}% of the tolerance", cell.error, 100 * cell.tolerance_ratio);
  }
  return fmt::format("{}: {}", cell.status, cell.reason);
}

}  // namespace wkv
