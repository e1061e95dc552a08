// A block's shared memory: contents, what was written or is in flight, and who raced.
#pragma once

#include <cstdint>
#include <vector>

#include "harness/emulator/coalescing.hpp"
#include "harness/emulator/context.hpp"
#include "harness/emulator/races.hpp"

namespace wkv::emulator {

class SharedMemory {
 public:
  // Of all bytes the first `zeroed` ones are written, with zeros.
  void start(uint32_t bytes, uint32_t zeroed, uint32_t granule, uint32_t warps);

  Races& races() { return races_; }
  uint32_t size() const { return size_; }

  // Addresses are offsets, lanes in bounds and aligned.
  void load(Context& context, const Op& op, const Accesses& accesses, std::byte* values);
  void store(Context& context, const Op& op, const Accesses& accesses, const std::byte* values);
  void count_store(Context& context, const Accesses& accesses);
  std::byte* atomic(Context& context, const Op& op, uint64_t address, uint32_t lane, uint32_t bytes);

  // As an atomic access: what the warp did is ordered before what another does once it has acquired.
  void release(uint32_t warp) { races_.release(warp, synchronous_); }
  void acquire(uint32_t warp) { races_.acquire(warp, synchronous_); }

  // An asynchronous copy of a warp: from begin to end its bytes can neither be read nor written.
  void begin_copy(Context& context, const Op& op, uint64_t address, uint32_t lane, uint32_t bytes);
  void end_copy(Context& context, uint32_t warp, uint64_t address, uint32_t lane, uint32_t bytes,
                const std::byte* values);

 private:
  enum State : uint8_t { kUnwritten, kWritten, kInFlight };

  void check_state(Context& context, const Op& op, uint64_t address, uint32_t lane, uint32_t bytes, bool is_read);
  void report_race(Context& context, const Op& op, uint64_t address, uint32_t lane, bool writes,
                   const Races::Conflict& conflict);

  uint32_t size_ = 0;
  std::vector<std::byte> data_;
  std::vector<uint8_t> state_;
  Races races_;
  Clocks synchronous_{};  // what atomic and volatile accesses have released
};

}  // namespace wkv::emulator
