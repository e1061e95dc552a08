#include "harness/counts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "harness/text_table.hpp"
#include "harness/units.hpp"

namespace wkv {
namespace {

using Json = nlohmann::ordered_json;
using emulator::Counters;

// The counters of an entry under their names in the file; instructions by class come beside them.
constexpr std::pair<const char*, uint64_t Counters::*> kCounters[] = {
    {"flops", &Counters::flops},
    {"global_load_bytes", &Counters::global_load_bytes},
    {"global_store_bytes", &Counters::global_store_bytes},
    {"global_load_sectors", &Counters::global_load_sectors},
    {"global_store_sectors", &Counters::global_store_sectors},
    {"global_atomic_bytes", &Counters::global_atomic_bytes},
    {"global_atomic_sectors", &Counters::global_atomic_sectors},
    {"shared_load_wavefronts", &Counters::shared_load_wavefronts},
    {"shared_store_wavefronts", &Counters::shared_store_wavefronts},
    {"shared_load_conflicts", &Counters::shared_load_conflicts},
    {"shared_store_conflicts", &Counters::shared_store_conflicts},
    {"local_load_bytes", &Counters::local_load_bytes},
    {"local_store_bytes", &Counters::local_store_bytes},
    {"matrix_instructions", &Counters::matrix_instructions},
    {"barriers", &Counters::barriers},
    {"branches", &Counters::branches},
    {"divergent_branches", &Counters::divergent_branches},
    {"blocks", &Counters::blocks},
    {"warps", &Counters::warps},
};

constexpr const char* kAttributes[] = {"registers", "spill_bytes", "shared_bytes"};

// Of all kernels of a cell: sums of counters, the largest of attributes.
struct Totals {
  std::map<std::string, uint64_t> sum, largest;
  std::map<std::string, uint64_t> instructions;  // of warps, by class
  uint64_t all_instructions = 0;

  explicit Totals(const CellResult& cell) {
    for (const Json& kernel : cell.kernels) {
      for (const auto& [name, counter] : kCounters) sum[name] += kernel.at(name).get<uint64_t>();
      for (const char* name : kAttributes) largest[name] = std::max(largest[name], kernel.at(name).get<uint64_t>());
      for (const auto& [name, count] : kernel.at("warp_instructions").items()) {
        instructions[name] += count.get<uint64_t>();
        all_instructions += count.get<uint64_t>();
      }
    }
  }

