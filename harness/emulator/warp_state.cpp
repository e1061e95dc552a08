#include "harness/emulator/warp_state.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "harness/emulator/block.hpp"

namespace wkv::emulator {
namespace {

// Instructions after which lanes that wait at a join go on without a group that might spin on memory which they have to
// write: threads of a warp make progress on their own.
constexpr uint32_t kStarved = 8192;

}  // namespace

Warp::Warp() = default;
Warp::~Warp() = default;
Warp::Warp(Warp&&) noexcept = default;

uint32_t index_of(const Warp& warp) { return warp.index(); }

void Warp::start(Block& block, const Grid& grid, uint32_t index, Mask live) {
  block_ = &block;
  grid_ = &grid;
  index_ = index;
  live_ = live;
  starved_ = 0;
  forced_ = false;
  joins_.clear();
  groups_.clear();
  while (!frames_.empty()) {
    free_frames_.push_back(std::move(frames_.back()));
    frames_.pop_back();
  }
  groups_.push_back({.pc = 0, .active = live, .frame = new_frame(*grid.entry, nullptr, live)});
}

Warp::Group Warp::running(const Context& context) const {
  return {.pc = context.pc, .active = context.active, .join = context.join, .frame = context.frame};
}

void Warp::set_join(Context& context, int32_t join) {
  context.join = join;
  context.join_pc = join < 0 ? kNone : joins_[static_cast<size_t>(join)].pc;
}

void Warp::enter(Context& context, const Group& group) {
  context.warp = this;
  context.frame = group.frame;
  context.registers = group.frame->registers;
  context.ops = group.frame->function->ops.data();
  context.counts = block_->counts(group.frame->function->index);
  context.pc = group.pc;
  context.active = group.active;
  set_join(context, group.join);
  context.leave = false;
}

uint32_t Warp::run(Context& context, uint32_t quantum) {
  asleep_ = false;
  while (quantum > 0 && !asleep_ && !block_->aborted() && resume(context)) {
    const uint32_t before = quantum;
    quantum = step(context, quantum);
    if (context.leave && !asleep_) {  // the group has gone or waits
      starved_ = 0;
      continue;
    }
    groups_.insert(groups_.begin(), running(context));  // others that are ready come first now
    const bool spins = synchronous_ && std::any_of(joins_.begin(), joins_.end(), [](const Join& j) { return j.used; });
    starved_ = spins ? starved_ + before - quantum : 0;
    synchronous_ = false;
    if (starved_ > kStarved) force_joins();
  }
  return quantum;
}

// Executes the group until it leaves or the quantum is used up.
uint32_t Warp::step(Context& context, uint32_t quantum) {
  while (quantum > 0) {
    const Op& op = context.ops[context.pc];
    Mask lanes = context.active;
    if (op.guard != kNone) {
      Mask predicate;
      std::memcpy(&predicate, context.registers + op.guard, sizeof predicate);
      lanes &= predicate ^ op.guard_flip;
    }
    OpCount& count = context.counts[context.pc];
    ++count.warps;
    count.lanes += count_lanes(lanes);
    ++context.pc;
    --quantum;
    op.run(context, op, lanes);
    if (context.leave) return quantum;
    if (context.pc == context.join_pc) [[unlikely]] {
      context.leave = true;
      arrive(context.join, context.active);
      return quantum;
    }
  }
  return quantum;
}

bool Warp::resume(Context& context) {
  for (size_t i = groups_.size(); i-- > 0;) {
    const Group group = groups_[i];
    if (group.state != State::ready) continue;
    groups_.erase(groups_.begin() + static_cast<ptrdiff_t>(i));
    if (group.join >= 0 && joins_[static_cast<size_t>(group.join)].pc == group.pc) {  // it waited just in front of it
      arrive(group.join, group.active);
      i = groups_.size();
      continue;
    }
    enter(context, group);
    return true;
  }
  for (size_t i = groups_.size(); i-- > 0;) {
    if (groups_[i].state == State::gathering && resume_gathered(context, i)) return true;
  }
  return false;
}

// The instruction runs once for the lanes of all groups that wait at it, then each group goes on by itself.
bool Warp::resume_gathered(Context& context, size_t first) {
  const Group group = groups_[first];
  const auto together = [&](const Group& other) {
    if (other.state != State::gathering || other.op->run != group.op->run) return false;
    const bool same_place = other.frame == group.frame && other.pc == group.pc;
    return same_place || (group.op->flags & kMeetsAnywhere);
  };
  Mask lanes = 0, needed = 0, active = 0;
  for (const Group& other : groups_) {
    if (!together(other)) continue;
    lanes |= other.lanes;
    needed |= other.needed;
    active |= other.active;
  }
  if (needed & live_ & ~lanes) return false;
  const Mask gone = needed & ~live_;
  Group joint = group;
  joint.active = active;
  joint.join = -1;
  ++joint.pc;
  enter(context, joint);
  if (gone) {
    context.report(FindingKind::warp_sync, *group.op, lanes, first_lane(lanes), 0, [&] {
      return fmt::format("waited for lanes {:#010x} of the member mask, which then ended elsewhere", gone);
    });
  }
  group.op->run(context, *group.op, lanes);
  for (Group& other : groups_) {
    if (!together(other)) continue;
    ++other.pc;
    other.state = State::ready;
  }
  return resume(context);
}

void Warp::branch(Context& context, Mask taken, uint32_t target, uint32_t join) {
  const Mask other = context.active & ~taken;
  if (!taken) return;
  if (!other) {
    context.pc = target;
    return;
  }
  ++context.counters->divergent_branches;
  if (context.join_pc != join) set_join(context, new_join(join, context.active, context.join, context.frame));
  // The way that comes first in the text runs first.
  Group first{.pc = target, .active = taken, .join = context.join, .frame = context.frame};
  Group second{.pc = context.pc, .active = other, .join = context.join, .frame = context.frame};
  if (second.pc < first.pc) std::swap(first, second);
  if (first.pc == join) std::swap(first, second);
  if (second.pc == join) {
    joins_[static_cast<size_t>(context.join)].arrived |= second.active;
  } else {
    groups_.push_back(second);
  }
  context.pc = first.pc;
  context.active = first.active;
}

void Warp::split(Context& context, uint32_t pc, Mask lanes, uint32_t join) {
  if (context.join_pc != join) set_join(context, new_join(join, context.active, context.join, context.frame));
  if (pc == join) {
    joins_[static_cast<size_t>(context.join)].arrived |= lanes;
  } else {
    groups_.push_back({.pc = pc, .active = lanes, .join = context.join, .frame = context.frame});
  }
  context.active &= ~lanes;
}

int32_t Warp::new_join(uint32_t pc, Mask expected, int32_t parent, Frame* frame) {
  const auto free = std::find_if(joins_.begin(), joins_.end(), [](const Join& join) { return !join.used; });
  const auto index = free - joins_.begin();
  if (free == joins_.end()) joins_.emplace_back();
  joins_[static_cast<size_t>(index)] = {pc, expected, 0, parent, frame, true};
  return static_cast<int32_t>(index);
}

void Warp::arrive(int32_t index, Mask lanes) {
  joins_[static_cast<size_t>(index)].arrived |= lanes;
  settle(index);
}

// Lets the lanes go on if all have come; on to the next join if that is at the same place.
void Warp::settle(int32_t index) {
  Join& join = joins_[static_cast<size_t>(index)];
  if (join.arrived != join.expected) return;
  join.used = false;
  if (!join.arrived) return;
  const Group group{.pc = join.pc, .active = join.arrived, .join = join.parent, .frame = join.frame};
  if (group.join >= 0 && joins_[static_cast<size_t>(group.join)].pc == group.pc) {
    arrive(group.join, group.active);
  } else {
    groups_.push_back(group);
  }
}

bool Warp::force_joins() {
  starved_ = 0;
  forced_ = true;
  bool any = false;
  for (size_t i = 0; i < joins_.size(); ++i) {
    Join& join = joins_[i];
    if (!join.used || !join.arrived) continue;
    const Mask waiting = join.arrived;
    join.arrived = 0;
    join.expected &= ~waiting;
    groups_.push_back({.pc = join.pc, .active = waiting, .join = join.parent, .frame = join.frame});
    any = true;
  }
  return any;
}

void Warp::exit(Context& context, Mask lanes) {
  if (!lanes) return;
  live_ &= ~lanes;
  context.active &= ~lanes;
  if (!context.active) context.leave = true;
  for (size_t i = 0; i < joins_.size(); ++i) {
    if (!joins_[i].used || !(joins_[i].expected & lanes)) continue;
    joins_[i].expected &= ~lanes;
    settle(static_cast<int32_t>(i));
  }
  for (size_t i = frames_.size(); i-- > 0;) drop_lanes(*frames_[i], lanes);
  block_->warp_changed();
}

void Warp::call(Context& context, const Op& op, uint32_t function_index, Mask lanes) {
  if (!lanes) return;
  if (lanes != context.active) split(context, context.pc, context.active & ~lanes, context.pc);  // wait behind it
  Frame* caller = context.frame;
  if (caller->depth >= kMaxDepth) {
    context.report(FindingKind::invalid_operation, op, lanes, first_lane(lanes), 0,
                   [&] { return fmt::format("calls are nested deeper than {}", kMaxDepth); });
    return context.abort();
  }
  const Function& function = *grid_->module->functions[function_index];
  if (caller->local_base + caller->function->local_bytes + function.local_bytes > kMaxLocal) {
    context.report(FindingKind::invalid_operation, op, lanes, first_lane(lanes), 0,
                   [&] { return fmt::format("local memory of {} bytes is used up by nested calls", kMaxLocal); });
    return context.abort();
  }
  const CallSite& site = caller->function->calls[op.target];
  Frame* frame = new_frame(function, caller, lanes);
  frame->site = &site;
  frame->return_pc = context.pc;
  frame->return_join = context.join;
  for (size_t i = 0; i < std::min(site.arguments.size(), function.parameters.size()); ++i) {
    const uint32_t bytes = std::min(site.arguments[i].bytes, function.parameters[i].bytes);
    for (Mask rest = lanes; rest; rest &= rest - 1) {
      const uint32_t lane = first_lane(rest);
      std::memcpy(frame->parameter(lane, function.parameters[i].offset),
                  caller->parameter(lane, site.arguments[i].offset), bytes);
    }
  }
  enter(context, {.pc = 0, .active = lanes, .join = -1, .frame = frame});
}

void Warp::return_to_caller(Context& context) {
  Frame* frame = context.frame;
  Frame* caller = frame->caller;
  const CallSite& site = *frame->site;
  for (size_t i = 0; i < std::min(site.results.size(), frame->function->results.size()); ++i) {
    const Place& result = frame->function->results[i];
    for (Mask rest = context.active; rest; rest &= rest - 1) {
      const uint32_t lane = first_lane(rest);
      std::memcpy(caller->parameter(lane, site.results[i].offset), frame->parameter(lane, result.offset),
                  std::min(site.results[i].bytes, result.bytes));
    }
  }
  const Group group{.pc = frame->return_pc, .active = context.active, .join = frame->return_join, .frame = caller};
  drop_lanes(*frame, context.active);
  enter(context, group);
}

void Warp::wait_at_barrier(Context& context, const Op& op, Mask lanes, uint32_t barrier) {
  Group group = running(context);
  group.state = State::at_barrier;
  group.barrier = barrier;
  group.op = &op;
  group.lanes = lanes;
  groups_.push_back(group);
  context.leave = true;
}

bool Warp::all_at_barrier(uint32_t barrier) const {
  Mask waiting = 0;
  for (const Group& group : groups_) {
    if (group.state == State::at_barrier && group.barrier == barrier) waiting |= group.active;
  }
  return live_ && (live_ & ~waiting) == 0;
}

bool Warp::gather(Context& context, const Op& op, Mask lanes, Mask needed) {
  const Mask missing = needed & live_ & ~lanes;
  if (!missing) return true;
  if (missing & context.active) {
    context.report(FindingKind::warp_sync, op, lanes, first_lane(lanes), 0, [&] {
      return fmt::format("the member mask {:#010x} names lanes {:#010x} that do not take part", needed,
                         missing & context.active);
    });
    return true;
  }
  Group group = running(context);
  --group.pc;
  group.state = State::gathering;
  group.op = &op;
  group.lanes = lanes;
  group.needed = needed & live_;
  groups_.push_back(group);
  context.leave = true;
  return false;
}

bool Warp::give_up_gathering(Context& context) {
  for (Group& group : groups_) {
    if (group.state != State::gathering) continue;
    enter(context, group);
    context.report(FindingKind::warp_sync, *group.op, group.lanes, first_lane(group.lanes), 0, [&] {
      return fmt::format("the member mask {:#010x} names lanes that never come here; only {:#010x} do", group.needed,
                         group.lanes);
    });
    group.needed = group.lanes;
    return true;
  }
  return false;
}

const Op* Warp::waiting_op(uint32_t* lane) const {
  for (const Group& group : groups_) {
    if (group.state == State::ready || !group.active) continue;
    *lane = first_lane(group.active);
    return group.op;
  }
  return nullptr;
}

}  // namespace wkv::emulator
