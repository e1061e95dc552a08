// A warp's loads and stores, by state space: bounds, alignment, never-written memory, and what is counted of them.
#include <algorithm>
#include <cstring>

#include "harness/emulator/access_checks.hpp"
#include "harness/emulator/block.hpp"
#include "harness/emulator/coalescing.hpp"
#include "harness/emulator/context.hpp"
#include "harness/emulator/global_access.hpp"
#include "harness/emulator/lane_values.hpp"

namespace wkv::emulator {
namespace {

Space space_of(uint64_t generic_address) {
  switch (generic_address >> 48) {
    case kSharedWindow >> 48:
      return Space::shared;
    case kLocalWindow >> 48:
      return Space::local;
    case kParameterWindow >> 48:
      return Space::param;
    default:
      return Space::global;
  }
}

// Calls body(space, addresses in it, lanes) for the space of the operation, or for each that a generic address says.
template <class Body>
void for_each_space(Context& context, const Op& op, const uint64_t* addresses, Mask lanes, const Body& body) {
  if (op.space != Space::generic) return body(op.space, addresses, lanes);
  for (bool first = true; lanes; first = false) {
    const Space space = space_of(addresses[first_lane(lanes)]);
    uint64_t local[kLanes];
    Mask same = 0;
    for (Mask rest = lanes; rest; rest &= rest - 1) {
      const uint32_t lane = first_lane(rest);
      if (space_of(addresses[lane]) != space) continue;
      same |= Mask{1} << lane;
      const bool windowed = space == Space::shared || space == Space::local;
      local[lane] = windowed ? addresses[lane] & (kWindowBytes - 1) : addresses[lane];
    }
    if (first && space != Space::global) {  // it was counted as global
      auto& warps = context.counters->warp_instructions;
      auto& counted = context.counters->lane_instructions;
      const auto global = static_cast<size_t>(InstructionClass::global);
      const auto actual = static_cast<size_t>(space == Space::shared  ? InstructionClass::shared
                                              : space == Space::local ? InstructionClass::local
                                                                      : InstructionClass::parameter);
      if (op.instruction_class == InstructionClass::global) {
        --warps[global];
        ++warps[actual];
        const auto count = count_lanes(lanes);
        counted[global] -= count;
        counted[actual] += count;
      }
    }
    body(space, local, same);
    lanes &= ~same;
  }
}

uint64_t local_size(const Context& context) { return context.frame->local_base + context.frame->function->local_bytes; }

Mask load_local(Context& context, const Op& op, const Accesses& accesses, std::byte* values) {
  const uint32_t bytes = accesses.bytes;
  const Mask lanes = lanes_below(context, op, Space::local, accesses, local_size(context), false);
  for (Mask rest = lanes; rest; rest &= rest - 1) {
    const uint32_t lane = first_lane(rest);
    const auto offset = static_cast<uint32_t>(accesses.addresses[lane]);
    const uint8_t* written = context.warp->local_written(lane, offset);
    // nvcc -G keeps every variable in local memory and copies objects whole, with padding that nobody wrote.
    const bool check = context.grid->check && !context.grid->module->is_debug;
    if (check && !all_bytes_are(written, bytes, 1)) {
      context.report(FindingKind::unwritten_read, op, Mask{1} << lane, lane, offset,
                     [&] { return access_text(false, bytes, Space::local, offset) + ", where nothing was written"; });
    }
    copy_value(values + size_t{lane} * bytes, context.warp->local(lane, offset), bytes);
  }
  context.counters->local_load_bytes += uint64_t{bytes} * count_lanes(lanes);
  return lanes;
}

void store_local(Context& context, const Op& op, const Accesses& accesses, const std::byte* values) {
  const uint32_t bytes = accesses.bytes;
  const Mask lanes = lanes_below(context, op, Space::local, accesses, local_size(context), true);
  for (Mask rest = lanes; rest; rest &= rest - 1) {
    const uint32_t lane = first_lane(rest);
    const auto offset = static_cast<uint32_t>(accesses.addresses[lane]);
    copy_value(context.warp->local(lane, offset), values + size_t{lane} * bytes, bytes);
    std::memset(context.warp->local_written(lane, offset), 1, bytes);
  }
  context.counters->local_store_bytes += uint64_t{bytes} * count_lanes(lanes);
}

// The kernel's parameters lie in their window, those of device functions and of calls at small addresses.
Mask load_parameter(Context& context, const Op& op, const Accesses& accesses, std::byte* values) {
  const uint32_t bytes = accesses.bytes;
  const bool is_kernel = accesses.first() >= kParameterWindow;
  uint64_t offsets[kLanes];
  const uint64_t window = is_kernel ? kParameterWindow : 0;
  for (uint32_t lane = 0; lane < kLanes; ++lane) offsets[lane] = accesses.addresses[lane] - window;
  const uint64_t size = is_kernel ? context.grid->parameters.size() : context.frame->function->parameter_bytes;
  const Mask lanes = lanes_below(context, op, Space::param, Accesses(offsets, accesses.lanes, bytes), size, false);
  for (Mask rest = lanes; rest; rest &= rest - 1) {
    const uint32_t lane = first_lane(rest);
    const std::byte* from = is_kernel ? &context.grid->parameters[offsets[lane]]
                                      : context.frame->parameter(lane, static_cast<uint32_t>(offsets[lane]));
    copy_value(values + size_t{lane} * bytes, from, bytes);
  }
  return lanes;
}

void store_parameter(Context& context, const Op& op, const Accesses& accesses, const std::byte* values) {
  const uint32_t first = first_lane(accesses.lanes), bytes = accesses.bytes;
  if (accesses.first() >= kParameterWindow) {
    return context.report(FindingKind::read_only_write, op, accesses.lanes, first, accesses.first(),
                          [&] { return access_text(true, bytes, Space::param, accesses.first() - kParameterWindow); });
  }
  const uint32_t size = context.frame->function->parameter_bytes;
  const Mask lanes = lanes_below(context, op, Space::param, accesses, size, true);
  for (Mask rest = lanes; rest; rest &= rest - 1) {
    const uint32_t lane = first_lane(rest);
    std::memcpy(context.frame->parameter(lane, static_cast<uint32_t>(accesses.addresses[lane])),
                values + size_t{lane} * bytes, bytes);
  }
}

// An access to shared memory as far as it is in order.
bool keep_shared(Context& context, const Op& op, Accesses& accesses, bool writes) {
  return accesses.keep(lanes_below(context, op, Space::shared, accesses, context.block->shared().size(), writes));
}

}  // namespace

void Context::load(const Op& op, const uint64_t* all_addresses, Mask all_lanes, uint32_t bytes, std::byte* values) {
  if (op.flags & kVolatile) warp->note_synchronous();
  for_each_space(*this, op, all_addresses, all_lanes, [&](Space space, const uint64_t* addresses, Mask lanes) {
    Accesses accesses(addresses, lanes, bytes);
    Mask done = 0;
    if (accesses.keep(aligned_lanes(*this, op, space, accesses, false))) {
      if (space == Space::shared) {
        if (keep_shared(*this, op, accesses, false)) block->shared().load(*this, op, accesses, values);
        done = accesses.lanes;
      } else if (space == Space::local) {
        done = load_local(*this, op, accesses, values);
      } else if (space == Space::param) {
        done = load_parameter(*this, op, accesses, values);
      } else {
        done = load_global(*this, op, space, accesses, values);
      }
    }
    for (Mask rest = lanes & ~done; rest; rest &= rest - 1) {
      std::memset(values + size_t{first_lane(rest)} * bytes, 0, bytes);
    }
  });
}

void Context::store(const Op& op, const uint64_t* all_addresses, Mask all_lanes, uint32_t bytes,
                    const std::byte* values) {
  if (op.flags & kVolatile) warp->note_synchronous();
  for_each_space(*this, op, all_addresses, all_lanes, [&](Space space, const uint64_t* addresses, Mask lanes) {
    Accesses accesses(addresses, lanes, bytes);
    if (!accesses.keep(aligned_lanes(*this, op, space, accesses, true))) return;
    if (space == Space::shared) {
      if (keep_shared(*this, op, accesses, true)) block->shared().store(*this, op, accesses, values);
    } else if (space == Space::local) {
      store_local(*this, op, accesses, values);
    } else if (space == Space::param) {
      store_parameter(*this, op, accesses, values);
    } else {
      store_global(*this, op, space, accesses, values);
    }
  });
}

void Context::copy_async(const Op& op, const uint64_t* all_addresses, Mask all_lanes, uint32_t bytes,
                         const std::byte* values) {
  for_each_space(*this, op, all_addresses, all_lanes, [&](Space space, const uint64_t* addresses, Mask lanes) {
    Accesses accesses(addresses, lanes, bytes);
    if (!accesses.keep(aligned_lanes(*this, op, space, accesses, true))) return;
    if (!keep_shared(*this, op, accesses, true)) return;
    block->shared().count_store(*this, accesses);
    for (Mask rest = accesses.lanes; rest; rest &= rest - 1) {
      const uint32_t lane = first_lane(rest);
      block->copies().begin(*this, op, lane, addresses[lane], values + size_t{lane} * bytes, bytes);
    }
  });
}

void Context::atomic(const Op& op, const uint64_t* all_addresses, Mask all_lanes, uint32_t bytes, std::byte** places) {
  warp->note_synchronous();
  for (Mask rest = all_lanes; rest; rest &= rest - 1) places[first_lane(rest)] = nullptr;
  for_each_space(*this, op, all_addresses, all_lanes, [&](Space space, const uint64_t* addresses, Mask lanes) {
    Accesses accesses(addresses, lanes, bytes);
    if (!accesses.keep(aligned_lanes(*this, op, space, accesses, true))) return;
    if (space == Space::shared && !keep_shared(*this, op, accesses, true)) return;
    Mask done = 0;
    for (Mask rest = accesses.lanes; rest; rest &= rest - 1) {
      const uint32_t lane = first_lane(rest);
      places[lane] = space == Space::shared ? block->shared().atomic(*this, op, addresses[lane], lane, bytes)
                                            : atomic_place(*this, op, space, addresses[lane], lane, bytes);
      done |= Mask{places[lane] != nullptr} << lane;
    }
    if (space == Space::shared || !accesses.keep(done)) return;
    counters->global_atomic_sectors += count_sectors(accesses);
    counters->global_atomic_bytes += uint64_t{bytes} * count_lanes(done);
  });
}

}  // namespace wkv::emulator
