#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "harness/emulator/decoder.hpp"
#include "harness/emulator/parser.hpp"

namespace wkv::emulator {
namespace {

constexpr uint32_t kMaxSharedVariables = 1u << 30;  // so that sums do not overflow; launches have their own limit

uint32_t align(uint32_t offset, uint32_t alignment) { return (offset + alignment - 1) / alignment * alignment; }

class Builder {
 public:
  Builder(std::string_view ptx, std::string name) : text_(ptx), syntax_(parse_ptx(text_, name)) {
    static std::atomic<uint64_t> next_id{1};
    image_ = std::make_shared<ModuleImage>();
    image_->id = next_id++;
    image_->name = std::move(name);
    image_->files = syntax_.files;
    image_->is_debug = syntax_.is_debug;
    if (text_.find("%reserved_smem_offset") != std::string_view::npos) {
      image_->reserved_shared_bytes = image_->common_shared_bytes = kReservedShared;
    }
  }

  std::shared_ptr<const ModuleImage> build() {
    for (const syntax::Function& function : syntax_.functions) add_function(function);
    for (const syntax::Variable& variable : syntax_.variables) add_variable(variable, "", nullptr);
    for (const bool entries : {false, true}) {  // what is not an entry's own comes first in shared memory
      for (size_t i = 0; i < syntax_.functions.size(); ++i) {
        if (syntax_.functions[i].is_entry == entries) add_variables_of(syntax_.functions[i], *image_->functions[i]);
      }
    }
    for (const auto& [index, initialiser] : open_addresses_) resolve(index, initialiser);
    for (size_t i = 0; i < syntax_.functions.size(); ++i) {
      if (syntax_.functions[i].has_body) Decoder(*image_, syntax_.functions[i], *image_->functions[i]).decode();
    }
    for (size_t i = 0; i < syntax_.functions.size(); ++i) {
      if (syntax_.functions[i].is_entry) add_entry(syntax_.functions[i], *image_->functions[i]);
    }
    return image_;
  }

 private:
  void add_function(const syntax::Function& syntax) {
    auto function = std::make_unique<Function>();
    function->name = syntax.name;
    function->index = static_cast<uint32_t>(image_->functions.size());
    function->is_entry = syntax.is_entry;
    function->has_body = syntax.has_body;
    image_->function_index[syntax.name] = function->index;
    image_->functions.push_back(std::move(function));
  }

  void add_variables_of(const syntax::Function& syntax, Function& function) {
    for (const syntax::Variable& variable : syntax.variables) {
      if (variable.space == Space::local || variable.space == Space::param) continue;
      add_variable(variable, syntax.name + "::", syntax.is_entry ? &function : nullptr);
    }
  }

  // Shared variables of an entry follow those of all others; each entry's begin at the same place.
  void add_variable(const syntax::Variable& syntax, const std::string& prefix, Function* entry) {
    ModuleVariable variable;
    variable.name = prefix + std::string(syntax.name);
    variable.space = syntax.space;
    variable.bytes = syntax.bytes;
    variable.alignment = syntax.alignment;
    variable.of_entry = entry != nullptr;
    variable.dynamic_shared = syntax.space == Space::shared && syntax.is_extern && syntax.bytes == 0;
    if (syntax.space == Space::shared && !variable.dynamic_shared) {
      uint32_t& common = image_->common_shared_bytes;
      uint32_t top = common;
      if (entry) {
        common = align(common, 128);
        top = common + entry->shared_bytes;
      }
      variable.shared_offset = align(top, syntax.alignment);
      if (variable.shared_offset > kMaxSharedVariables) {
        throw Error(fmt::format("{}: more than {} bytes of shared memory", image_->name, kMaxSharedVariables));
      }
      top = variable.shared_offset + static_cast<uint32_t>(syntax.bytes);
      if (entry) {
        entry->shared_bytes = top - common;
      } else {
        common = top;
      }
    }
    if (!syntax.initialisers.empty()) {
      variable.initial.resize(syntax.bytes);
    }
    const auto index = static_cast<uint32_t>(image_->variables.size());
    for (const syntax::Initialiser& initialiser : syntax.initialisers) {
      if (initialiser.offset + initialiser.bytes > syntax.bytes) {
        throw Error(fmt::format("{}: \"{}\" has more initial values than elements", image_->name, variable.name));
      }
      std::memcpy(&variable.initial[initialiser.offset], &initialiser.value, initialiser.bytes);
      if (!initialiser.symbol.empty()) open_addresses_.emplace_back(index, &initialiser);
    }
    image_->variable_index[variable.name] = index;
    image_->variables.push_back(std::move(variable));
  }

