#include "harness/device/device.hpp"

#include <algorithm>
#include <utility>

namespace wkv {

DeviceMemory::DeviceMemory(Device& device, size_t bytes, const std::string& name)
    : device_(&device), address_(device.allocate_memory(bytes, name)), bytes_(bytes) {}

DeviceMemory::DeviceMemory(DeviceMemory&& other) noexcept
    : device_(std::exchange(other.device_, nullptr)),
      address_(std::exchange(other.address_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

DeviceMemory& DeviceMemory::operator=(DeviceMemory&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(address_, other.address_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

DeviceMemory::~DeviceMemory() {
  if (device_ != nullptr) device_->free_memory(address_);
}

void Device::release_scratch() {
  scratch_ = {};
  peak_scratch_bytes_ = 0;
}

void Device::release_all() {
  states_.clear();
  release_scratch();
}

std::byte* Device::scratch(size_t bytes) {
  peak_scratch_bytes_ = std::max(peak_scratch_bytes_, bytes);
  // Where accesses are checked every call gets memory of just this size, so that a read of what an earlier launch left
  // there and an access beyond the end are found.
  if (bytes > scratch_.size() || properties_.emulated) {
    scratch_ = {};
    scratch_ = allocate(bytes, "scratch");
  }
  return scratch_.address();
}

}  // namespace wkv
