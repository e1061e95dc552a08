#include "harness/mapped_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace wkv {

MappedFile::MappedFile(const std::filesystem::path& path) {
  struct Descriptor {
    int number;
    ~Descriptor() { close(number); }
  };
  const auto fail = [&](const std::string& message) {
    throw std::runtime_error(fmt::format("cannot read {}: {}", path.string(), message));
  };
  const auto fail_with = [&](int error) { fail(std::generic_category().message(error)); };
  // Non-blocking, so that a pipe is refused below and not waited for.
  const int opened = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (opened < 0) fail_with(errno);
  const Descriptor descriptor{opened};
  struct stat status {};
  if (fstat(descriptor.number, &status) != 0) fail_with(errno);
  if (!S_ISREG(status.st_mode)) fail("it is not a regular file");
  const auto size = static_cast<size_t>(status.st_size);
  if (size == 0) fail("the file is empty");
  void* memory = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor.number, 0);
  if (memory == MAP_FAILED) fail_with(errno);
  mapping_ = {static_cast<const std::byte*>(memory), Unmap{size}};
}

void MappedFile::Unmap::operator()(const std::byte* memory) const { munmap(const_cast<std::byte*>(memory), bytes); }

}  // namespace wkv