  void resolve(uint32_t index, const syntax::Initialiser* initialiser) {
    ModuleVariable& variable = image_->variables[index];
    const std::string symbol(initialiser->symbol);
    if (const auto other = image_->variable_index.find(symbol); other != image_->variable_index.end()) {
      variable.addresses.push_back({initialiser->offset, initialiser->bytes, other->second, initialiser->value});
    } else if (const auto function = image_->function_index.find(symbol); function != image_->function_index.end()) {
      const uint64_t address = kFunctionWindow + uint64_t{function->second} * 16;
      std::memcpy(&variable.initial[initialiser->offset], &address, initialiser->bytes);
    } else {
      throw Error(fmt::format("{}: \"{}\" is initialised with \"{}\", which is not declared", image_->name,
                              variable.name, symbol));
    }
  }

  // The first instruction that is not covered in what the entry reaches, or a function without a body.
  std::string unsupported_in(const Function& entry, std::vector<bool>& seen) const {
    std::vector<uint32_t> open = {entry.index};
    while (!open.empty()) {
      const Function& function = *image_->functions[open.back()];
      open.pop_back();
      if (seen[function.index]) continue;
      seen[function.index] = true;
      if (!function.unsupported.empty()) return function.unsupported;
      open.insert(open.end(), function.callees.rbegin(), function.callees.rend());
    }
    return {};
  }

  void add_entry(const syntax::Function& syntax, const Function& function) {
    Entry entry;
    entry.name = syntax.name;
    for (const syntax::Variable& parameter : syntax.parameters) {
      const uint32_t offset = align(entry.parameter_bytes, parameter.alignment);
      const auto bytes = static_cast<uint32_t>(parameter.bytes);
      entry.parameters.push_back({std::string(parameter.name), offset, bytes, parameter.alignment});
      entry.parameter_bytes = offset + bytes;
    }
    std::vector<bool> seen(image_->functions.size(), false);
    entry.unsupported = unsupported_in(function, seen);
    bool uses_common = false;
    for (size_t i = 0; i < seen.size(); ++i)
      uses_common = uses_common || (seen[i] && image_->functions[i]->uses_common_shared);
    const uint32_t common = image_->common_shared_bytes - image_->reserved_shared_bytes;
    entry.static_shared_bytes = function.shared_bytes + (uses_common ? common : 0);
    entry.local_bytes = function.local_bytes;
    entry.max_block = syntax.max_block;
    entry.required_block = syntax.required_block;
    for (const Type type : syntax.registers) {
      (type == Type::pred    ? entry.predicates
       : bytes_of(type) <= 2 ? entry.registers16
       : bytes_of(type) == 4 ? entry.registers32
                             : entry.registers64) += 1;
    }
    entry.instructions = static_cast<uint32_t>(syntax.instructions.size());
    image_->entries.push_back(std::move(entry));
  }

  const std::string text_;
  syntax::Module syntax_;
  std::shared_ptr<ModuleImage> image_;
  std::vector<std::pair<uint32_t, const syntax::Initialiser*>> open_addresses_;
};

}  // namespace

std::string ModuleImage::source(const syntax::Location& location) const {
  const auto file = files.find(location.file);
  return file == files.end() ? std::string() : fmt::format("{}:{}", file->second, location.line);
}

Module Module::parse(std::string_view ptx, std::string name) {
  Module module;
  module.image_ = Builder(ptx, std::move(name)).build();
  return module;
}

const std::string& Module::name() const { return image_->name; }
std::span<const Entry> Module::entries() const { return image_->entries; }

bool Module::contains(std::string_view name) const {
  return std::any_of(image_->entries.begin(), image_->entries.end(), [&](const Entry& e) { return e.name == name; });
}

const Entry& Module::entry(std::string_view name) const {
  std::vector<std::string_view> names;
  for (const Entry& entry : image_->entries) {
    if (entry.name == name) return entry;
    names.push_back(entry.name);
  }
  throw Error(fmt::format("{}: no entry \"{}\"; there are: {}", image_->name, name, fmt::join(names, ", ")));
}

}  // namespace wkv::emulator
