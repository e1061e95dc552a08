// A library that is found at run time, so that nothing of it is needed to build or to start.
#pragma once

#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "harness/device/device.hpp"

namespace wkv {

// Closed again with the last copy.
class Library {
 public:
  // The first of the files that the loader finds. Throws DeviceError "cannot load <what>: ..." where there is none.
  Library(const std::vector<std::string>& files, std::string what);

  void* symbol(const char* name) const;  // throws DeviceError "<what> is too old: it has no <name>"
  const std::string& file() const { return file_; }

 private:
  std::string file_, what_;
  std::shared_ptr<void> handle_;
};

// Throws DeviceError "<call> failed: <text>".
[[noreturn]] void throw_failure(const char* call, const std::string& text);

// One of its functions, of those that return a status: 0, or what kText says in words.
template <std::string (*kText)(const Library&, int status), class... Parameters>
class LibraryCall {
 public:
  LibraryCall(const Library& library, const char* name)
      : library_(library), name_(name), function_(reinterpret_cast<Pointer>(library.symbol(name))) {}
  void operator()(Parameters... arguments) const {
    if (const int status = function_(arguments...); status != 0) throw_failure(name_, kText(library_, status));
  }
  int result(Parameters... arguments) const { return function_(arguments...); }

 private:
  using Pointer = int (*)(Parameters...);
  Library library_;
  const char* name_;
  Pointer function_;
};

// A handle or descriptor of a library's, made and destroyed by two of its calls.
template <class Pointer, class Create, class Destroy>
class LibraryObject {
 public:
  LibraryObject(const Create& create, const Destroy& destroy) : destroy_(destroy) { create(&pointer_); }
  ~LibraryObject() { destroy_.result(pointer_); }
  LibraryObject(const LibraryObject&) = delete;
  LibraryObject& operator=(const LibraryObject&) = delete;
  operator Pointer() const { return pointer_; }

 private:
  const Destroy& destroy_;
  Pointer pointer_ = nullptr;
};

// A library's functions, of the file that the environment variable names or else of the first of these that is there:
// loaded at first use, and kept. Throws DeviceError.
template <class Functions>
const Functions& loaded_once(const char* variable, const std::vector<std::string>& files) {
  static std::map<std::string, std::unique_ptr<Functions>> loaded;  // by the variable's word
  const char* named = std::getenv(variable);
  const std::string file = named == nullptr ? "" : named;
  auto& found = loaded[file];
  if (!found) found = std::make_unique<Functions>(file.empty() ? files : std::vector{file});
  return *found;
}

// Why a variant by a library cannot run on a device; load is what loads the library.
template <class Load>
std::optional<std::string> library_unsupported_on(const DeviceProperties& device, const std::string& what, Load load) {
  if (device.emulated) return "needs a GPU and " + what;
  try {
    load();
    return std::nullopt;
  } catch (const DeviceError& error) {
    return error.what();
  }
}

}  // namespace wkv
