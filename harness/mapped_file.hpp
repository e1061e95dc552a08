// A regular file mapped into memory for reading.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

namespace wkv {

// Its bytes stay where they are as long as the object lives, also when it is moved. Another process that shortens the
// file in that time makes reading them a bus error.
class MappedFile {
 public:
  // Throws std::runtime_error "cannot read FILE: ..." for what is missing, empty or not a regular file.
  explicit MappedFile(const std::filesystem::path& path);

  std::span<const std::byte> bytes() const { return {mapping_.get(), mapping_.get_deleter().bytes}; }

 private:
  struct Unmap {
    size_t bytes;
    void operator()(const std::byte* memory) const;
  };
  std::unique_ptr<const std::byte, Unmap> mapping_{nullptr, Unmap{0}};
};

}  // namespace wkv
