#include "harness/device/kernel_registry.hpp"

#include <cxxabi.h>
#include <fmt/format.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <regex>

#include "harness/device/device.hpp"

namespace wkv {
namespace {

// Inside functions: registered from other files' static initialisers.
std::map<const void*, RegisteredKernel>& kernels() {
  static std::map<const void*, RegisteredKernel> registered;
  return registered;
}

std::vector<std::string_view>& reports() {
  static std::vector<std::string_view> texts;
  return texts;
}

// ptxas tells, in this order, one to a line: the kernel that it compiles; for it and for each function that it calls a
// name and then the stack and the spills; registers and shared memory of the kernel.
std::map<std::string, KernelAttributes, std::less<>> parse_reports() {
  const std::regex entry("Compiling entry function '([^']+)'");
  const std::regex function("Function properties for (\\S+)");
  const std::regex stack("(\\d+) bytes stack frame, (\\d+) bytes spill stores, (\\d+) bytes spill loads");
  const std::regex registers("Used (\\d+) registers");
  const std::regex shared("(\\d+) bytes smem");
  std::map<std::string, KernelAttributes, std::less<>> parsed;
  for (const std::string_view text : reports()) {
    std::string kernel, described;
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      const std::string line(text.substr(begin, end - begin));
      begin = end + 1;
      std::smatch match;
      if (std::regex_search(line, match, entry)) {
        kernel = match[1];
        parsed[kernel] = {};
      } else if (std::regex_search(line, match, function)) {
        described = match[1];
      } else if (described == kernel && std::regex_search(line, match, stack)) {
        parsed[kernel].local_bytes = std::stoi(match[1]);
        parsed[kernel].spills = {.store_bytes = std::stoi(match[2]), .load_bytes = std::stoi(match[3])};
      } else if (std::regex_search(line, match, registers)) {
        parsed[kernel].registers = std::stoi(match[1]);
        if (std::regex_search(line, match, shared)) parsed[kernel].static_shared_bytes = std::stoi(match[1]);
      }
    }
  }
  return parsed;
}

}  // namespace

const RegisteredKernel& registered_kernel(const void* host_function) {
  const auto found = kernels().find(host_function);
  if (found == kernels().end()) throw DeviceError("launch of a function that is not a __global__ one of this program");
  return found->second;
}

std::vector<RegisteredKernel> registered_kernels() {
  std::vector<RegisteredKernel> all;
  for (const auto& [host_function, kernel] : kernels()) all.push_back(kernel);
  return all;
}

void register_kernel(const void* host_function, RegisteredKernel kernel) {
  kernels().emplace(host_function, std::move(kernel));
}

std::string display_name(std::string_view symbol) {
  const std::string mangled(symbol);
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> demangled(
      abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status), std::free);
  if (status != 0) return mangled;
  std::string name = demangled.get();
  name = std::regex_replace(name, std::regex("\\(anonymous namespace\\)::"), "");
  name = name.substr(0, name.find('('));                      // the parameters
  name = std::regex_replace(name, std::regex("^void "), "");  // a template's return type
  const size_t qualifiers = name.substr(0, name.find('<')).rfind("::");
  return qualifiers == std::string::npos ? name : name.substr(qualifiers + 2);
}

CompilerReport::CompilerReport(std::string_view text) { reports().push_back(text); }

std::optional<KernelAttributes> compiler_attributes(std::string_view symbol) {
  static const auto parsed = parse_reports();
  const auto found = parsed.find(symbol);
  return found == parsed.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace wkv
