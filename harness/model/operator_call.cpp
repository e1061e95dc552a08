#include "harness/model/operator_call.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "harness/arguments.hpp"
#include "harness/device/emulated_device.hpp"

namespace wkv::model {

OperatorCall::OperatorCall(const Variant& variant, Executor& executor, Device* device)
    : variant_(variant), executor_(executor), device_(device) {
  if (variant.device == DeviceKind::cpu || device != nullptr) return;
  owned_device_ = std::make_unique<EmulatedDevice>(EmulatedDeviceOptions{.threads = executor.threads()});
  device_ = owned_device_.get();
}

void OperatorCall::run(const Problem& problem, const TensorAddresses& tensors) {
  if (variant_.device == DeviceKind::cpu) return variant_.run(tensors, problem, executor_);
  const std::vector<TensorSpec> specs = operator_named(variant_.op).tensors(problem);
  TensorAddresses there;
  for (const TensorSpec& spec : specs) {
    DeviceMemory& memory = memory_[spec.name];
    if (memory.size() != spec.bytes()) memory = device_->allocate(spec.bytes(), spec.name);
    if (spec.role == Role::input) device_->copy_to_device(memory.address(), {tensors.data(spec.name), spec.bytes()});
    there.add(spec.name, memory.address());
  }
  variant_.launch(there, problem, *device_);
  device_->synchronize();
  for (const TensorSpec& spec : specs) {
    if (spec.role == Role::output) {
      device_->copy_to_host({tensors.data(spec.name), spec.bytes()}, memory_[spec.name].address());
    }
  }
}

const Variant& variant_for(std::string_view option, std::string_view name, const Problem& problem, std::string_view op,
                           std::span<const std::string_view> preferred) {
  const auto variants = variants_of(op);
  const auto named = [&](std::string_view wanted) -> const Variant* {
    const auto found = std::find_if(variants.begin(), variants.end(), [&](auto* v) { return v->name == wanted; });
    return found == variants.end() ? nullptr : *found;
  };
  if (name.empty()) {
    for (const std::string_view candidate : preferred) {
      const Variant* variant = named(candidate);
      if (variant != nullptr && !unsupported(*variant, problem)) return *variant;
    }
    for (const Variant* variant : variants) {
      const DType rounded_to = products(*variant, problem);
      const bool exact = rounded_to == DType::f32 || rounded_to == problem.dtype;
      if (variant->device == DeviceKind::cpu && exact && !unsupported(*variant, problem)) return *variant;
    }
    throw UsageError(fmt::format("{}: no variant of {} runs {}", option, op, to_string(problem)));
  }
  const auto colon = name.find(':');
  const std::string_view own = colon == name.npos ? name : name.substr(colon + 1);
  const Variant* variant = named(own);
  if (variant == nullptr || (colon != name.npos && name.substr(0, colon) != op)) {
    std::string there;
    for (const Variant* each : variants) there += fmt::format("{}{}:{}", there.empty() ? "" : ", ", op, each->name);
    throw UsageError(fmt::format("{}: the model needs a variant of {}, and {} is none; there are {}", option, op, name,
                                 there.empty() ? "none" : there));
  }
  if (const auto reason = unsupported(*variant, problem)) {
    throw UsageError(fmt::format("{}: {}:{} does not run this model: {}", option, op, own, *reason));
  }
  return *variant;
}

}  // namespace wkv::model
