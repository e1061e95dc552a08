// Global memory: allocations at device addresses with a byte of shadow for each byte, telling whether it was written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace wkv::emulator {

struct ModuleImage;

struct Allocation {
  uint64_t begin = 0, bytes = 0;
  std::string name;
  std::byte* data = nullptr;
  uint8_t* written = nullptr;
  bool all_written = false;  // then the shadow is not kept
  bool read_only = false;    // for kernels

  bool contains(uint64_t address, uint64_t size) const {
    return address - begin < bytes && bytes - (address - begin) >= size;
  }
  bool is_written(uint64_t address, uint64_t size) const;
  void mark_written(uint64_t address, uint64_t size);
};

class MemoryImage {
 public:
  MemoryImage() = default;
  ~MemoryImage();
  MemoryImage(const MemoryImage&) = delete;
  MemoryImage& operator=(const MemoryImage&) = delete;

  uint64_t allocate(size_t bytes, std::string name);
  void free(uint64_t address);
  Allocation* find(uint64_t address);              // that holds the address, or null
  Allocation& range(uint64_t from, size_t bytes);  // that holds all of it; throws Error
  std::string describe(uint64_t address) const;    // where it lies with regard to the nearest allocation

  // Addresses of a module's variables, in its order; they are allocated on first use.
  const std::vector<uint64_t>& place(const ModuleImage& module);

  size_t allocated_bytes() const { return allocated_; }
  size_t peak_bytes() const { return peak_; }

 private:
  static void release(Allocation& allocation);

  std::vector<std::unique_ptr<Allocation>> allocations_;  // by address
  std::map<uint64_t, std::vector<uint64_t>> placed_;      // by module id
  uint64_t next_ = uint64_t{0x7f00} << 32;
  size_t allocated_ = 0, peak_ = 0;
};

}  // namespace wkv::emulator
