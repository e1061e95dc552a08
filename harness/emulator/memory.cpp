#include "harness/emulator/memory.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "harness/emulator/program.hpp"

namespace wkv::emulator {
namespace {

constexpr uint64_t kAlignment = 256;    // what cudaMalloc promises
constexpr uint64_t kRedZone = 1 << 20;  // address space costs nothing

}  // namespace

bool Allocation::is_written(uint64_t address, uint64_t size) const {
  if (all_written) return true;
  const uint8_t* from = written + (address - begin);
  return std::all_of(from, from + size, [](uint8_t byte) { return byte != 0; });
}

void Allocation::mark_written(uint64_t address, uint64_t size) {
  if (size == bytes) all_written = true;
  if (!all_written) std::memset(written + (address - begin), 1, size);
}

MemoryImage::~MemoryImage() {
  for (const auto& allocation : allocations_) release(*allocation);
}

void MemoryImage::release(Allocation& allocation) {
  std::free(allocation.data);
  std::free(allocation.written);
}

uint64_t MemoryImage::allocate(size_t bytes, std::string name) {
  auto allocation = std::make_unique<Allocation>();
  allocation->begin = next_;
  allocation->bytes = bytes;
  allocation->name = std::move(name);
  // Zeroed pages from the system cost nothing until they are touched.
  allocation->data = static_cast<std::byte*>(std::calloc(std::max<size_t>(bytes, 1), 1));
  allocation->written = static_cast<uint8_t*>(std::calloc(std::max<size_t>(bytes, 1), 1));
  if (!allocation->data || !allocation->written) {
    release(*allocation);
    throw std::bad_alloc();
  }
  next_ += (bytes + kAlignment - 1) / kAlignment * kAlignment + kRedZone;
  allocated_ += bytes;
  peak_ = std::max(peak_, allocated_);
  allocations_.push_back(std::move(allocation));
  return allocations_.back()->begin;
}

void MemoryImage::free(uint64_t address) {
  if (address == 0) return;
  Allocation* allocation = find(address);
  const auto at = std::find_if(allocations_.begin(), allocations_.end(),
                               [&](const auto& candidate) { return candidate->begin == address; });
  if (at == allocations_.end()) {
    throw Error(
        fmt::format("free of {:#x}, which is {}", address, allocation ? "inside an allocation" : "no allocation"));
  }
  allocated_ -= (*at)->bytes;
  release(**at);
  allocations_.erase(at);
}

Allocation* MemoryImage::find(uint64_t address) {
  const auto after = std::upper_bound(allocations_.begin(), allocations_.end(), address,
                                      [](uint64_t value, const auto& allocation) { return value < allocation->begin; });
  if (after == allocations_.begin()) return nullptr;
  Allocation* candidate = std::prev(after)->get();
  return address - candidate->begin < candidate->bytes ? candidate : nullptr;
}

Allocation& MemoryImage::range(uint64_t from, size_t bytes) {
  Allocation* allocation = find(from);
  if (!allocation || !allocation->contains(from, bytes)) {
    throw Error(fmt::format("host access of {} bytes at {:#x}, {}", bytes, from,
                            allocation ? fmt::format("past the end of {}", describe(from)) : describe(from)));
  }
  return *allocation;
}

std::string MemoryImage::describe(uint64_t address) const {
  const auto label = [](const Allocation& allocation) {
    return allocation.name.empty() ? fmt::format("an allocation of {} bytes", allocation.bytes)
                                   : fmt::format("\"{}\" of {} bytes", allocation.name, allocation.bytes);
  };
  const Allocation* before = nullptr;
  const Allocation* after = nullptr;
  for (const auto& allocation : allocations_) {
    if (allocation->begin <= address) before = allocation.get();
    if (allocation->begin > address && !after) after = allocation.get();
  }
  if (before && address - before->begin < before->bytes) {
    return fmt::format("byte {} of {}", address - before->begin, label(*before));
  }
  const uint64_t past = before ? address - (before->begin + before->bytes) : ~uint64_t{0};
  const uint64_t ahead = after ? after->begin - address : ~uint64_t{0};
  if (std::min(past, ahead) > kRedZone) return "far from every allocation";
  return past <= ahead ? fmt::format("{} bytes past the end of {}", past, label(*before))
                       : fmt::format("{} bytes before {}", ahead, label(*after));
}

const std::vector<uint64_t>& MemoryImage::place(const ModuleImage& module) {
  const auto known = placed_.find(module.id);
  if (known != placed_.end()) return known->second;
  std::vector<uint64_t> addresses(module.variables.size(), 0);
  const auto in_memory = [](const ModuleVariable& variable) {
    return variable.space == Space::global || variable.space == Space::constant;
  };
  for (size_t i = 0; i < addresses.size(); ++i) {
    const ModuleVariable& variable = module.variables[i];
    if (in_memory(variable)) addresses[i] = allocate(std::max<uint64_t>(variable.bytes, 1), variable.name);
  }
  for (size_t i = 0; i < addresses.size(); ++i) {
    const ModuleVariable& variable = module.variables[i];
    if (!in_memory(variable)) continue;
    Allocation& allocation = *find(addresses[i]);
    std::copy(variable.initial.begin(), variable.initial.end(), allocation.data);
    for (const ModuleVariable::Address& address : variable.addresses) {
      const uint64_t value = addresses[address.variable] + address.addend;
      std::memcpy(allocation.data + address.offset, &value, address.bytes);
    }
    allocation.all_written = true;  // variables without an initial value are zero
    allocation.read_only = variable.space == Space::constant;
  }
  return placed_.emplace(module.id, std::move(addresses)).first->second;
}

Memory::Memory() : image_(std::make_unique<MemoryImage>()) {}
Memory::~Memory() = default;

uint64_t Memory::allocate(size_t bytes, std::string name) { return image_->allocate(bytes, std::move(name)); }
void Memory::free(uint64_t address) { image_->free(address); }

void Memory::copy_in(uint64_t to, const void* from, size_t bytes) {
  if (bytes == 0) return;
  Allocation& allocation = image_->range(to, bytes);
  std::memcpy(allocation.data + (to - allocation.begin), from, bytes);
  allocation.mark_written(to, bytes);
}

void Memory::copy_out(void* to, uint64_t from, size_t bytes) const {
  if (bytes == 0) return;
  const Allocation& allocation = image_->range(from, bytes);
  std::memcpy(to, allocation.data + (from - allocation.begin), bytes);
}

void Memory::fill(uint64_t to, std::byte value, size_t bytes) {
  if (bytes == 0) return;
  Allocation& allocation = image_->range(to, bytes);
  std::memset(allocation.data + (to - allocation.begin), static_cast<int>(value), bytes);
  allocation.mark_written(to, bytes);
}

void Memory::forget(uint64_t from, size_t bytes) {
  if (bytes == 0) return;
  Allocation& allocation = image_->range(from, bytes);
  if (allocation.all_written) std::memset(allocation.written, 1, allocation.bytes);
  allocation.all_written = false;
  std::memset(allocation.written + (from - allocation.begin), 0, bytes);
}

uint64_t Memory::first_unwritten(uint64_t from, size_t bytes) const {
  if (bytes == 0) return from;
  const Allocation& allocation = image_->range(from, bytes);
  if (allocation.all_written) return from + bytes;
  const uint8_t* begin = allocation.written + (from - allocation.begin);
  return from + static_cast<uint64_t>(std::find(begin, begin + bytes, uint8_t{0}) - begin);
}

size_t Memory::allocated_bytes() const { return image_->allocated_bytes(); }
size_t Memory::peak_bytes() const { return image_->peak_bytes(); }

uint64_t Memory::symbol(const Module& module, std::string_view name) {
  const ModuleImage& image = module.image();
  const auto found = image.variable_index.find(std::string(name));
  const bool known = found != image.variable_index.end();
  const uint64_t address = known ? image_->place(image)[found->second] : 0;
  if (!address) throw Error(fmt::format("{}: no global or constant variable \"{}\"", image.name, name));
  return address;
}

}  // namespace wkv::emulator
