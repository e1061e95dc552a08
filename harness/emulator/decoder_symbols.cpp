// What names in operands mean: special registers, variables, functions.
#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "harness/emulator/decoder.hpp"

namespace wkv::emulator {

using syntax::Symbol;

namespace {

// A launch is one cluster of one block as far as special registers go.
constexpr std::pair<std::string_view, Special> kSpecials[] = {
    {"%tid.x", Special::tid_x},
    {"%tid.y", Special::tid_y},
    {"%tid.z", Special::tid_z},
    {"%ntid.x", Special::ntid_x},
    {"%ntid.y", Special::ntid_y},
    {"%ntid.z", Special::ntid_z},
    {"%ctaid.x", Special::ctaid_x},
    {"%ctaid.y", Special::ctaid_y},
    {"%ctaid.z", Special::ctaid_z},
    {"%nctaid.x", Special::nctaid_x},
    {"%nctaid.y", Special::nctaid_y},
    {"%nctaid.z", Special::nctaid_z},
    {"%clusterid.x", Special::ctaid_x},
    {"%clusterid.y", Special::ctaid_y},
    {"%clusterid.z", Special::ctaid_z},
    {"%nclusterid.x", Special::nctaid_x},
    {"%nclusterid.y", Special::nctaid_y},
    {"%nclusterid.z", Special::nctaid_z},
    {"%cluster_ctaid.x", Special::zero},
    {"%cluster_ctaid.y", Special::zero},
    {"%cluster_ctaid.z", Special::zero},
    {"%cluster_nctaid.x", Special::one},
    {"%cluster_nctaid.y", Special::one},
    {"%cluster_nctaid.z", Special::one},
    {"%cluster_ctarank", Special::zero},
    {"%cluster_nctarank", Special::one},
    {"%laneid", Special::laneid},
    {"%warpid", Special::warpid},
    {"%nwarpid", Special::nwarpid},
    {"%lanemask_eq", Special::lanemask_eq},
    {"%lanemask_lt", Special::lanemask_lt},
    {"%lanemask_le", Special::lanemask_le},
    {"%lanemask_gt", Special::lanemask_gt},
    {"%lanemask_ge", Special::lanemask_ge},
    {"%smid", Special::smid},
    {"%nsmid", Special::nsmid},
    {"%gridid", Special::gridid},
    {"%dynamic_smem_size", Special::dynamic_smem_size},
    {"%total_smem_size", Special::total_smem_size},
    {"%aggr_smem_size", Special::total_smem_size},
    {"%current_graph_exec", Special::zero},
};

constexpr std::pair<std::string_view, uint32_t> kConstants[] = {
    {"%reserved_smem_offset_begin", 0},
    {"%reserved_smem_offset_end", kReservedShared},
    {"%reserved_smem_offset_cap", kReservedShared},
    {"%reserved_smem_offset_0", 0},
    {"%reserved_smem_offset_1", kReservedSharedPart},
};

// What the driver and the performance monitor would fill in: %envreg0 to 31, %pm0 to 7 and their 64-bit forms.
bool is_unset(std::string_view name) {
  const auto numbered = [&](std::string_view prefix, int count) {
    if (!name.starts_with(prefix)) return false;
    const std::string_view digits = name.substr(prefix.size());
    int number = -1;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    return error == std::errc() && end == digits.data() + digits.size() && number >= 0 && number < count;
  };
  if (name.starts_with("%pm") && name.ends_with("_64")) name.remove_suffix(3);
  return numbered("%envreg", 32) || numbered("%pm", 8);
}

}  // namespace

std::optional<Source> Decoder::special(std::string_view name, uint32_t bytes) {
  for (const auto& [constant, value] : kConstants) {
    if (constant == name) return special_source(Special::zero, 0, bytes, value);
  }
  const auto* known = std::find_if(std::begin(kSpecials), std::end(kSpecials),
                                   [&](const auto& special) { return special.first == name; });
  if (known == std::end(kSpecials) && is_unset(name)) return special_source(Special::zero, 0, bytes, 0);
  if (known == std::end(kSpecials)) return std::nullopt;
  return special_source(known->second, 0, bytes, 0);
}

Source Decoder::special_source(Special kind, uint32_t index, uint32_t bytes, int64_t addend) {
  auto& specials = function_.specials;
  auto known = std::find_if(specials.begin(), specials.end(), [&](const SpecialRegister& special) {
    return special.kind == kind && special.index == index && special.bytes == bytes && special.addend == addend;
  });
  if (known == specials.end()) {
    specials.push_back({kind, index, bytes, addend, allocate(bytes * kLanes)});
    known = std::prev(specials.end());
  }
  return Source::at_frame(known->offset);
}

std::optional<Place> Decoder::parameter_place(std::string_view name) const {
  if (const Symbol* symbol = find(name)) {
    if (symbol->kind != Symbol::Kind::variable) return std::nullopt;
    const syntax::Variable& variable = syntax_.variables[symbol->index];
    if (variable.space != Space::param) return std::nullopt;
    return Place{variable_offsets_[symbol->index], static_cast<uint32_t>(variable.bytes)};
  }
  const auto known = parameters_.find(name);
  return known == parameters_.end() ? std::nullopt : std::optional(known->second);
}

std::optional<uint32_t> Decoder::function_named(std::string_view name) const {
  const auto known = module_.function_index.find(std::string(name));
  return known == module_.function_index.end() ? std::nullopt : std::optional(known->second);
}

// The address of what has the name, in its own space.
std::optional<Source> Decoder::symbol_address(std::string_view name, int64_t addend, uint32_t bytes) {
  const auto at = [&](uint64_t address) { return constant(address + static_cast<uint64_t>(addend), bytes); };
  if (const auto place = parameter_place(name)) return at(place->offset);
  if (function_.is_entry) {
    uint64_t offset = 0;
    for (const syntax::Variable& parameter : syntax_.parameters) {
      offset = (offset + parameter.alignment - 1) / parameter.alignment * parameter.alignment;
      if (parameter.name == name) return at(kParameterWindow + offset);
      offset += parameter.bytes;
    }
  }
  std::string key(name);
  if (const Symbol* symbol = find(name)) {
    if (symbol->kind != Symbol::Kind::variable) return std::nullopt;
    if (syntax_.variables[symbol->index].space == Space::local) {
      return special_source(Special::local_base, 0, bytes, variable_offsets_[symbol->index] + addend);
    }
    key = function_.name + "::" + key;
  }
  if (const auto known = module_.variable_index.find(key); known != module_.variable_index.end()) {
    const ModuleVariable& variable = module_.variables[known->second];
    if (variable.dynamic_shared) return special_source(Special::dynamic_shared, 0, bytes, addend);
    if (variable.space != Space::shared) return special_source(Special::variable, known->second, bytes, addend);
    function_.uses_common_shared = function_.uses_common_shared || !variable.of_entry;
    return at(variable.shared_offset);
  }
  if (const auto index = function_named(name)) {
    function_.callees.push_back(*index);
    return at(kFunctionWindow + uint64_t{*index} * 16);
  }
  return std::nullopt;
}

}  // namespace wkv::emulator
