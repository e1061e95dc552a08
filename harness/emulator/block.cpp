#include "harness/emulator/block.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace wkv::emulator {
namespace {

constexpr uint32_t kQuantum = 1024;  // instructions that a warp runs before the next has its turn

void store_reduction(const Op& op, Frame& frame, Mask lanes, bool truth, uint32_t count) {
  if (op.dst[0] == kNone) return;
  std::byte* to = frame.registers + op.dst[0];
  if (static_cast<Block::Reduction>(op.flags) == Block::Reduction::count) {
    for (; lanes; lanes &= lanes - 1) std::memcpy(to + size_t{first_lane(lanes)} * sizeof count, &count, sizeof count);
    return;
  }
  Mask predicate;
  std::memcpy(&predicate, to, sizeof predicate);
  predicate = truth ? predicate | lanes : predicate & ~lanes;
  std::memcpy(to, &predicate, sizeof predicate);
}

}  // namespace

std::array<uint32_t, 3> thread_of(const Block& block, uint32_t warp, uint32_t lane) { return block.thread(warp, lane); }

Block::Block(const Grid& grid) : grid_(grid) {
  for (const auto& function : grid.module->functions) counts_.emplace_back(function->ops.size());
  const uint32_t threads = grid.block.x * grid.block.y * grid.block.z;
  warps_.resize((threads + kLanes - 1) / kLanes);
  context_.block = this;
  context_.grid = &grid;
  context_.counters = &counters_;
  context_.log = &log_;
}

std::array<uint32_t, 3> Block::thread(uint32_t warp, uint32_t lane) const {
  const uint32_t linear = warp * kLanes + lane;
  const uint32_t row = linear / grid_.block.x;
  return {linear % grid_.block.x, row % grid_.block.y, row / grid_.block.y};
}

void Block::start(uint64_t index) {
  index_ = index;
  const uint64_t row = index / grid_.grid.x;
  coordinates_ = {static_cast<uint32_t>(index % grid_.grid.x), static_cast<uint32_t>(row % grid_.grid.y),
                  static_cast<uint32_t>(row / grid_.grid.y)};
  abort_ = false;
  budget_ = grid_.instruction_limit;
  shared_.start(grid_.shared_bytes, grid_.module->reserved_shared_bytes, grid_.shared_granule, warp_count());
  copies_.start(warp_count());
  barriers_.fill({});
  const uint32_t threads = grid_.block.x * grid_.block.y * grid_.block.z;
  for (uint32_t i = 0; i < warp_count(); ++i) {
    const uint32_t lanes = std::min(kLanes, threads - i * kLanes);
    warps_[i].start(*this, grid_, i, kFull >> (kLanes - lanes));
  }
  ++counters_.blocks;
  counters_.warps += warp_count();
}

bool Block::advance() {
  if (abort_ || live_warps() == 0) return false;
  return turn() || abort_ || recover();
}

// False if no warp could run.
bool Block::turn() {
  bool any = false;
  for (Warp& warp : warps_) {
    const uint32_t used = kQuantum - warp.run(context_, kQuantum);
    any = any || used > 0;
    if (abort_) return true;
    if (budget_ < used) {
      const Op& op = context_.ops[context_.pc];
      const Mask lanes = context_.active ? context_.active : 1;
      context_.report(FindingKind::endless_loop, op, lanes, first_lane(lanes), 0, [&] {
        return fmt::format("the block has executed its limit of {} warp instructions", grid_.instruction_limit);
      });
      abort();
      return true;
    }
    budget_ -= used;
  }
  return any;
}

// Nothing can go on: lets lanes go on that only wait for others of their warp, or says that the block is stuck.
bool Block::recover() {
  for (Warp& warp : warps_) {
    if (warp.force_joins()) return true;
  }
  for (Warp& warp : warps_) {
    if (warp.give_up_gathering(context_)) return true;
  }
  for (Warp& warp : warps_) {
    uint32_t lane = 0;
    const Op* op = warp.waiting_op(&lane);
    if (!op) continue;
    context_.warp = &warp;
    context_.report(FindingKind::deadlock, *op, Mask{1} << lane, lane, 0, [&] {
      return fmt::format("waits for ever; {} warps of the block are left and all wait", live_warps());
    });
    return false;
  }
  return false;
}

