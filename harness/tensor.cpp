#include "harness/tensor.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <stdexcept>

#include "harness/executor.hpp"

namespace wkv {
namespace {

constexpr std::byte kCanary{0xc5};

size_t padded(size_t bytes) { return (bytes + 63) / 64 * 64; }

uint64_t checksum_of(std::span<const std::byte> memory) {
  // Every step is a bijection of the lane, so that no difference is lost in it; the rotation brings the highest bits,
  // which a multiplication cannot spread, down again.
  const auto mix = [](uint64_t lane, uint64_t word) { return std::rotl((lane ^ word) * 0x9fb21c651e98df25u, 29); };
  uint64_t lanes[4] = {1, 2, 3, 4};  // independent chains, so that the multiplies overlap
  size_t i = 0;
  for (; i + 32 <= memory.size(); i += 32) {
    uint64_t words[4];
    std::memcpy(words, memory.data() + i, 32);
    for (int lane = 0; lane < 4; ++lane) lanes[lane] = mix(lanes[lane], words[lane]);
  }
  for (; i < memory.size(); ++i) lanes[0] = mix(lanes[0], static_cast<uint64_t>(memory[i]));
  uint64_t hash = 0;
  for (const uint64_t lane : lanes) hash = mix(hash, lane);
  return hash;
}

}  // namespace

int64_t TensorSpec::elements() const {
  int64_t product = 1;
  for (const Dim& dim : dims) product *= dim.size;
  return product;
}

bool TensorAddresses::contains(std::string_view name) const {
  return std::any_of(addresses_.begin(), addresses_.end(), [&](const auto& at) { return at.first == name; });
}

std::byte* TensorAddresses::data(std::string_view name) const {
  const auto found =
      std::find_if(addresses_.begin(), addresses_.end(), [&](const auto& at) { return at.first == name; });
  if (found == addresses_.end()) throw std::out_of_range(fmt::format("no tensor named \"{}\"", name));
  return found->second;
}

TensorSet::TensorSet(std::vector<TensorSpec> specs) : specs_(std::move(specs)) {
  for (const TensorSpec& spec : specs_) {
    allocations_.push_back(allocate(kGuardBytes + padded(spec.bytes()) + kGuardBytes));
    addresses_.add(spec.name, allocations_.back().get() + kGuardBytes);
  }
  restore_guards();
}

size_t TensorSet::index_of(std::string_view name) const {
  const auto found = std::find_if(specs_.begin(), specs_.end(), [&](const auto& spec) { return spec.name == name; });
  if (found == specs_.end()) throw std::out_of_range(fmt::format("no tensor named \"{}\"", name));
  return static_cast<size_t>(found - specs_.begin());
}

bool TensorSet::contains(std::string_view name) const {
  return std::any_of(specs_.begin(), specs_.end(), [&](const auto& spec) { return spec.name == name; });
}

const TensorSpec& TensorSet::spec(std::string_view name) const { return specs_[index_of(name)]; }

std::byte* TensorSet::data(std::string_view name) const { return allocations_[index_of(name)].get() + kGuardBytes; }

std::span<std::byte> TensorSet::bytes(const TensorSpec& spec) const { return {data(spec.name), spec.bytes()}; }

std::span<std::byte> TensorSet::allocation(const TensorSpec& spec) const {
  return {data(spec.name) - kGuardBytes, kGuardBytes + padded(spec.bytes()) + kGuardBytes};
}

void TensorSet::poison_outputs() const {
  for (const TensorSpec& spec : specs_) {
    if (spec.role != Role::output) continue;
    const auto memory = bytes(spec);
    const size_t words = memory.size() / sizeof(kPoison), rest = memory.size() % sizeof(kPoison);
    std::fill_n(reinterpret_cast<uint32_t*>(memory.data()), words, kPoison);
    std::memcpy(memory.data() + words * sizeof(kPoison), &kPoison, rest);
  }
}

std::string TensorSet::overrun() const {
  const auto intact = [](const std::byte* from, const std::byte* to) {
    return std::all_of(from, to, [](std::byte byte) { return byte == kCanary; });
  };
  for (size_t i = 0; i < specs_.size(); ++i) {
    const std::byte* memory = allocations_[i].get();
    const std::byte* end = memory + kGuardBytes + specs_[i].bytes();
    if (!intact(memory, memory + kGuardBytes) || !intact(end, memory + 2 * kGuardBytes + padded(specs_[i].bytes()))) {
      return specs_[i].name;
    }
  }
  return {};
}

void TensorSet::restore_guards() const {
  for (size_t i = 0; i < specs_.size(); ++i) {
    std::byte* memory = allocations_[i].get();
    const size_t bytes = specs_[i].bytes();
    std::fill_n(memory, kGuardBytes, kCanary);
    std::fill(memory + kGuardBytes + bytes, memory + 2 * kGuardBytes + padded(bytes), kCanary);
  }
}

// Of blocks, so that threads can share the work, and of their checksums in turn.
uint64_t TensorSet::checksum(const TensorSpec& spec, Executor* executor) const {
  constexpr size_t kBlock = size_t{1} << 20;
  const auto memory = bytes(spec);
  std::vector<uint64_t> sums((memory.size() + kBlock - 1) / kBlock);
  const auto sum_up = [&](int64_t block, int) {
    const size_t begin = static_cast<size_t>(block) * kBlock;
    sums[static_cast<size_t>(block)] = checksum_of(memory.subspan(begin, std::min(kBlock, memory.size() - begin)));
  };
  if (executor != nullptr) {
    executor->parallel_for(static_cast<int64_t>(sums.size()), sum_up);
  } else {
    for (size_t block = 0; block < sums.size(); ++block) sum_up(static_cast<int64_t>(block), 0);
  }
  return checksum_of(std::as_bytes(std::span(sums)));
}

size_t TensorSet::total_bytes() const {
  size_t total = 0;
  for (const TensorSpec& spec : specs_) total += spec.bytes();
  return total;
}

}  // namespace wkv
