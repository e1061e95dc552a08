#include "harness/device/cuda_driver.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>

#include "harness/device/device.hpp"

namespace wkv::cuda {

std::string driver_file() {
  const char* named = std::getenv("WKV_CUDA_DRIVER");
  return named == nullptr || *named == '\0' ? "libcuda.so.1" : named;
}

Library::Library(const std::string& file)
    : file_(file), handle_(dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL), [](void* handle) {
        if (handle != nullptr) dlclose(handle);
      }) {
  if (handle_ == nullptr) throw DeviceError(fmt::format("no GPU: cannot load NVIDIA's driver: {}", dlerror()));
}

void* Library::symbol(const char* name) const {
  void* found = dlsym(handle_.get(), name);
  if (found == nullptr) throw DeviceError(fmt::format("NVIDIA's driver is too old: it has no {}", name));
  return found;
}

void check(const Library& library, Result result, const char* call) {
  if (result == 0) return;
  const auto text = [&](const char* function) -> std::string {
    const char* found = nullptr;
    reinterpret_cast<Result (*)(Result, const char**)>(library.symbol(function))(result, &found);
    return found == nullptr ? "unknown error" : found;
  };
  throw DeviceError(
      fmt::format("{} failed: {} ({}): {}", call, text("cuGetErrorName"), result, text("cuGetErrorString")));
}

}  // namespace wkv::cuda
