#include "harness/emulator/shared.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "harness/emulator/coalescing.hpp"

namespace wkv::emulator {
namespace {

// Calls body(first lane, mask) for each run of neighbouring lanes with the same address.
template <class Body>
void for_each_place(const uint64_t* addresses, Mask lanes, const Body& body) {
  while (lanes) {
    const auto first = static_cast<uint32_t>(std::countr_zero(lanes));
    Mask same = 0;
    do {
      same |= lanes & -lanes;
      lanes &= lanes - 1;
    } while (lanes && addresses[std::countr_zero(lanes)] == addresses[first]);
    body(first, same);
  }
}

bool all_are(const uint8_t* states, uint32_t bytes, uint8_t state) {
  for (uint32_t i = 0; i < bytes; ++i) {
    if (states[i] != state) return false;
  }
  return true;
}

}  // namespace

void SharedMemory::start(uint32_t bytes, uint32_t granule) {
  size_ = bytes;
  data_.assign(bytes, std::byte{0});
  state_.assign(bytes, kUnwritten);
  races_.start(bytes, granule);
  synchronous_.fill(0);
}

void SharedMemory::load(Context& context, const Op& op, const uint64_t* addresses, Mask lanes, uint32_t bytes,
                        std::byte* values) {
  const Wavefronts wavefronts = count_wavefronts(addresses, lanes, bytes);
  context.counters->shared_load_wavefronts += wavefronts.count;
  context.counters->shared_load_conflicts += wavefronts.conflicts;
  context.counters->shared_load_bytes += uint64_t{bytes} * static_cast<uint32_t>(std::popcount(lanes));
  const bool synchronous = op.flags & kVolatile;
  const uint32_t warp = index_of(*context.warp);
  if (synchronous) races_.acquire(warp, synchronous_);
  for_each_place(addresses, lanes, [&](uint32_t first, Mask same) {
    const auto address = static_cast<uint32_t>(addresses[first]);
    if (context.grid->check) {
      if (!all_are(&state_[address], bytes, kWritten)) check_state(context, op, address, first, bytes, true);
      const auto conflict = races_.read(address, bytes, {warp, same, synchronous});
      if (conflict.found) report_race(context, op, address, first, false, conflict);
    }
    for (Mask rest = same; rest; rest &= rest - 1) {
      std::memcpy(values + static_cast<size_t>(std::countr_zero(rest)) * bytes, &data_[address], bytes);
    }
  });
}

void SharedMemory::store(Context& context, const Op& op, const uint64_t* addresses, Mask lanes, uint32_t bytes,
                         const std::byte* values) {
  const Wavefronts wavefronts = count_wavefronts(addresses, lanes, bytes);
  context.counters->shared_store_wavefronts += wavefronts.count;
  context.counters->shared_store_conflicts += wavefronts.conflicts;
  context.counters->shared_store_bytes += uint64_t{bytes} * static_cast<uint32_t>(std::popcount(lanes));
  const bool synchronous = op.flags & kVolatile;
  const uint32_t warp = index_of(*context.warp);
  for (Mask rest = lanes; rest; rest &= rest - 1) {
    const auto lane = static_cast<uint32_t>(std::countr_zero(rest));
    const auto address = static_cast<uint32_t>(addresses[lane]);
    const std::byte* value = values + size_t{lane} * bytes;
    if (context.grid->check) {
      // Whoever stores the value that is there already does no harm, as when many threads set one flag.
      const bool changes =
          std::memcmp(&data_[address], value, bytes) != 0 || !all_are(&state_[address], bytes, kWritten);
      if (changes) check_state(context, op, address, lane, bytes, false);
      const auto conflict = races_.write(address, bytes, {warp, Mask{1} << lane, synchronous});
      if (conflict.found && changes) report_race(context, op, address, lane, true, conflict);
    }
    std::memcpy(&data_[address], value, bytes);
    std::memset(&state_[address], kWritten, bytes);
  }
  if (synchronous) races_.release(warp, synchronous_);
}

std::byte* SharedMemory::atomic(Context& context, const Op& op, uint64_t address, uint32_t lane, uint32_t bytes) {
  const uint32_t warp = index_of(*context.warp);
  if (context.grid->check) {
    if (!all_are(&state_[address], bytes, kWritten)) check_state(context, op, address, lane, bytes, true);
    races_.acquire(warp, synchronous_);
    const auto conflict = races_.write(static_cast<uint32_t>(address), bytes, {warp, Mask{1} << lane, true});
    if (conflict.found) report_race(context, op, address, lane, true, conflict);
    races_.release(warp, synchronous_);
  }
  std::memset(&state_[address], kWritten, bytes);
  return &data_[address];
}

void SharedMemory::begin_copy(Context& context, const Op& op, uint64_t address, uint32_t lane, uint32_t bytes) {
  if (context.grid->check) {
    check_state(context, op, address, lane, bytes, false);
    const auto conflict =
        races_.write(static_cast<uint32_t>(address), bytes, {index_of(*context.warp), Mask{1} << lane, false});
    if (conflict.found) report_race(context, op, address, lane, true, conflict);
  }
  std::memset(&state_[address], kInFlight, bytes);
}

void SharedMemory::end_copy(Context& context, uint64_t address, uint32_t lane, uint32_t bytes,
                            const std::byte* values) {
  if (context.grid->check) {
    races_.write(static_cast<uint32_t>(address), bytes, {index_of(*context.warp), Mask{1} << lane, false});
  }
  std::memcpy(&data_[address], values, bytes);
  std::memset(&state_[address], kWritten, bytes);
}

void SharedMemory::check_state(Context& context, const Op& op, uint64_t address, uint32_t lane, uint32_t bytes,
                               bool is_read) {
  const auto begin = state_.begin() + static_cast<ptrdiff_t>(address), end = begin + bytes;
  if (std::find(begin, end, kInFlight) != end) {
    context.report(FindingKind::missing_wait, op, Mask{1} << lane, lane, address, [&] {
      return fmt::format("{} of {} bytes at shared address {:#x}, to which an asynchronous copy is in flight",
                         is_read ? "read" : "write", bytes, address);
    });
  } else if (is_read) {
    context.report(FindingKind::unwritten_read, op, Mask{1} << lane, lane, address, [&] {
      const auto missing = std::find(begin, end, kUnwritten) - begin;
      return fmt::format("read of {} bytes at shared address {:#x}, byte {} of which nothing was written to", bytes,
                         address, missing);
    });
  }
}

void SharedMemory::report_race(Context& context, const Op& op, uint64_t address, uint32_t lane, bool writes,
                               const Races::Conflict& conflict) {
  context.report(FindingKind::shared_race, op, Mask{1} << lane, lane, address, [&] {
    const auto other = thread_of(*context.block, conflict.warp, conflict.lane);
    return fmt::format("{} shared address {:#x}, which thread ({}, {}, {}) {} without a barrier between",
                       writes ? "writes" : "reads", address, other[0], other[1], other[2],
                       conflict.wrote ? "wrote" : "read");
  });
}

}  // namespace wkv::emulator
