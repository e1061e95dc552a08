// The barrier object that mbarrier instructions keep in shared memory: arrivals are counted down, bytes of bulk copies
// up and down again, and when nothing is missing the phase is complete and the next begins. PTX leaves the 64 bits
// open.
#pragma once

#include <cstdint>

namespace wkv::emulator {

struct Mbarrier {
  static constexpr uint32_t kMaxCount = (1u << 20) - 1;

  uint32_t expected = 0, pending = 0;  // arrivals of each phase; those that this one still waits for
  int32_t bytes = 0;                   // that are still to come
  bool phase = false;
  bool valid = true;  // whether the bits are an mbarrier's

  static Mbarrier from_bits(uint64_t bits);
  uint64_t bits() const;

  // False where there were fewer to come.
  bool arrive(uint32_t count);
  void complete_if_nothing_is_missing();
};

}  // namespace wkv::emulator
