// A warp's loads and stores, by state space: bounds, alignment, never-written memory, and what is counted of them.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "harness/emulator/block.hpp"
#include "harness/emulator/coalescing.hpp"
#include "harness/emulator/context.hpp"

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
        const auto count = static_cast<uint32_t>(std::popcount(lanes));
        counted[global] -= count;
        counted[actual] += count;
      }
    }
    body(space, local, same);
    lanes &= ~same;
  }
}

std::string access_text(bool writes, uint32_t bytes, Space space, uint64_t address) {
  return fmt::format("{} of {} bytes at {} address {:#x}", writes ? "write" : "read", bytes, name_of(space), address);
}

// Removes lanes whose address is not a multiple of the access's size. Values of 12 bytes and the like do not exist.
Mask aligned_lanes(Context& context, const Op& op, Space space, const uint64_t* addresses, Mask lanes, uint32_t bytes,
                   bool writes) {
  Mask wrong = 0;
  for (Mask rest = lanes; rest; rest &= rest - 1) {
    const uint32_t lane = first_lane(rest);
    wrong |= Mask{(addresses[lane] & (bytes - 1)) != 0} << lane;
  }
  if (wrong && context.grid->check) {
    const uint32_t lane = first_lane(wrong);
    context.report(FindingKind::misaligned, op, wrong, lane, addresses[lane],
                   [&] { return access_text(writes, bytes, space, addresses[lane]); });
  }
  return context.grid->check ? lanes & ~wrong : lanes;
}

// Removes lanes that do not lie in [0, size) of a space with small addresses.
Mask lanes_below(Context& context, const Op& op, Space space, const uint64_t* addresses, Mask lanes, uint32_t bytes,
                 uint64_t size, bool writes) {
  Mask wrong = 0;
  for (Mask rest = lanes; rest; rest &= rest - 1) {
    const uint32_t lane = first_lane(rest);
    wrong |= Mask{addresses[lane] > size || size - addresses[lane] < bytes} << lane;
  }
  if (wrong) {
    const uint32_t lane = first_lane(wrong);
    context.report(FindingKind::out_of_bounds, op, wrong, lane, addresses[lane], [&] {
      return fmt::format("{}, of which there are {} bytes", access_text(writes, bytes, space, addresses[lane]), size);
    });
  }
  return lanes & ~wrong;
}

