// A library that plays NVIDIA's driver for one small GPU, with the emulator under it, so that the code for real devices
// runs in every test run. Its functions are the prototypes of NVIDIA's own cuda.h.
#include <cuda.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "harness/device/fatbin.hpp"
#include "harness/emulator/emulator.hpp"

struct CUmod_st {
  std::string text;  // a copy: the image need not live on
  wkv::emulator::Module ptx = wkv::emulator::Module::parse(text, "module of the driver");
};
struct CUfunc_st {
  const wkv::emulator::Module* ptx;
  std::string name;
  int dynamic_shared_allowed = 48 << 10;
};
struct CUevent_st {
  double milliseconds;
};

namespace {

wkv::emulator::Memory memory;
std::vector<std::unique_ptr<CUfunc_st>> functions;
double clock_milliseconds = 0;
bool initialised = false, has_context = false;
CUresult fault = CUDA_SUCCESS;  // sticky, as a failed kernel's is

// DRIVER_OF_TESTS_CUDA=12040 makes it a driver of CUDA 12.4.
int cuda_version() {
  const char* version = std::getenv("DRIVER_OF_TESTS_CUDA");
  return version == nullptr ? 13000 : std::atoi(version);
}

// DRIVER_OF_TESTS_MIB=64 gives it more memory.
size_t memory_bytes() {
  const char* mebibytes = std::getenv("DRIVER_OF_TESTS_MIB");
  return static_cast<size_t>(mebibytes == nullptr ? 16 : std::atoi(mebibytes)) << 20;
}

// Fat binaries of nvcc 13 are for drivers of CUDA 13; PTX text is of version 9 for these and 8 for those of CUDA 12.
std::string_view ptx_in(const void* image) {
  const auto* text = static_cast<const char*>(image);
  constexpr unsigned kFatbin = 0xba55ed50u;
  if (std::memcmp(text, &kFatbin, sizeof(kFatbin)) != 0) {
    return std::strstr(text, ".version 9.") == nullptr || cuda_version() >= 13000 ? text : "";
  }
  return cuda_version() >= 13000 ? wkv::ptx_of(static_cast<const std::byte*>(image)) : "";
}

CUresult usable() {
  return !initialised ? CUDA_ERROR_NOT_INITIALIZED : !has_context ? CUDA_ERROR_INVALID_CONTEXT : fault;
}

template <class Work>
CUresult in_memory(const Work& work) {
  if (usable() != CUDA_SUCCESS) return usable();
  try {
    work();
    return CUDA_SUCCESS;
  } catch (const wkv::emulator::Error&) {
    return CUDA_ERROR_INVALID_VALUE;
  }
}

}  // namespace

