// A variant: one way to compute an operator. It registers itself from its own file under kernels/<op>/:
//   const Registered<Wkv5> variant{{.name = "cpu_serial", .dtypes = {DType::f32, DType::bf16}, .run = run}};
//   const Registered<Wkv5> variant{{.name = "cuda_serial", .device = DeviceKind::cuda, .launch = launch}};
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/device/device.hpp"
#include "harness/executor.hpp"
#include "harness/operator.hpp"

namespace wkv {

enum class DeviceKind { cpu, cuda, emulated };

constexpr std::string_view name_of(DeviceKind kind) {
  return kind == DeviceKind::cpu ? "cpu" : kind == DeviceKind::cuda ? "cuda" : "emulated";
}

// The emulated device runs the variants for CUDA.
constexpr bool runs_on(DeviceKind variant, DeviceKind device) {
  return variant == (device == DeviceKind::emulated ? DeviceKind::cuda : device);
}

struct Variant {
  std::string op;
  std::string name;                            // <device>_<idea>
  DeviceKind device = DeviceKind::cpu;         // or cuda
  std::vector<DType> dtypes;                   // of the problem
  std::optional<DType> products = DType::f32;  // what the factors of products are rounded to; none: the problem's dtype
  std::function<std::optional<std::string>(const Problem&)> unsupported;  // the reason, or nothing
  // The same for a variant for CUDA, of the device that it shall run on.
  std::function<std::optional<std::string>(const Problem&, const DeviceProperties&)> unsupported_on = nullptr;
  std::function<size_t(const Problem&, int threads)> extra_bytes = nullptr;  // predicted scratch memory
  // One of these, by device. run works on tensors in the host's memory; a launch, on tensors in the device's, starts
  // the work and need not wait for it.
  std::function<void(const TensorAddresses&, const Problem&, Executor&)> run = nullptr;
  std::function<void(const TensorAddresses&, const Problem&, Device&)> launch = nullptr;
};

// Why this variant cannot run the problem: its dtypes, then its own reasons. Nothing if it can. Without a device,
// variants for CUDA run on the emulated one.
std::optional<std::string> unsupported(const Variant& variant, const Problem& problem, const Device* device = nullptr);
inline DType products(const Variant& variant, const Problem& problem) {
  return variant.products.value_or(problem.dtype);
}
// Predicted scratch memory; 0 where the variant declares none.
size_t extra_bytes(const Variant& variant, const Problem& problem, int threads);

// As Variant, with the operator's typed tensors (Op::Tensors, made by Op::bind from their addresses).
template <class Op>
struct TypedVariant {
  std::string name;
  DeviceKind device = DeviceKind::cpu;
  std::vector<DType> dtypes = {DType::f32, DType::bf16};
  std::optional<DType> products = DType::f32;
  std::function<std::optional<std::string>(const Problem&)> unsupported = nullptr;
  std::function<std::optional<std::string>(const Problem&, const DeviceProperties&)> unsupported_on = nullptr;
  std::function<size_t(const Problem&, int threads)> extra_bytes = nullptr;
  void (*run)(const Problem&, const typename Op::Tensors&, Executor&) = nullptr;
  void (*launch)(const Problem&, const typename Op::Tensors&, Device&) = nullptr;
};

void register_variant(Variant variant);

// An object of this type at namespace scope registers the variant.
template <class Op>
struct Registered {
  explicit Registered(TypedVariant<Op> typed) {
    register_variant(
        {.op = std::string(Op::kName),
         .name = std::move(typed.name),
         .device = typed.device,
         .dtypes = std::move(typed.dtypes),
         .products = typed.products,
         .unsupported = std::move(typed.unsupported),
         .unsupported_on = std::move(typed.unsupported_on),
         .extra_bytes = std::move(typed.extra_bytes),
         .run = [run = typed.run](const TensorAddresses& tensors, const Problem& problem,
                                  Executor& executor) { run(problem, Op::bind(tensors), executor); },
         .launch = [launch = typed.launch](const TensorAddresses& tensors, const Problem& problem,
                                           Device& device) { launch(problem, Op::bind(tensors), device); }});
  }
};

// Sorted by name. The references stay valid.
std::vector<const Variant*> variants_of(std::string_view op);

}  // namespace wkv