Allocation* allocation_of(Context& context, uint64_t address, uint32_t bytes) {
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

// Global and constant memory. Returns the lanes that loaded.
Mask load_global(Context& context, const Op& op, Space space, const uint64_t* addresses, Mask lanes, uint32_t bytes,
                 std::byte* values) {
  Mask done = 0;
  for (Mask rest = lanes; rest; rest &= rest - 1) {
    const uint32_t lane = first_lane(rest);
    const uint64_t address = addresses[lane];
    const Allocation* allocation = allocation_of(context, address, bytes);
    if (!allocation) {
      report_unmapped(context, op, space, address, lane, bytes, false);
      continue;
    }
    done |= Mask{1} << lane;
    if (!allocation->all_written && context.grid->check && !allocation->is_written(address, bytes)) {
      context.report(FindingKind::unwritten_read, op, Mask{1} << lane, lane, address, [&] {
        return fmt::format("{}, {}, where nothing was written", access_text(false, bytes, space, address),
                           context.grid->memory->describe(address));
      });
    }
    std::memcpy(values + size_t{lane} * bytes, allocation->data + (address - allocation->begin), bytes);
  }
  if (space == Space::global && done) {
    ++context.counters->global_load_requests;
    context.counters->global_load_sectors += count_sectors(addresses, done, bytes);
    context.counters->global_load_bytes += uint64_t{bytes} * static_cast<uint32_t>(std::popcount(done));
  }
  return done;
}

void store_global(Context& context, const Op& op, Space space, const uint64_t* addresses, Mask lanes, uint32_t bytes,
                  const std::byte* values) {
  Mask done = 0;
  for (Mask rest = lanes; rest; rest &= rest - 1) {
    const uint32_t lane = first_lane(rest);
    const uint64_t address = addresses[lane];
    Allocation* allocation = allocation_of(context, address, bytes);
    if (!allocation) {
      report_unmapped(context, op, space, address, lane, bytes, true);
      continue;
    }
    if (allocation->read_only) {
      context.report(FindingKind::read_only_write, op, Mask{1} << lane, lane, address, [&] {
        return fmt::format("{}, {}", access_text(true, bytes, space, address), context.grid->memory->describe(address));
      });
      continue;
    }
    done |= Mask{1} << lane;
    std::memcpy(allocation->data + (address - allocation->begin), values + size_t{lane} * bytes, bytes);
    if (!allocation->all_written) std::memset(allocation->written + (address - allocation->begin), 1, bytes);
  }
  if (done) {
    ++context.counters->global_store_requests;
    context.counters->global_store_sectors += count_sectors(addresses, done, bytes);
    context.counters->global_store_bytes += uint64_t{bytes} * static_cast<uint32_t>(std::popcount(done));
  }
}

uint64_t local_size(const Context& context) { return context.frame->local_base + context.frame->function->local_bytes; }

Mask load_local(Context& context, const Op& op, const uint64_t* addresses, Mask lanes, uint32_t bytes,
                std::byte* values) {
  lanes = lanes_below(context, op, Space::local, addresses, lanes, bytes, local_size(context), false);
  for (Mask rest = lanes; rest; rest &= rest - 1) {
    const uint32_t lane = first_lane(rest);
    const auto offset = static_cast<uint32_t>(addresses[lane]);
    const uint8_t* written = context.warp->local_written(lane, offset);
    if (context.grid->check && std::find(written, written + bytes, uint8_t{0}) != written + bytes) {
      context.report(FindingKind::unwritten_read, op, Mask{1} << lane, lane, offset, [&] {
        return fmt::format("{}, where nothing was written", access_text(false, bytes, Space::local, offset));
      });
    }
    std::memcpy(values + size_t{lane} * bytes, context.warp->local(lane, offset), bytes);
  }
  context.counters->local_load_bytes += uint64_t{bytes} * static_cast<uint32_t>(std::popcount(lanes));
  return lanes;
}

void store_local(Context& context, const Op& op, const uint64_t* addresses, Mask lanes, uint32_t bytes,
                 const std::byte* values) {
  lanes = lanes_below(context, op, Space::local, addresses, lanes, bytes, local_size(context), true);
  for (Mask rest = lanes; rest; rest &= rest - 1) {
    const uint32_t lane = first_lane(rest);
    const auto offset = static_cast<uint32_t>(addresses[lane]);
    std::memcpy(context.warp->local(lane, offset), values + size_t{lane} * bytes, bytes);
    std::memset(context.warp->local_written(lane, offset), 1, bytes);
  }
  context.counters->local_store_bytes += uint64_t{bytes} * static_cast<uint32_t>(std::popcount(lanes));
}

// The kernel's parameters lie in their window, those of device functions and of calls at small addresses.
Mask load_parameter(Context& context, const Op& op, const uint64_t* addresses, Mask lanes, uint32_t bytes,
                    std::byte* values) {
  const bool is_kernel = addresses[first_lane(lanes)] >= kParameterWindow;
  uint64_t offsets[kLanes];
  for (Mask rest = lanes; rest; rest &= rest - 1) {
    const uint32_t lane = first_lane(rest);
    offsets[lane] = is_kernel ? addresses[lane] - kParameterWindow : addresses[lane];
  }
  const uint64_t size = is_kernel ? context.grid->parameters.size() : context.frame->function->parameter_bytes;
  lanes = lanes_below(context, op, Space::param, offsets, lanes, bytes, size, false);
  for (Mask rest = lanes; rest; rest &= rest - 1) {
    const uint32_t lane = first_lane(rest);
    const std::byte* from = is_kernel ? &context.grid->parameters[offsets[lane]]
                                      : context.frame->parameter(lane, static_cast<uint32_t>(offsets[lane]));
    std::memcpy(values + size_t{lane} * bytes, from, bytes);
  }
  return lanes;
}

void store_parameter(Context& context, const Op& op, const uint64_t* addresses, Mask lanes, uint32_t bytes,
                     const std::byte* values) {
  const uint32_t first = first_lane(lanes);
  if (addresses[first] >= kParameterWindow) {
    return context.report(FindingKind::read_only_write, op, lanes, first, addresses[first],
                          [&] { return access_text(true, bytes, Space::param, addresses[first] - kParameterWindow); });
  }
  lanes =
      lanes_below(context, op, Space::param, addresses, lanes, bytes, context.frame->function->parameter_bytes, true);
  for (Mask rest = lanes; rest; rest &= rest - 1) {
    const uint32_t lane = first_lane(rest);
    std::memcpy(context.frame->parameter(lane, static_cast<uint32_t>(addresses[lane])), values + size_t{lane} * bytes,
                bytes);
  }
}

}  // namespace

