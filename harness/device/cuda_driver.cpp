#include "harness/device/cuda_driver.hpp"

#include <fmt/format.h>

#include <cstdlib>

namespace wkv::cuda {

std::string driver_file() {
  const char* named = std::getenv("WKV_CUDA_DRIVER");
  return named == nullptr || *named == '\0' ? "libcuda.so.1" : named;
}

std::string error_text(const Library& library, Result result) {
  const auto text = [&](const char* function) -> std::string {
    const char* found = nullptr;
    reinterpret_cast<Result (*)(Result, const char**)>(library.symbol(function))(result, &found);
    return found == nullptr ? "unknown error" : found;
  };
  return fmt::format("{} ({}): {}", text("cuGetErrorName"), result, text("cuGetErrorString"));
}

}  // namespace wkv::cuda
