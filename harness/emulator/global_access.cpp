#include "harness/emulator/global_access.hpp"

#include <fmt/format.h>

#include <cstring>

#include "harness/emulator/access_checks.hpp"
#include "harness/emulator/lane_values.hpp"

namespace wkv::emulator {
namespace {

Allocation* allocation_of(Context& context, uint64_t address, uint64_t bytes) {
  Allocation* allocation = context.last_allocation;
  if (allocation && allocation->contains(address, bytes)) return allocation;
  allocation = context.grid->memory->find(address);
  if (!allocation || !allocation->contains(address, bytes)) return nullptr;
  return context.last_allocation = allocation;
}

void report_unmapped(Context& context, const Op& op, Space space, uint64_t address, uint32_t lane, uint32_t bytes,
                     bool writes) {
  context.report(FindingKind::out_of_bounds, op, Mask{1} << lane, lane, address, [&] {
    return fmt::format("{}, {}", access_text(writes, bytes, space, address), context.grid->memory->describe(address));
  });
}

// Where all lanes' bytes lie in one piece that the body can do at once: calls it with the allocation and the number of
// bytes, true if there is such a piece.
template <class Body>
bool at_once(Context& context, const Accesses& accesses, const Body& body) {
  if (accesses.pattern == Pattern::any) return false;
  const uint64_t length = accesses.pattern == Pattern::same ? accesses.bytes : uint64_t{accesses.bytes} * kLanes;
  Allocation* allocation = allocation_of(context, accesses.first(), length);
  return allocation && body(*allocation, length);
}

// One lane's load of global or constant memory. False if there is none.
bool load_lane(Context& context, const Op& op, Space space, uint64_t address, uint32_t lane, uint32_t bytes,
               std::byte* value) {
  const Allocation* allocation = allocation_of(context, address, bytes);
  if (!allocation) {
    report_unmapped(context, op, space, address, lane, bytes, false);
    return false;
  }
  if (!allocation->all_written && context.grid->check && !allocation->is_written(address, bytes)) {
    context.report(FindingKind::unwritten_read, op, Mask{1} << lane, lane, address, [&] {
      return fmt::format("{}, {}, where nothing was written", access_text(false, bytes, space, address),
                         context.grid->memory->describe(address));
    });
  }
  copy_value(value, allocation->data + (address - allocation->begin), bytes);
  return true;
}

bool store_lane(Context& context, const Op& op, Space space, uint64_t address, uint32_t lane, uint32_t bytes,
                const std::byte* value) {
  Allocation* allocation = allocation_of(context, address, bytes);
  if (!allocation) {
    report_unmapped(context, op, space, address, lane, bytes, true);
    return false;
  }
  if (allocation->read_only) {
    context.report(FindingKind::read_only_write, op, Mask{1} << lane, lane, address, [&] {
      return fmt::format("{}, {}", access_text(true, bytes, space, address), context.grid->memory->describe(address));
    });
    return false;
  }
  const uint64_t offset = address - allocation->begin;
  copy_value(allocation->data + offset, value, bytes);
  if (!allocation->all_written) std::memset(allocation->written + offset, 1, bytes);
  return true;
}

}  // namespace

Mask load_global(Context& context, const Op& op, Space space, Accesses accesses, std::byte* values) {
  const uint32_t bytes = accesses.bytes;
  const bool done_at_once = at_once(context, accesses, [&](const Allocation& allocation, uint64_t length) {
    if (context.grid->check && !allocation.is_written(accesses.first(), length)) return false;
    const std::byte* from = allocation.data + (accesses.first() - allocation.begin);
    if (accesses.pattern == Pattern::contiguous) {
      std::memcpy(values, from, length);
    } else {
      broadcast(values, accesses.lanes, from, bytes);
    }
    return true;
  });
  if (!done_at_once) {
    Mask done = 0;
    for (Mask rest = accesses.lanes; rest; rest &= rest - 1) {
      const uint32_t lane = first_lane(rest);
      const bool loads =
          load_lane(context, op, space, accesses.addresses[lane], lane, bytes, values + size_t{lane} * bytes);
      done |= Mask{loads} << lane;
    }
    if (!accesses.keep(done)) return 0;
  }
  if (space == Space::global) {
    ++context.counters->global_load_requests;
    context.counters->global_load_sectors += count_sectors(accesses);
    context.counters->global_load_bytes += uint64_t{bytes} * count_lanes(accesses.lanes);
  }
  return accesses.lanes;
}

void store_global(Context& context, const Op& op, Space space, Accesses accesses, const std::byte* values) {
  const uint32_t bytes = accesses.bytes;
  const bool done_at_once = at_once(context, accesses, [&](Allocation& allocation, uint64_t length) {
    if (allocation.read_only || accesses.pattern == Pattern::same) return false;
    const uint64_t offset = accesses.first() - allocation.begin;
    std::memcpy(allocation.data + offset, values, length);
    if (!allocation.all_written) std::memset(allocation.written + offset, 1, length);
    return true;
  });
  if (!done_at_once) {
    Mask done = 0;
    for (Mask rest = accesses.lanes; rest; rest &= rest - 1) {
      const uint32_t lane = first_lane(rest);
      const bool stores =
          store_lane(context, op, space, accesses.addresses[lane], lane, bytes, values + size_t{lane} * bytes);
      done |= Mask{stores} << lane;
    }
    if (!accesses.keep(done)) return;
  }
  ++context.counters->global_store_requests;
  context.counters->global_store_sectors += count_sectors(accesses);
  context.counters->global_store_bytes += uint64_t{bytes} * count_lanes(accesses.lanes);
}

std::byte* atomic_place(Context& context, const Op& op, Space space, uint64_t address, uint32_t lane, uint32_t bytes) {
  Allocation* allocation = space == Space::global ? allocation_of(context, address, bytes) : nullptr;
  if (!allocation || allocation->read_only) {
    report_unmapped(context, op, space, address, lane, bytes, true);
    return nullptr;
  }
  const uint64_t offset = address - allocation->begin;
  if (!allocation->all_written) {
    if (context.grid->check && !allocation->is_written(address, bytes)) {
      context.report(FindingKind::unwritten_read, op, Mask{1} << lane, lane, address, [&] {
        return fmt::format("atomic operation on {} bytes, {}, where nothing was written", bytes,
                           context.grid->memory->describe(address));
      });
    }
    std::memset(allocation->written + offset, 1, bytes);
  }
  return allocation->data + offset;
}

}  // namespace wkv::emulator
