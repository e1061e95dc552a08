#include "harness/emulator/shared.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "harness/emulator/lane_values.hpp"

namespace wkv::emulator {
namespace {

// Calls body(first lane, lanes) for each run of neighbouring lanes with the same address.
template <class Body>
void for_each_place(const Accesses& accesses, const Body& body) {
  if (accesses.pattern == Pattern::same) return body(first_lane(accesses.lanes), accesses.lanes);
  for (Mask rest = accesses.lanes; rest;) {
    const uint32_t first = first_lane(rest);
    Mask same = 0;
    do {
      same |= rest & -rest;
      rest &= rest - 1;
    } while (rest && accesses.addresses[first_lane(rest)] == accesses.addresses[first]);
    body(first, same);
  }
}

}  // namespace

void SharedMemory::start(uint32_t bytes, uint32_t zeroed, uint32_t granule, uint32_t warps) {
  size_ = bytes;
  data_.assign(bytes, std::byte{0});
  state_.assign(bytes, kUnwritten);
  std::fill_n(state_.begin(), zeroed, kWritten);
  races_.start(bytes, granule, warps);
  synchronous_.fill(0);
}

void SharedMemory::load(Context& context, const Op& op, const Accesses& accesses, std::byte* values) {
  const uint32_t bytes = accesses.bytes;
  const Wavefronts wavefronts = count_wavefronts(accesses);
  context.counters->shared_load_wavefronts += wavefronts.count;
  context.counters->shared_load_conflicts += wavefronts.conflicts;
  context.counters->shared_load_bytes += uint64_t{bytes} * count_lanes(accesses.lanes);
  const bool synchronous = op.flags & kVolatile;
  const uint32_t warp = index_of(*context.warp);
  if (synchronous) races_.acquire(warp, synchronous_);
  for_each_place(accesses, [&](uint32_t first, Mask same) {
    const auto address = static_cast<uint32_t>(accesses.addresses[first]);
    if (context.grid->check) {
      if (!all_bytes_are(&state_[address], bytes, kWritten)) check_state(context, op, address, first, bytes, true);
      const auto conflict = races_.read(address, bytes, {warp, same, synchronous});
      if (conflict.found) report_race(context, op, address, first, false, conflict);
    }
    broadcast(values, same, &data_[address], bytes);
  });
}

void SharedMemory::count_store(Context& context, const Accesses& accesses) {
  const Wavefronts wavefronts = count_wavefronts(accesses);
  context.counters->shared_store_wavefronts += wavefronts.count;
  context.counters->shared_store_conflicts += wavefronts.conflicts;
  context.counters->shared_store_bytes += uint64_t{accesses.bytes} * count_lanes(accesses.lanes);
}

void SharedMemory::store(Context& context, const Op& op, const Accesses& accesses, const std::byte* values) {
  count_store(context, accesses);
  const uint32_t bytes = accesses.bytes;
  const bool synchronous = op.flags & kVolatile;
  const uint32_t warp = index_of(*context.warp);
  for (Mask rest = accesses.lanes; rest; rest &= rest - 1) {
    const uint32_t lane = first_lane(rest);
    const auto address = static_cast<uint32_t>(accesses.addresses[lane]);
    const std::byte* value = values + size_t{lane} * bytes;
    if (context.grid->check) {
      // Whoever stores the value that is there already does no harm, as when many threads set one flag.
      const bool changes =
          std::memcmp(&data_[address], value, bytes) != 0 || !all_bytes_are(&state_[address], bytes, kWritten);
      if (changes) check_state(context, op, address, lane, bytes, false);
      const auto conflict = races_.write(address, bytes, {warp, Mask{1} << lane, synchronous});
      if (conflict.found && changes) report_race(context, op, address, lane, true, conflict);
    }
    copy_value(&data_[address], value, bytes);
    std::memset(&state_[address], kWritten, bytes);
  }
  if (synchronous) races_.release(warp, synchronous_);
}

std::byte* SharedMemory::atomic(Context& context, const Op& op, uint64_t address, uint32_t lane, uint32_t bytes) {
  const uint32_t warp = index_of(*context.warp);
  if (context.grid->check) {
    if (!all_bytes_are(&state_[address], bytes, kWritten)) check_state(context, op, address, lane, bytes, true);
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

void SharedMemory::end_copy(Context& context, uint32_t warp, uint64_t address, uint32_t lane, uint32_t bytes,
                            const std::byte* values) {
  if (context.grid->check) {
    races_.write(static_cast<uint32_t>(address), bytes, {warp, Mask{1} << lane, false});
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
