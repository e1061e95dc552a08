// The CUDA kernels in this program. The host object that nvcc makes of a .cu file announces its fat binary and its
// kernels at start-up (nvcc_runtime.cpp takes the announcements), so that a launch can name a kernel by its C++
// function.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace wkv {

struct RegisteredKernel {
  const std::byte* fatbin = nullptr;  // of the .cu file that it is in
  std::string symbol;                 // its mangled name, as in PTX
};

// Of the host function that stands for the kernel. Throws DeviceError for a function that is no kernel.
const RegisteredKernel& registered_kernel(const void* host_function);
// All of them, in no particular order.
std::vector<RegisteredKernel> registered_kernels();
void register_kernel(const void* host_function, RegisteredKernel kernel);

// "wkv5_serial<float, 64>": the demangled name without namespaces of its own and parameters.
std::string display_name(std::string_view symbol);

// What the compiler says about a kernel. Where not every part is known, see Device::attributes.
struct KernelAttributes {
  int registers = 0;            // a thread
  int local_bytes = 0;          // a thread: local arrays and what was spilled
  int static_shared_bytes = 0;  // a block
  struct Spills {
    int store_bytes = 0, load_bytes = 0;  // a thread, in the code, not as often as it runs
  };
  std::optional<Spills> spills;
};

// An object of this type registers what ptxas -v said while it compiled a .cu file; the text must live on.
struct CompilerReport {
  explicit CompilerReport(std::string_view text);
};

// From the compiler reports; nothing for a kernel in none of them.
std::optional<KernelAttributes> compiler_attributes(std::string_view symbol);

}  // namespace wkv
