// A block's shared memory: contents, what was written or is in flight, and who raced.
#pragma once

#include <cstdint>
#include <vector>

#include "harness/emulator/context.hpp"
#include "harness/emulator/races.hpp"

namespace wkv::emulator {

class SharedMemory {
 public:
  void start(uint32_t bytes, uint32_t granule);

  Races& races() { return races_; }
  uint32_t size() const { return size_; }

  // Addresses are offsets, lanes in bounds and aligned.
  void load(Context& context, const Op& op, const uint64_t* addresses, Mask lanes, uint32_t bytes, std::byte* values);
  void store(Context& context, const Op& op, const uint64_t* addresses, Mask lanes, uint32_t bytes,
             const std::byte* values);
  std::byte* atomic(Context& context, const Op& op, uint64_t address, uint32_t lane, uint32_t bytes);

  // An asynchronous copy: from begin to end its bytes can neither be read nor written.
  void begin_copy(Context& context, const Op& op, uint64_t address, uint32_t lane, uint32_t bytes);
  void end_copy(Context& context, uint64_t address, uint32_t lane, uint32_t bytes, const std::byte* values);

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
