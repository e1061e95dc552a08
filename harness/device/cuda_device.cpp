#include "harness/device/cuda_device.hpp"

#include <fmt/format.h>

#include <array>
#include <new>
#include <utility>
#include <vector>

#include "harness/device/cuda_driver.hpp"
#include "harness/device/fatbin.hpp"

namespace wkv {
namespace {

constexpr int kNvccVersion = 13000;     // CUDA 13: machine code within a major version needs no newer driver
constexpr int kLeastDriver = 12000;     // ptx_for_cuda_12
constexpr int kLeastArchitecture = 80;  // the oldest that there is PTX for

cuda::Address number(const std::byte* address) { return reinterpret_cast<cuda::Address>(address); }

std::unique_ptr<cuda::Driver> load_driver(const std::string& file) {
  try {
    return std::make_unique<cuda::Driver>(file);
  } catch (const DeviceError& error) {
    throw DeviceError(fmt::format("no GPU: {}", error.what()));
  }
}

cuda::DeviceId device_at(const cuda::Driver& driver, int index) {
  int count = 0;
  try {
    driver.init(0);
    driver.device_count(&count);
  } catch (const DeviceError& error) {
    throw DeviceError(fmt::format("no GPU: {}", error.what()));
  }
  if (index >= count) throw DeviceError(fmt::format("no GPU number {}: NVIDIA's driver knows {}", index, count));
  cuda::DeviceId device = 0;
  driver.device(&device, index);
  return device;
}

// 1000 major + 10 minor.
int version_of(const cuda::Driver& driver) {
  int version = 0;
  driver.version(&version);
  return version;
}

// For a driver of CUDA 12, which takes neither machine code nor PTX of a later nvcc: the PTX as of the version that
// CUDA 12.0 came with. The kernels use nothing that is newer; if they did, the driver's compiler would say so.
std::string ptx_for_cuda_12(const std::byte* fatbin, int architecture) {
  std::string ptx(ptx_of(fatbin, architecture == 90 ? 90 : 80));
  const size_t begin = ptx.find(".version "), end = ptx.find('\n', begin);
  return ptx.replace(begin, end - begin, ".version 8.0");
}

DeviceProperties properties_of(const cuda::Driver& driver, cuda::DeviceId device) {
  const auto attribute = [&](int which) {
    int value = 0;
    driver.device_attribute(&value, which, device);
    return value;
  };
  std::array<char, 256> name{};
  driver.device_name(name.data(), static_cast<int>(name.size()), device);
  DeviceProperties properties;
  const int version = version_of(driver);
  if (version < kLeastDriver) {
    throw DeviceError(fmt::format("NVIDIA's driver is too old: it knows CUDA {}.{}, and 12.0 is needed", version / 1000,
                                  version % 1000 / 10));
  }
  properties.name = name.data();
  properties.driver = fmt::format("CUDA {}.{}, {}", version / 1000, version % 1000 / 10, driver.shared_library.file());
  properties.architecture = 10 * attribute(cuda::kMajor) + attribute(cuda::kMinor);
  properties.multiprocessors = attribute(cuda::kMultiprocessors);
  properties.shared_bytes = static_cast<size_t>(attribute(cuda::kSharedBytes));
  if (properties.architecture < kLeastArchitecture) {
    throw DeviceError(fmt::format("{} has compute capability {:.1f}, and 8.0 is needed", properties.name,
                                  properties.architecture / 10.0));
  }
  driver.device_memory(&properties.memory_bytes, device);
  properties.l2_bytes = static_cast<size_t>(attribute(cuda::kL2Bytes));
  properties.clock_hz = 1e3 * attribute(cuda::kClockRate);
  return properties;
}

}  // namespace

struct CudaDevice::State {
  State(std::unique_ptr<cuda::Driver> owned_driver, cuda::DeviceId id, int its_architecture)
      : driver(std::move(owned_driver)),
        device(id),
        architecture(its_architecture),
        is_older(version_of(*driver) < kNvccVersion) {
    cuda::Context context = nullptr;
    driver->retain_context(&context, device);
    driver->set_context(context);
    for (cuda::Event& event : events) driver->create_event(&event, 0);
  }

  // After a kernel failed every call fails, these too; then there is nothing left to free.
  ~State() {
    for (const cuda::Event event : events) driver->destroy_event.result(event);
    for (const auto& [fatbin, module] : modules) driver->unload_module.result(module);
    driver->release_context.result(device);
  }

  struct Kernel {
    cuda::Function function = nullptr;
    uint32_t allowed_dynamic_shared_bytes = 0;
  };

  // Found, and its module loaded, at its first use, so that a timed launch is a launch and nothing else.
  Kernel& kernel(const RegisteredKernel& registered) {
    const auto found = kernels.find(&registered);
    if (found != kernels.end()) return found->second;
    auto module = modules.find(registered.fatbin);
    if (module == modules.end()) {
      module = modules.emplace(registered.fatbin, load(registered.fatbin)).first;
    }
    Kernel kernel;
    driver->function(&kernel.function, module->second, registered.symbol.c_str());
    return kernels.emplace(&registered, kernel).first->second;
  }