extern "C" {

CUresult cuInit(unsigned flags) {
  initialised = true;
  return flags == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorName(CUresult error, const char** name) {
  *name = error == CUDA_ERROR_INVALID_VALUE     ? "CUDA_ERROR_INVALID_VALUE"
          : error == CUDA_ERROR_ILLEGAL_ADDRESS ? "CUDA_ERROR_ILLEGAL_ADDRESS"
                                                : nullptr;
  return *name == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

CUresult cuGetErrorString(CUresult error, const char** text) {
  *text = error == CUDA_ERROR_INVALID_VALUE ? "invalid argument" : "an illegal memory access was encountered";
  return CUDA_SUCCESS;
}

CUresult cuDriverGetVersion(int* version) {
  *version = cuda_version();
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int* count) {
  *count = 1;
  return initialised ? CUDA_SUCCESS : CUDA_ERROR_NOT_INITIALIZED;
}

CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  *device = 7;
  return ordinal == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

CUresult cuDeviceGetName(char* name, int bytes, CUdevice) {
  std::strncpy(name, "emulated GPU of the tests", static_cast<size_t>(bytes));
  return CUDA_SUCCESS;
}

CUresult cuDeviceTotalMem(size_t* bytes, CUdevice) {
  *bytes = memory_bytes();
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice device) {
  const std::map<CUdevice_attribute, int> values{{CU_DEVICE_ATTRIBUTE_CLOCK_RATE, 1500000},
                                                 {CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 2},
                                                 {CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, 4096},
                                                 {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 227 << 10},
                                                 {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 9},
                                                 {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 0}};
  if (device != 7 || !values.contains(attribute)) return CUDA_ERROR_INVALID_VALUE;
  *value = values.at(attribute);
  return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice) {
  *context = reinterpret_cast<CUcontext>(&memory);
  fault = CUDA_SUCCESS;
  return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease(CUdevice) {
  has_context = false;
  return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext context) {
  has_context = context == reinterpret_cast<CUcontext>(&memory);
  return CUDA_SUCCESS;
}

CUresult cuCtxSynchronize() { return usable(); }

CUresult cuMemAlloc(CUdeviceptr* address, size_t bytes) {
  if (memory.allocated_bytes() + bytes > memory_bytes()) return CUDA_ERROR_OUT_OF_MEMORY;
  return in_memory([&] { *address = memory.allocate(bytes); });
}

CUresult cuMemFree(CUdeviceptr address) {
  return in_memory([&] { memory.free(address); });
}

CUresult cuMemcpyHtoD(CUdeviceptr to, const void* from, size_t bytes) {
  return in_memory([&] { memory.copy_in(to, from, bytes); });
}

CUresult cuMemcpyDtoH(void* to, CUdeviceptr from, size_t bytes) {
  return in_memory([&] { memory.copy_out(to, from, bytes); });
}

CUresult cuMemcpyDtoD(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
  std::vector<std::byte> between(bytes);
  return in_memory([&] {
    memory.copy_out(between.data(), from, bytes);
    memory.copy_in(to, between.data(), bytes);
  });
}

CUresult cuMemsetD8(CUdeviceptr to, unsigned char value, size_t bytes) {
  clock_milliseconds += 10;
  return in_memory([&] { memory.fill(to, std::byte{value}, bytes); });
}

CUresult cuModuleLoadData(CUmodule* module, const void* image) {
  const std::string_view ptx = ptx_in(image);
  if (ptx.empty()) return CUDA_ERROR_INVALID_IMAGE;
  *module = new CUmod_st{std::string(ptx)};
  return usable();
}

CUresult cuModuleUnload(CUmodule module) {
  delete module;
  return CUDA_SUCCESS;
}

CUresult cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
  if (!module->ptx.contains(name)) return CUDA_ERROR_NOT_FOUND;
  functions.push_back(std::make_unique<CUfunc_st>(CUfunc_st{&module->ptx, name}));
  *function = functions.back().get();
  return CUDA_SUCCESS;
}

CUresult cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction function) {
  const wkv::emulator::Entry& entry = function->ptx->entry(function->name);
  if (attribute == CU_FUNC_ATTRIBUTE_NUM_REGS) {
    *value = 32;
  } else if (attribute == CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES) {
    *value = static_cast<int>(entry.local_bytes);
  } else if (attribute == CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES) {
    *value = static_cast<int>(entry.static_shared_bytes);
  } else {
    return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value) {
  if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) return CUDA_ERROR_INVALID_VALUE;
  function->dynamic_shared_allowed = std::max(function->dynamic_shared_allowed, value);
  return CUDA_SUCCESS;
}

static CUresult launch(CUfunction function, const wkv::emulator::Launch& shape, void** values) {
  if (usable() != CUDA_SUCCESS) return usable();
  if (static_cast<int>(shape.dynamic_shared_bytes) > function->dynamic_shared_allowed) return CUDA_ERROR_INVALID_VALUE;
  const wkv::emulator::Entry& entry = function->ptx->entry(function->name);
  std::vector<std::byte> arguments(entry.parameter_bytes);
  for (size_t i = 0; i < entry.parameters.size(); ++i) {
    std::memcpy(arguments.data() + entry.parameters[i].offset, values[i], entry.parameters[i].size);
  }
  const auto report = wkv::emulator::launch(memory, *function->ptx, function->name, shape, arguments, {.threads = 1});
  clock_milliseconds += 1;
  if (report.findings.empty()) return CUDA_SUCCESS;
  if (report.findings[0].kind == wkv::emulator::FindingKind::launch_limit) return CUDA_ERROR_INVALID_VALUE;
  fault = CUDA_ERROR_ILLEGAL_ADDRESS;  // comes up later, as work that runs on its own does
  return CUDA_SUCCESS;
}

CUresult cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                        unsigned block_y, unsigned block_z, unsigned shared_bytes, CUstream, void** values, void**) {
  return launch(function, {{grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared_bytes}, values);
}

CUresult cuLaunchCooperativeKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                                   unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                                   CUstream, void** values) {
  return launch(function, {{grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared_bytes, true}, values);
}

CUresult cuEventCreate(CUevent* event, unsigned) {
  *event = new CUevent_st{-1};
  return usable();
}

CUresult cuEventDestroy(CUevent event) {
  delete event;
  return CUDA_SUCCESS;
}

CUresult cuEventRecord(CUevent event, CUstream) {
  event->milliseconds = clock_milliseconds;
  return usable();
}

CUresult cuEventSynchronize(CUevent) { return usable(); }

// The name without _v2, which every driver has, is hidden behind a macro in cuda.h.
#undef cuEventElapsedTime
CUresult cuEventElapsedTime(float* milliseconds, CUevent begin, CUevent end) {
  *milliseconds = static_cast<float>(end->milliseconds - begin->milliseconds);
  return usable();
}

}  // extern "C"