uint32_t Block::live_warps() const {
  return static_cast<uint32_t>(
      std::count_if(warps_.begin(), warps_.end(), [](const Warp& w) { return w.live() != 0; }));
}

void Block::arrive(Context& context, const Op& op, Mask lanes, uint32_t index, uint32_t warps, bool waits) {
  Barrier& barrier = barriers_[index];
  const uint32_t warp = context.warp->index();
  barrier.expected = warps;
  if (waits) {
    context.warp->wait_at_barrier(context, op, lanes, index);
    if (!context.warp->all_at_barrier(index)) return;
    barrier.arrived |= 1u << warp;
  }
  ++barrier.arrivals;
  shared_.races().release(warp, barrier.clocks);
  try_complete(index);
}

void Block::contribute(uint32_t index, Mask lanes, Mask predicate) {
  Barrier& barrier = barriers_[index];
  barrier.all = barrier.all && (lanes & ~predicate) == 0;
  barrier.any = barrier.any || (lanes & predicate) != 0;
  barrier.count += count_lanes(lanes & predicate);
}

void Block::warp_changed() {
  for (uint32_t index = 0; index < kBarriers; ++index) {
    Barrier& barrier = barriers_[index];
    for (const Warp& warp : warps_) {
      if ((barrier.arrived >> warp.index() & 1) || !warp.all_at_barrier(index)) continue;
      barrier.arrived |= 1u << warp.index();
      ++barrier.arrivals;
      shared_.races().release(warp.index(), barrier.clocks);
    }
    if (barrier.arrivals) try_complete(index);
  }
}

void Block::try_complete(uint32_t index) {
  const Barrier& barrier = barriers_[index];
  if (barrier.arrivals >= (barrier.expected ? barrier.expected : live_warps())) complete(index);
}

void Block::complete(uint32_t index) {
  const Barrier barrier = barriers_[index];
  barriers_[index] = {};
  ++counters_.barriers;
  for (Warp& warp : warps_) {
    if (!(barrier.arrived >> warp.index() & 1)) continue;
    shared_.races().acquire(warp.index(), barrier.clocks);
    shared_.races().sync_lanes(warp.index(), kFull);
    warp.leave_barrier(index, [&](const Op& op, Frame& frame, Mask lanes) {
      const bool all = static_cast<Reduction>(op.flags) == Reduction::all;
      store_reduction(op, frame, lanes, all ? barrier.all : barrier.any, barrier.count);
    });
  }
}

void Block::sum_up() {
  for (const auto& function : grid_.module->functions) {
    const std::vector<OpCount>& counts = counts_[function->index];
    for (size_t i = 0; i + 1 < counts.size(); ++i) {  // the last is the decoder's own
      const auto index = static_cast<size_t>(function->ops[i].instruction_class);
      counters_.warp_instructions[index] += counts[i].warps;
      counters_.lane_instructions[index] += counts[i].lanes;
      counters_.flops += counts[i].lanes * function->ops[i].flops;
    }
  }
}

bool Context::is_new(FindingKind kind, const Op& op, Mask lanes) {
  return log->is_new(kind, op.line, block->index(), count_lanes(lanes));
}

void Context::add_finding(FindingKind kind, const Op& op, Mask lanes, uint32_t lane, uint64_t address,
                          std::string text) {
  Finding finding;
  finding.kind = kind;
  finding.kernel = grid->entry->name;
  finding.line = op.line;
  finding.source = grid->module->source(op.location);
  finding.block = block->coordinates();
  finding.thread = block->thread(warp->index(), lane);
  finding.address = address;
  finding.count = count_lanes(lanes);
  finding.text = std::move(text);
  log->add(std::move(finding), block->index());
}

void Context::abort() {
  leave = true;
  block->abort();
}

}  // namespace wkv::emulator