void Context::load(const Op& op, const uint64_t* all_addresses, Mask all_lanes, uint32_t bytes, std::byte* values) {
  if (op.flags & kVolatile) warp->note_synchronous();
  for_each_space(*this, op, all_addresses, all_lanes, [&](Space space, const uint64_t* addresses, Mask lanes) {
    Mask done = aligned_lanes(*this, op, space, addresses, lanes, bytes, false);
    if (space == Space::shared) {
      done = lanes_below(*this, op, space, addresses, done, bytes, block->shared().size(), false);
      if (done) block->shared().load(*this, op, addresses, done, bytes, values);
    } else if (space == Space::local) {
      done = load_local(*this, op, addresses, done, bytes, values);
    } else if (space == Space::param) {
      if (done) done = load_parameter(*this, op, addresses, done, bytes, values);
    } else {
      done = load_global(*this, op, space, addresses, done, bytes, values);
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
    lanes = aligned_lanes(*this, op, space, addresses, lanes, bytes, true);
    if (!lanes) return;
    if (space == Space::shared) {
      lanes = lanes_below(*this, op, space, addresses, lanes, bytes, block->shared().size(), true);
      if (lanes) block->shared().store(*this, op, addresses, lanes, bytes, values);
    } else if (space == Space::local) {
      store_local(*this, op, addresses, lanes, bytes, values);
    } else if (space == Space::param) {
      store_parameter(*this, op, addresses, lanes, bytes, values);
    } else {
      store_global(*this, op, space, addresses, lanes, bytes, values);
    }
  });
}

void Context::atomic(const Op& op, const uint64_t* all_addresses, Mask all_lanes, uint32_t bytes, std::byte** places) {
  warp->note_synchronous();
  for (Mask rest = all_lanes; rest; rest &= rest - 1) places[first_lane(rest)] = nullptr;
  for_each_space(*this, op, all_addresses, all_lanes, [&](Space space, const uint64_t* addresses, Mask lanes) {
    lanes = aligned_lanes(*this, op, space, addresses, lanes, bytes, true);
    if (space == Space::shared) {
      lanes = lanes_below(*this, op, space, addresses, lanes, bytes, block->shared().size(), true);
      for (Mask rest = lanes; rest; rest &= rest - 1) {
        const uint32_t lane = first_lane(rest);
        places[lane] = block->shared().atomic(*this, op, addresses[lane], lane, bytes);
      }
      return;
    }
    Mask done = 0;
    for (Mask rest = lanes; rest; rest &= rest - 1) {
      const uint32_t lane = first_lane(rest);
      Allocation* allocation = allocation_of(*this, addresses[lane], bytes);
      if (!allocation || allocation->read_only || space != Space::global) {
        report_unmapped(*this, op, space, addresses[lane], lane, bytes, true);
        continue;
      }
      if (!allocation->all_written) {
        const uint64_t offset = addresses[lane] - allocation->begin;
        if (grid->check && !allocation->is_written(addresses[lane], bytes)) {
          report(FindingKind::unwritten_read, op, Mask{1} << lane, lane, addresses[lane], [&] {
            return fmt::format("atomic operation on {} bytes, {}, where nothing was written", bytes,
                               grid->memory->describe(addresses[lane]));
          });
        }
        std::memset(allocation->written + offset, 1, bytes);
      }
      places[lane] = allocation->data + (addresses[lane] - allocation->begin);
      done |= Mask{1} << lane;
    }
    counters->global_atomic_sectors += count_sectors(addresses, done, bytes);
    counters->global_atomic_bytes += uint64_t{bytes} * static_cast<uint32_t>(std::popcount(done));
  });
}

void Context::copy_async(const Op& op, const uint64_t* all_addresses, Mask all_lanes, uint32_t bytes,
                         const std::byte* values) {
  for_each_space(*this, op, all_addresses, all_lanes, [&](Space space, const uint64_t* addresses, Mask lanes) {
    lanes = aligned_lanes(*this, op, space, addresses, lanes, bytes, true);
    lanes = lanes_below(*this, op, space, addresses, lanes, bytes, block->shared().size(), true);
    if (!lanes) return;
    const Wavefronts wavefronts = count_wavefronts(addresses, lanes, bytes);
    counters->shared_store_wavefronts += wavefronts.count;
    counters->shared_store_conflicts += wavefronts.conflicts;
    counters->shared_store_bytes += uint64_t{bytes} * static_cast<uint32_t>(std::popcount(lanes));
    for (Mask rest = lanes; rest; rest &= rest - 1) {
      const uint32_t lane = first_lane(rest);
      block->copies().begin(*this, op, lane, addresses[lane], values + size_t{lane} * bytes, bytes);
    }
  });
}

}  // namespace wkv::emulator