  cuda::Module load(const std::byte* fatbin) const {
    cuda::Module module = nullptr;
    if (is_older) {
      driver->load_module(&module, ptx_for_cuda_12(fatbin, architecture).c_str());
    } else {
      driver->load_module(&module, fatbin);
    }
    return module;
  }

  std::unique_ptr<cuda::Driver> driver;
  cuda::DeviceId device;
  int architecture;
  bool is_older;  // than the nvcc that compiled the kernels
  std::array<cuda::Event, 2> events{};
  std::map<const std::byte*, cuda::Module> modules;
  std::map<const RegisteredKernel*, Kernel> kernels;
  DeviceMemory l2_flusher;
};

CudaDevice::CudaDevice(int index, const std::string& driver_file) : CudaDevice(load_driver(driver_file), index) {}

CudaDevice::CudaDevice(std::unique_ptr<cuda::Driver> driver, int index)
    : Device(properties_of(*driver, device_at(*driver, index))) {
  const cuda::DeviceId device = device_at(*driver, index);
  state_ = std::make_unique<State>(std::move(driver), device, properties().architecture);
}

CudaDevice::~CudaDevice() {
  release_all();
  state_->l2_flusher = {};
}

std::byte* CudaDevice::allocate_memory(size_t bytes, const std::string& name) {
  if (bytes == 0) return nullptr;
  cuda::Address address = 0;
  const cuda::Result result = state_->driver->allocate.result(&address, bytes);
  if (result == cuda::kOutOfMemory) throw std::bad_alloc();
  if (result != 0) {
    throw_failure(fmt::format("cuMemAlloc for {}", name).c_str(),
                  cuda::error_text(state_->driver->shared_library, result));
  }
  return reinterpret_cast<std::byte*>(address);
}

void CudaDevice::free_memory(std::byte* address) noexcept { state_->driver->free.result(number(address)); }

void CudaDevice::copy_to_device(std::byte* to, std::span<const std::byte> from) {
  state_->driver->copy_to_device(number(to), from.data(), from.size());
}

void CudaDevice::copy_to_host(std::span<std::byte> to, const std::byte* from) {
  state_->driver->copy_to_host(to.data(), number(from), to.size());
}

void CudaDevice::copy(std::byte* to, const std::byte* from, size_t bytes) {
  state_->driver->copy(number(to), number(from), bytes);
}

void CudaDevice::fill(std::byte* to, std::byte value, size_t bytes) {
  state_->driver->fill(number(to), static_cast<unsigned char>(value), bytes);
}

void CudaDevice::synchronize() { state_->driver->synchronize(); }

std::optional<double> CudaDevice::time(const std::function<void()>& work) {
  const cuda::Driver& driver = *state_->driver;
  const auto [begin, end] = state_->events;
  driver.record_event(begin, nullptr);
  work();
  driver.record_event(end, nullptr);
  driver.synchronize_event(end);
  float milliseconds = 0;
  driver.elapsed_milliseconds(&milliseconds, begin, end);
  return 1e-3 * milliseconds;
}

void CudaDevice::flush_l2() {
  // Twice the cache, since its replacement is not strictly by age.
  if (state_->l2_flusher.size() == 0) state_->l2_flusher = allocate(2 * properties().l2_bytes, "L2 flush");
  fill(state_->l2_flusher.address(), std::byte{0}, state_->l2_flusher.size());
}

void CudaDevice::launch_kernel(const RegisteredKernel& registered, const LaunchShape& shape,
                               std::span<const Argument> arguments) {
  const cuda::Driver& driver = *state_->driver;
  std::vector<void*> values;
  for (const Argument& argument : arguments) values.push_back(const_cast<void*>(argument.value));
  const auto& [grid, block, shared, cooperative] = shape;
  try {
    State::Kernel& kernel = state_->kernel(registered);
    if (shared > kernel.allowed_dynamic_shared_bytes) {
      driver.set_function_attribute(kernel.function, cuda::kMaxDynamicShared, static_cast<int>(shared));
      kernel.allowed_dynamic_shared_bytes = shared;
    }
    if (cooperative) {
      driver.launch_cooperative(kernel.function, grid.x, grid.y, grid.z, block.x, block.y, block.z, shared, nullptr,
                                values.data());
    } else {
      driver.launch(kernel.function, grid.x, grid.y, grid.z, block.x, block.y, block.z, shared, nullptr, values.data(),
                    nullptr);
    }
  } catch (const DeviceError& error) {
    throw DeviceError(fmt::format("{}: {}", display_name(registered.symbol), error.what()));
  }
}

KernelAttributes CudaDevice::attributes_of(const RegisteredKernel& kernel) {
  const cuda::Function function = state_->kernel(kernel).function;
  const auto attribute = [&](int which) {
    int value = 0;
    state_->driver->function_attribute(&value, which, function);
    return value;
  };
  KernelAttributes attributes{.registers = attribute(cuda::kRegisters),
                              .local_bytes = attribute(cuda::kLocal),
                              .static_shared_bytes = attribute(cuda::kStaticShared),
                              .spills = std::nullopt};
  // The driver does not tell spills. The report was made for sm_90a; elsewhere the driver compiled the PTX itself.
  if (properties().architecture == 90 && !state_->is_older) {
    if (const auto compiled = compiler_attributes(kernel.symbol)) attributes.spills = compiled->spills;
  }
  return attributes;
}

}  // namespace wkv