  uint64_t global_bytes() const {
    return sum.at("global_load_bytes") + sum.at("global_store_bytes") + sum.at("global_atomic_bytes");
  }
  // The share of the bytes of all sectors touched that were asked for: 100% where accesses coalesce.
  double sector_use() const {
    const uint64_t sectors =
        sum.at("global_load_sectors") + sum.at("global_store_sectors") + sum.at("global_atomic_sectors");
    return static_cast<double>(global_bytes()) / (32.0 * static_cast<double>(sectors));
  }
  uint64_t conflicts() const { return sum.at("shared_load_conflicts") + sum.at("shared_store_conflicts"); }
};

std::string times_the_least(uint64_t counted, double least) {
  return fmt::format("{:.2f}x", static_cast<double>(counted) / least);
}

std::string work_table(const std::vector<const CellResult*>& cells) {
  TextTable table({"T", "<variant", "moved", "of least", "sector use", "MFLOP", "of least", "conflicts", "divergent",
                   "barriers", "registers", "spills", "shared", "error", "<status"});
  for (const CellResult* cell : cells) {
    if (cell->kernels.empty()) {
      std::vector<std::string> row(15, "-");
      row[0] = std::to_string(cell->T), row[1] = cell->variant, row[14] = cell->status;
      table.add(row);
      continue;
    }
    const Totals totals(*cell);
    table.add({std::to_string(cell->T), cell->variant, format_bytes(static_cast<double>(totals.global_bytes())),
               times_the_least(totals.global_bytes(), cell->bytes), fmt::format("{:.0f}%", 100 * totals.sector_use()),
               fmt::format("{:.3f}", static_cast<double>(totals.sum.at("flops")) * 1e-6),
               times_the_least(totals.sum.at("flops"), cell->flops), std::to_string(totals.conflicts()),
               std::to_string(totals.sum.at("divergent_branches")), std::to_string(totals.sum.at("barriers")),
               std::to_string(totals.largest.at("registers")), std::to_string(totals.largest.at("spill_bytes")),
               std::to_string(totals.largest.at("shared_bytes")), fmt::format("{:.1e}", cell->error), ""});
  }
  return table.text();
}

std::string instruction_table(const std::vector<const CellResult*>& cells) {
  std::vector<std::string> classes;  // that occur
  for (size_t i = 0; i < emulator::kInstructionClasses; ++i) {
    const std::string name(name_of(static_cast<emulator::InstructionClass>(i)));
    const bool occurs = std::any_of(cells.begin(), cells.end(), [&](const CellResult* cell) {
      const auto instructions = Totals(*cell).instructions;
      const auto found = instructions.find(name);
      return found != instructions.end() && found->second > 0;
    });
    if (occurs) classes.push_back(name);
  }
  std::vector<std::string> headers{"T", "<variant", "warp instructions"};
  headers.insert(headers.end(), classes.begin(), classes.end());
  TextTable table(headers);
  for (const CellResult* cell : cells) {
    if (cell->kernels.empty()) continue;
    const Totals totals(*cell);
    std::vector<std::string> row{std::to_string(cell->T), cell->variant, std::to_string(totals.all_instructions)};
    for (const std::string& name : classes) {
      const auto found = totals.instructions.find(name);
      row.push_back(found == totals.instructions.end() ? "0" : std::to_string(found->second));
    }
    table.add(row);
  }
  return table.text();
}

}  // namespace

Json json_of(const std::vector<KernelCounts>& counts) {
  Json kernels = Json::array();
  for (const KernelCounts& count : counts) {
    const auto& [grid, block, dynamic_shared_bytes, cooperative] = count.shape;
    const KernelAttributes& attributes = count.attributes;
    const auto spills = attributes.spills.value_or(KernelAttributes::Spills{});
    Json kernel{{"kernel", count.kernel},
                {"launches", count.launches},
                {"grid", {grid.x, grid.y, grid.z}},
                {"block", {block.x, block.y, block.z}},
                {"registers", attributes.registers},
                {"spill_bytes", spills.store_bytes + spills.load_bytes},
                {"shared_bytes", attributes.static_shared_bytes + static_cast<int64_t>(dynamic_shared_bytes)}};
    for (const auto& [name, counter] : kCounters) kernel[name] = count.counters.*counter;
    Json& instructions = kernel["warp_instructions"] = Json::object();
    for (size_t i = 0; i < emulator::kInstructionClasses; ++i) {
      const std::string name(name_of(static_cast<emulator::InstructionClass>(i)));
      if (count.counters.warp_instructions[i] > 0) instructions[name] = count.counters.warp_instructions[i];
    }
    kernels.push_back(std::move(kernel));
  }
  return kernels;
}

void check_counts(const Json& kernels) {
  const auto require_count = [](const Json& holder, const std::string& name) {
    if (!holder.contains(name) || !holder.at(name).is_number_unsigned()) {
      throw std::runtime_error(fmt::format("{} of a kernel is not a count", name));
    }
  };
  if (!kernels.is_array()) throw std::runtime_error("kernels is not a list");
  for (const Json& kernel : kernels) {
    for (const auto& [name, counter] : kCounters) require_count(kernel, name);
    for (const char* name : kAttributes) require_count(kernel, name);
    if (!kernel.contains("warp_instructions") || !kernel.at("warp_instructions").is_object()) {
      throw std::runtime_error("a kernel has no warp_instructions");
    }
    const Json& instructions = kernel.at("warp_instructions");
    for (const auto& [name, count] : instructions.items()) require_count(instructions, name);
  }
}

std::string counts_text(const std::vector<const CellResult*>& cells) {
  return work_table(cells) + instruction_table(cells);
}

std::string counts_summary(const CellResult& cell) {
  const Totals totals(cell);
  return fmt::format("{} moved, {} of the least; {} bank conflicts; error {:.1e}",
                     format_bytes(static_cast<double>(totals.global_bytes())),
                     times_the_least(totals.global_bytes(), cell.bytes), totals.conflicts(), cell.error);
}

}  // namespace wkv
