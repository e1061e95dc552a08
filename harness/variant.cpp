#include "harness/variant.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "harness/device/emulated_device.hpp"

namespace wkv {
namespace {

std::map<std::pair<std::string, std::string>, Variant>& registry() {
  static std::map<std::pair<std::string, std::string>, Variant> variants;
  return variants;
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
  std::vector<const Variant*> variants;
  for (const auto& [key, variant] : registry()) {
    if (key.first == op) variants.push_back(&variant);
  }
  return variants;
}

}  // namespace wkv
