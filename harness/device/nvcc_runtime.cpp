// What the host objects of nvcc call in NVIDIA's runtime library, so that they link and start without it.
// Only the announcements do something; declarations after CUDA 13.0's crt/host_runtime.h.
#include <cstdint>
#include <cstring>

#include "harness/device/kernel_registry.hpp"

#define WKV_RUNTIME extern "C" __attribute__((visibility("hidden")))

namespace {

struct FatbinWrapper {
  int32_t magic;
  int32_t version;
  const std::byte* fatbin;
  void* file_name;
};

constexpr int kInvalidDeviceFunction = 98;  // cudaErrorInvalidDeviceFunction

}  // namespace

// The handle is the wrapper itself.
WKV_RUNTIME void** __cudaRegisterFatBinary(void* wrapper) { return static_cast<void**>(wrapper); }
WKV_RUNTIME void __cudaRegisterFatBinaryEnd(void**) {}
WKV_RUNTIME void __cudaUnregisterFatBinary(void**) {}
WKV_RUNTIME char __cudaInitModule(void**) { return 0; }

WKV_RUNTIME void __cudaRegisterFunction(void** handle, const char* host_function, char*, const char* symbol, int, void*,
                                        void*, void*, void*, int*) {
  const auto* wrapper = reinterpret_cast<const FatbinWrapper*>(handle);
  wkv::register_kernel(host_function, {.fatbin = wrapper->fatbin, .symbol = symbol});
}

// __device__ and __constant__ variables: kernels reach them by themselves, the host does not.
WKV_RUNTIME void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}

// Called by the stubs of kernels only. They do not run: launches go through Device::launch, and the <<<>>> syntax does
// not link here.
WKV_RUNTIME int __cudaPopCallConfiguration(void*, void*, size_t*, void*) { return kInvalidDeviceFunction; }
WKV_RUNTIME int __cudaGetKernel(void**, const void*) { return kInvalidDeviceFunction; }

namespace {
struct Dim {
  uint32_t x, y, z;
};
}  // namespace
WKV_RUNTIME int __cudaLaunchKernel(void*, Dim, Dim, void**, size_t, void*) { return kInvalidDeviceFunction; }
