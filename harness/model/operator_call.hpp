// An operator's variant, called on buffers in the host's memory wherever it runs.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "harness/variant.hpp"

namespace wkv::model {

class OperatorCall {
 public:
  // A CUDA variant runs on the device, or where none is given on an emulated one of its own. All must outlive the call.
  OperatorCall(const Variant& variant, Executor& executor, Device* device);

  const Variant& variant() const { return variant_; }
  // What the operator declares as tensors of the problem. A device gets copies of all inputs, and the outputs are
  // copied back: right, not fast.
  void run(const Problem& problem, const TensorAddresses& tensors);

 private:
  const Variant& variant_;
  Executor& executor_;
  std::unique_ptr<Device> owned_device_;
  Device* device_;
  std::map<std::string, DeviceMemory> memory_;
};

// The operator's variant of this name that runs the problem; "" takes the first of the preferred ones that does, or
// else any on the CPU that rounds the factors of its products no further than they are stored. "wkv5:cpu_serial" names
// the operator too. Throws UsageError with what there is for the option.
const Variant& variant_for(std::string_view option, std::string_view name, const Problem& problem, std::string_view op,
                           std::span<const std::string_view> preferred);

}  // namespace wkv::model
