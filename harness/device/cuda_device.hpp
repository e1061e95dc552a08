// A real GPU, through NVIDIA's driver.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "harness/device/device.hpp"

namespace wkv {

namespace cuda {
struct Driver;
std::string driver_file();
}  // namespace cuda

class CudaDevice final : public Device {
 public:
  // Throws DeviceError in one line where there is no driver or no GPU.
  explicit CudaDevice(int index = 0, const std::string& driver_file = cuda::driver_file());
  ~CudaDevice() override;
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;

  void copy_to_device(std::byte* to, std::span<const std::byte> from) override;
  void copy_to_host(std::span<std::byte> to, const std::byte* from) override;
  void copy(std::byte* to, const std::byte* from, size_t bytes) override;
  void fill(std::byte* to, std::byte value, size_t bytes) override;
  void synchronize() override;
  std::optional<double> time(const std::function<void()>& work) override;
  void flush_l2() override;

 private:
  struct State;

  CudaDevice(std::unique_ptr<cuda::Driver> driver, int index);
  std::byte* allocate_memory(size_t bytes, const std::string& name) override;
  void free_memory(std::byte* address) noexcept override;
  void launch_kernel(const RegisteredKernel& kernel, const LaunchShape& shape,
                     std::span<const Argument> arguments) override;
  KernelAttributes attributes_of(const RegisteredKernel& kernel) override;

  std::unique_ptr<State> state_;
};

}  // namespace wkv
