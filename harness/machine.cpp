#include "harness/machine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string_view>
#include <thread>

namespace wkv {
namespace {

// What stands behind the colon of the first line of a /proc file that begins with `key`.
std::string line_of(const std::filesystem::path& file, std::string_view key) {
  std::ifstream stream(file);
  for (std::string line; std::getline(stream, line);) {
    const auto colon = line.find(':');
    if (colon == std::string::npos || !line.starts_with(key)) continue;
    const auto begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

std::optional<size_t> number_in(const std::filesystem::path& file) {
  std::ifstream stream(file);
  size_t number = 0;
  if (stream >> number) return number;
  return std::nullopt;
}

}  // namespace

std::string cpu_model() {
  const std::string model = line_of("/proc/cpuinfo", "model name");
  return model.empty() ? "unknown" : model;
}

int cpu_count() { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

size_t available_memory() {
  size_t available = std::numeric_limits<size_t>::max();
  const std::string line = line_of("/proc/meminfo", "MemAvailable");
  if (!line.empty()) available = std::stoull(line) * 1024;
  const auto limit = number_in("/sys/fs/cgroup/memory.max"), used = number_in("/sys/fs/cgroup/memory.current");
  if (limit && used) available = std::min(available, *limit - std::min(*limit, *used));
  return available;
}

std::filesystem::path program_directory() {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? std::filesystem::current_path() : program.parent_path();
}

std::string compiler() {
#ifdef __clang__
  return fmt::format("clang {}", __clang_version__);
#else
  return fmt::format("g++ {}", __VERSION__);
#endif
}

}  // namespace wkv
