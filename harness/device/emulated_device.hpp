// The emulated device: runs the PTX that nvcc made of the .cu files on the CPU, checks every access and counts.
// What a kernel does wrong is a DeviceError with the kernel, source line, block, thread and address of every finding.
#pragma once

#include <string>
#include <vector>

#include "harness/device/device.hpp"
#include "harness/emulator/emulator.hpp"

namespace wkv {

// The launches of one kernel with one shape since the counts were cleared.
struct KernelCounts {
  std::string kernel;  // display_name
  LaunchShape shape;
  KernelAttributes attributes;
  uint64_t launches = 0;
  emulator::Counters counters;  // of all of them
};

struct EmulatedDeviceOptions {
  int threads = 0;       // of the host; 0: all cores
  int architecture = 0;  // whose PTX runs; 0: the newest in the program, which machine code is made of too
};

DeviceProperties emulated_properties(const EmulatedDeviceOptions& options = {});

class EmulatedDevice final : public Device {
 public:
  explicit EmulatedDevice(EmulatedDeviceOptions options = {});
  ~EmulatedDevice() override;

  void copy_to_device(std::byte* to, std::span<const std::byte> from) override;
  void copy_to_host(std::span<std::byte> to, const std::byte* from) override;
  void copy(std::byte* to, const std::byte* from, size_t bytes) override;
  void fill(std::byte* to, std::byte value, size_t bytes) override;
  void synchronize() override {}
  std::optional<double> time(const std::function<void()>& work) override;
  void flush_l2() override {}

  // In the order of the first launches.
  const std::vector<KernelCounts>& counts() const { return counts_; }
  void clear_counts() { counts_.clear(); }

 private:
  std::byte* allocate_memory(size_t bytes, const std::string& name) override;
  void free_memory(std::byte* address) noexcept override;
  void launch_kernel(const RegisteredKernel& kernel, const LaunchShape& shape,
                     std::span<const Argument> arguments) override;
  KernelAttributes attributes_of(const RegisteredKernel& kernel) override;
  void count(const RegisteredKernel& kernel, const LaunchShape& shape, const emulator::Counters& counters);

  EmulatedDeviceOptions options_;
  emulator::Memory memory_;
  std::vector<KernelCounts> counts_;
};

}  // namespace wkv
