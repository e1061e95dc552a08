#include "harness/variant.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <utility>

#include "harness/device/emulated_device.hpp"
#include "harness/machine.hpp"

#ifdef __SANITIZE_ADDRESS__
// The check for leaks of g++ 12 crashes on the thread-local storage of a module that was loaded while threads ran, if
// it keeps account of such storage itself. An environment's ASAN_OPTIONS go before this.
extern "C" const char* __asan_default_options() { return "intercept_tls_get_addr=0"; }
#endif

namespace wkv {
namespace {

std::map<std::pair<std::string, std::string>, Variant>& registry() {
  static std::map<std::pair<std::string, std::string>, Variant> variants;
  return variants;
}

// Variants by a library that is not everywhere, so that the program starts without it: a module beside the program,
// whose variants register themselves as it is loaded.
bool load_modules() {
  const auto module = program_directory() / "onednn_variants.so";
  if (!std::filesystem::exists(module)) return false;
  if (dlopen(module.c_str(), RTLD_NOW) != nullptr) return true;
  fmt::print(stderr, "warning: the variants by oneDNN are left out: {}\n", dlerror());
  return false;
}

}  // namespace

std::optional<std::string> unsupported(const Variant& variant, const Problem& problem, const Device* device) {
  if (std::find(variant.dtypes.begin(), variant.dtypes.end(), problem.dtype) == variant.dtypes.end()) {
    return fmt::format("dtype {} is not supported", name_of(problem.dtype));
  }
  if (variant.unsupported) {
    if (auto reason = variant.unsupported(problem)) return reason;
  }
  if (!variant.unsupported_on) return std::nullopt;
  return variant.unsupported_on(problem, device == nullptr ? emulated_properties() : device->properties());
}

size_t extra_bytes(const Variant& variant, const Problem& problem, int threads) {
  return variant.extra_bytes ? variant.extra_bytes(problem, threads) : 0;
}

void register_variant(Variant variant) {
  auto key = std::pair(variant.op, variant.name);
  registry().emplace(std::move(key), std::move(variant));
}

std::vector<const Variant*> variants_of(std::string_view op) {
  static const bool loaded [[maybe_unused]] = load_modules();
  std::vector<const Variant*> variants;
  for (const auto& [key, variant] : registry()) {
    if (key.first == op) variants.push_back(&variant);
  }
  return variants;
}

}  // namespace wkv
