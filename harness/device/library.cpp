#include "harness/device/library.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include "harness/device/device.hpp"

namespace wkv {

Library::Library(const std::vector<std::string>& files, std::string what) : what_(std::move(what)) {
  std::string error;
  for (const std::string& file : files) {
    if (void* handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL)) {
      file_ = file;
      handle_ = {handle, dlclose};
      return;
    }
    if (error.empty()) error = dlerror();
  }
  throw DeviceError(fmt::format("cannot load {}: {}", what_, error));
}

void* Library::symbol(const char* name) const {
  void* found = dlsym(handle_.get(), name);
  if (found == nullptr) throw DeviceError(fmt::format("{} is too old: it has no {}", what_, name));
  return found;
}

void throw_failure(const char* call, const std::string& text) {
  throw DeviceError(fmt::format("{} failed: {}", call, text));
}

}  // namespace wkv
