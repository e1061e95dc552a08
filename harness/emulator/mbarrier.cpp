#include "harness/emulator/mbarrier.hpp"

namespace wkv::emulator {
namespace {

constexpr uint64_t kMark =
    uint64_t{2} << 62;  // in the two highest bits; below them the phase, bytes, expected, pending
constexpr uint64_t kCountMask = Mbarrier::kMaxCount;

}  // namespace

Mbarrier Mbarrier::from_bits(uint64_t bits) {
  Mbarrier barrier;
  barrier.pending = static_cast<uint32_t>(bits & kCountMask);
  barrier.expected = static_cast<uint32_t>(bits >> 20 & kCountMask);
  barrier.bytes = static_cast<int32_t>(static_cast<uint32_t>(bits >> 40) << 11) >> 11;
  barrier.phase = bits >> 61 & 1;
  barrier.valid = bits >> 62 == kMark >> 62;
  return barrier;
}

uint64_t Mbarrier::bits() const {
  const uint64_t missing = static_cast<uint32_t>(bytes) & 0x1fffffu;
  return (valid ? kMark : 0) | uint64_t{phase} << 61 | missing << 40 | uint64_t{expected} << 20 | pending;
}

bool Mbarrier::arrive(uint32_t count) {
  if (count > pending) return false;
  pending -= count;
  complete_if_nothing_is_missing();
  return true;
}

void Mbarrier::complete_if_nothing_is_missing() {
  if (pending != 0 || bytes != 0) return;
  pending = expected;
  phase = !phase;
}

}  // namespace wkv::emulator
