// The functions of NVIDIA's driver that are used here, found at run time, so that no NVIDIA file is needed to build or
// to start. Names and types after CUDA 13.0's cuda.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace wkv::cuda {

using Result = int;  // CUresult
using DeviceId = int;
using Address = unsigned long long;  // CUdeviceptr
using Context = struct ContextObject*;
using Module = struct ModuleObject*;
using Function = struct FunctionObject*;
using Stream = struct StreamObject*;
using Event = struct EventObject*;

constexpr Result kOutOfMemory = 2;
constexpr int kClockRate = 13, kMultiprocessors = 16, kL2Bytes = 38, kMajor = 75, kMinor = 76;  // CUdevice_attribute
constexpr int kStaticShared = 1, kLocal = 3, kRegisters = 4, kMaxDynamicShared = 8;             // CUfunction_attribute

// libcuda.so.1 as the loader finds it, or the file that the environment variable WKV_CUDA_DRIVER names.
std::string driver_file();

// The library, closed again with the last copy.
class Library {
 public:
  explicit Library(const std::string& file);  // throws DeviceError: there is no such library
  void* symbol(const char* name) const;       // throws DeviceError
  const std::string& file() const { return file_; }

 private:
  std::string file_;
  std::shared_ptr<void> handle_;
};

// Throws DeviceError with the call, the error's name and what it means.
void check(const Library& library, Result result, const char* call);

template <class... Parameters>
class Call {
 public:
  Call(const Library& library, const char* name)
      : library_(library), name_(name), function_(reinterpret_cast<Pointer>(library.symbol(name))) {}
  void operator()(Parameters... arguments) const { check(library_, function_(arguments...), name_); }
  Result result(Parameters... arguments) const { return function_(arguments...); }

 private:
  using Pointer = Result (*)(Parameters...);
  Library library_;
  const char* name_;
  Pointer function_;
};

struct Driver {
  explicit Driver(const std::string& file) : shared_library(file) {}

  Library shared_library;
  Call<unsigned> init{shared_library, "cuInit"};
  Call<int*> version{shared_library, "cuDriverGetVersion"};
  Call<int*> device_count{shared_library, "cuDeviceGetCount"};
  Call<DeviceId*, int> device{shared_library, "cuDeviceGet"};
  Call<char*, int, DeviceId> device_name{shared_library, "cuDeviceGetName"};
  Call<size_t*, DeviceId> device_memory{shared_library, "cuDeviceTotalMem_v2"};
  Call<int*, int, DeviceId> device_attribute{shared_library, "cuDeviceGetAttribute"};
  Call<Context*, DeviceId> retain_context{shared_library, "cuDevicePrimaryCtxRetain"};
  Call<DeviceId> release_context{shared_library, "cuDevicePrimaryCtxRelease_v2"};
  Call<Context> set_context{shared_library, "cuCtxSetCurrent"};
  Call<> synchronize{shared_library, "cuCtxSynchronize"};
  Call<Address*, size_t> allocate{shared_library, "cuMemAlloc_v2"};
  Call<Address> free{shared_library, "cuMemFree_v2"};
  Call<Address, const void*, size_t> copy_to_device{shared_library, "cuMemcpyHtoD_v2"};
  Call<void*, Address, size_t> copy_to_host{shared_library, "cuMemcpyDtoH_v2"};
  Call<Address, unsigned char, size_t> fill{shared_library, "cuMemsetD8_v2"};
  Call<Module*, const void*> load_module{shared_library, "cuModuleLoadData"};
  Call<Module> unload_module{shared_library, "cuModuleUnload"};
  Call<Function*, Module, const char*> function{shared_library, "cuModuleGetFunction"};
  Call<int*, int, Function> function_attribute{shared_library, "cuFuncGetAttribute"};
  Call<Function, int, int> set_function_attribute{shared_library, "cuFuncSetAttribute"};
  Call<Function, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, Stream, void**, void**> launch{
      shared_library, "cuLaunchKernel"};
  Call<Event*, unsigned> create_event{shared_library, "cuEventCreate"};
  Call<Event> destroy_event{shared_library, "cuEventDestroy_v2"};
  Call<Event, Stream> record_event{shared_library, "cuEventRecord"};
  Call<Event> synchronize_event{shared_library, "cuEventSynchronize"};
  Call<float*, Event, Event> elapsed_milliseconds{shared_library, "cuEventElapsedTime"};
};

}  // namespace wkv::cuda
