// A CUDA device behind one interface: a real GPU (cuda_device.hpp) or the emulated one (emulated_device.hpp).
// Everything runs in order on one stream. What goes wrong is a DeviceError.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <typeindex>

#include "harness/device/kernel_registry.hpp"

namespace wkv {

class DeviceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Dim3 {
  uint32_t x = 1, y = 1, z = 1;
};

struct LaunchShape {
  Dim3 grid = {}, block = {};
  uint32_t dynamic_shared_bytes = 0;
  bool cooperative = false;  // all blocks are there at once and may wait for each other; fails if they do not fit
};

struct DeviceProperties {
  std::string name;
  std::string driver{};   // of a real GPU: the CUDA version that it knows, and its file
  bool emulated = false;  // checks every access, counts, and has no time
  int architecture = 0;   // 90 for compute capability 9.0
  int multiprocessors = 0;
  size_t shared_bytes = 0;  // the most that a block can have
  size_t memory_bytes = 0;
  size_t l2_bytes = 0;
  double clock_hz = 0;  // the highest of the multiprocessors
};

class Device;

// Device memory that is freed with the object. The device must outlive it.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  DeviceMemory(Device& device, size_t bytes, const std::string& name);
  DeviceMemory(DeviceMemory&& other) noexcept;
  DeviceMemory& operator=(DeviceMemory&& other) noexcept;
  ~DeviceMemory();

  std::byte* address() const { return address_; }  // in the device's memory, 256-byte aligned
  size_t size() const { return bytes_; }

 private:
  Device* device_ = nullptr;
  std::byte* address_ = nullptr;
  size_t bytes_ = 0;
};

class Device {
 public:
  virtual ~Device() = default;

  const DeviceProperties& properties() const { return properties_; }

  // Contents undefined. The name appears in errors. Throws std::bad_alloc where there is not enough.
  DeviceMemory allocate(size_t bytes, const std::string& name) { return {*this, bytes, name}; }
  virtual void copy_to_device(std::byte* to, std::span<const std::byte> from) = 0;
  virtual void copy_to_host(std::span<std::byte> to, const std::byte* from) = 0;  // after all earlier work
  virtual void copy(std::byte* to, const std::byte* from, size_t bytes) = 0;      // within the device
  virtual void fill(std::byte* to, std::byte value, size_t bytes) = 0;

  // Starts a kernel, named by its C++ function:
  //   device.launch(scale<float>, {.grid = {blocks}, .block = {128}}, n, input, output);
  // The arguments convert to its parameters as in a call; pointers are device addresses.
  template <class... Parameters>
  void launch(void (*kernel)(Parameters...), const LaunchShape& shape,
              const std::type_identity_t<Parameters>&... arguments) {
    const std::array<Argument, sizeof...(Parameters)> list{
        Argument{&arguments, sizeof(Parameters), alignof(Parameters)}...};
    launch_kernel(registered_kernel(reinterpret_cast<const void*>(kernel)), shape, list);
  }

  // Waits for all work; an error in a kernel comes up here at the latest.
  virtual void synchronize() = 0;
  // Seconds that the work, all of it started by the function, takes on the device's clock; the emulated device has
  // none.
  virtual std::optional<double> time(const std::function<void()>& work) = 0;
  // Leaves nothing in the L2 cache of what was used before.
  virtual void flush_l2() = 0;

  template <class... Parameters>
  KernelAttributes attributes(void (*kernel)(Parameters...)) {
    return attributes_of(registered_kernel(reinterpret_cast<const void*>(kernel)));
  }

  // Scratch memory of at least this many bytes, contents undefined; valid until the next call of scratch. Kept from
  // launch to launch, so that a timed run does not allocate. Its largest size is a cell's extra memory.
  std::byte* scratch(size_t bytes);
  size_t peak_scratch_bytes() const { return peak_scratch_bytes_; }
  // Frees it and starts the peak anew.
  void release_scratch();

  // What a library keeps for this device, its handle say: made at first use, gone with the device.
  template <class State>
  State& state() {
    std::shared_ptr<void>& found = states_[typeid(State)];
    if (!found) found = std::make_shared<State>();
    return *static_cast<State*>(found.get());
  }

 protected:
  struct Argument {
    const void* value;
    size_t size;
    size_t alignment;
  };

  explicit Device(DeviceProperties properties) : properties_(std::move(properties)) {}
  // Derived classes do so in their destructors, while there is still a device to free it on.
  void release_all();
  virtual std::byte* allocate_memory(size_t bytes, const std::string& name) = 0;
  virtual void free_memory(std::byte* address) noexcept = 0;
  virtual void launch_kernel(const RegisteredKernel& kernel, const LaunchShape& shape,
                             std::span<const Argument> arguments) = 0;
  virtual KernelAttributes attributes_of(const RegisteredKernel& kernel) = 0;

 private:
  friend class DeviceMemory;

  DeviceProperties properties_;
  DeviceMemory scratch_;
  std::map<std::type_index, std::shared_ptr<void>> states_;
  size_t peak_scratch_bytes_ = 0;
};

}  // namespace wkv
