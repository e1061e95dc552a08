#include "harness/atomic_file.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>

namespace wkv {

void write_atomically(const std::filesystem::path& path, std::string_view text, std::string_view what) {
  auto temporary = path;
  temporary += fmt::format(".{}.tmp", getpid());
  errno = 0;
  {
    std::ofstream stream(temporary);
    stream << text;
    if (stream.flush()) {
      std::error_code error;
      std::filesystem::rename(temporary, path, error);
      if (!error) return;
      errno = error.value();
    }
  }
  const int reason = errno;
  std::error_code ignored;
  std::filesystem::remove(temporary, ignored);
  throw std::runtime_error(fmt::format("cannot write {} {}: {}", what, path.string(), std::strerror(reason)));
}

}  // namespace wkv
