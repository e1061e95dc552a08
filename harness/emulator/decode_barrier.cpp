// Barriers of blocks and warps, fences.
#include <fmt/format.h>

#include "harness/emulator/block.hpp"
#include "harness/emulator/opcodes.hpp"
#include "harness/emulator/operands.hpp"

namespace wkv::emulator {
namespace {

// src[0] is the barrier, src[1] the number of threads, src[2] the predicate of a reduction, whose kind is Op::flags.
// Op::target says what to do, Op::immediate whether the predicate is negated; Op::bytes: .aligned, Op::src_count:
// number of threads given.
enum : uint32_t { kSync, kArrive };

bool check_barrier(Context& context, const Op& op, Mask lanes, uint32_t barrier, uint32_t threads) {
  const uint32_t lane = first_lane(lanes);
  if (barrier >= kBarriers || threads % kLanes || threads > kLanes * context.block->warp_count()) {
    context.report(FindingKind::invalid_operation, op, lanes, lane, 0, [&] {
      return fmt::format(
          "barrier {} for {} threads; there are {} barriers, for a multiple of {} threads up to the block's", barrier,
          threads, kBarriers, kLanes);
    });
    context.abort();
    return false;
  }
  const Mask missing = context.warp->live() & ~lanes;
  if (op.bytes && missing && !context.warp->was_forced()) {
    context.report(FindingKind::divergent_barrier, op, lanes, lane, 0, [&] {
      return fmt::format("lanes {:#010x} of the warp come to barrier {} without lanes {:#010x}", lanes, barrier,
                         missing);
    });
  }
  return true;
}

void run_barrier(Context& context, const Op& op, Mask lanes) {
  if (!lanes) return;
  const uint32_t barrier = values_of<uint32_t>(context, op.src[0])[first_lane(lanes)];
  const uint32_t threads = op.src_count ? values_of<uint32_t>(context, op.src[1])[first_lane(lanes)] : 0;
  if (!check_barrier(context, op, lanes, barrier, threads)) return;
  const bool waits = op.target == kSync;
  if (static_cast<Block::Reduction>(op.flags) != Block::Reduction::none) {
    context.block->contribute(barrier, lanes, predicate_of(context, op.src[2]) ^ static_cast<Mask>(op.immediate));
  }
  // Lanes that are predicated off do not wait; they go on, and the others follow.
  if (waits && lanes != context.active) context.warp->split(context, context.pc, context.active & ~lanes, context.pc);
  context.block->arrive(context, op, lanes, barrier, threads / kLanes, waits);
}

void decode_reduction(Decoder& d, Op& op, size_t& at) {
  const std::string_view kind = d.take_one_of({"and", "or", "popc"});
  op.flags = static_cast<uint8_t>(kind == "and"  ? Block::Reduction::all
                                  : kind == "or" ? Block::Reduction::any
                                                 : Block::Reduction::count);
  d.take_type();
  op.dst[0] = kind == "popc" ? d.destination(d.operand(at), Type::u32) : d.predicate_destination(d.operand(at));
  ++at;
  const syntax::Operand& predicate = d.operands().back();
  op.src[2] = d.predicate(predicate);
  op.immediate = predicate.negated ? 0xffffffff : 0;
}

void run_warp_barrier(Context& context, const Op& op, Mask lanes) {
  if (!lanes) return;
  const auto* members = values_of<uint32_t>(context, op.src[0]);
  Mask needed = 0, outside = 0;
  for_each_lane(lanes, [&](uint32_t lane) {
    needed |= members[lane];
    outside |= Mask{!(members[lane] >> lane & 1)} << lane;
  });
  if (outside) {
    context.report(FindingKind::warp_sync, op, outside, first_lane(outside), 0, [&] {
      return fmt::format("a lane is not in its own member mask {:#010x}", members[first_lane(outside)]);
    });
  }
  if (!context.warp->gather(context, op, lanes, needed)) return;
  Races& races = context.block->shared().races();
  const uint32_t warp = context.warp->index();
  for (Mask rest = lanes; rest;) {  // each tile of lanes once
    const Mask tile = members[first_lane(rest)];
    const bool all = (context.warp->live() & ~tile) == 0;
    races.sync_lanes(warp, all ? kFull : tile);
    rest &= ~(tile | (rest & -rest));
  }
}

void decode_warp_barrier(Decoder& d, Op& op) {
  d.take("sync");
  op.instruction_class = InstructionClass::barrier;
  d.expect_operands(1, 1);
  op.src[0] = d.source(d.operand(0), Type::b32);
  op.flags = kMeetsAnywhere;
  op.run = run_warp_barrier;
}

void decode_block_barrier(Decoder& d, Op& op, bool aligned) {
  if (d.take("warp")) return decode_warp_barrier(d, op);
  d.take("cta");
  op.instruction_class = InstructionClass::barrier;
  const std::string_view what = d.take_one_of({"sync", "arrive", "red"});
  op.bytes = d.take("aligned") || aligned;
  op.target = what == "arrive" ? kArrive : kSync;
  size_t at = 0, count = d.operands().size();
  if (what == "red") {
    decode_reduction(d, op, at);
    --count;
  }
  op.src[0] = at < count ? d.source(d.operand(at++), Type::u32) : d.constant(0, 4);
  if (at < count) {
    op.src[1] = d.source(d.operand(at++), Type::u32);
    op.src_count = 1;
  }
  op.run = run_barrier;
}
void decode_bar(Decoder& d, Op& op) { decode_block_barrier(d, op, true); }
void decode_barrier(Decoder& d, Op& op) { decode_block_barrier(d, op, false); }

// Blocks run their instructions in order, and host memory is coherent.
void run_fence(Context&, const Op&, Mask) { std::atomic_thread_fence(std::memory_order_seq_cst); }

void decode_fence(Decoder& d, Op& op) {
  d.take_any_of({"cta", "cluster", "gpu", "sys", "gl"});
  d.take_any_of({"sc", "acq_rel", "acquire", "release", "mbarrier_init"});
  d.take_any_of({"sync_restrict::shared::cta", "sync_restrict::shared::cluster"});
  if (d.take("proxy")) d.take_any_of({"alias", "async", "generic", "global", "shared::cta", "shared::cluster"});
  op.instruction_class = InstructionClass::barrier;
  op.run = run_fence;
}

}  // namespace

void add_barrier_opcodes(OpcodeTable& table) {
  table.insert({{"bar", decode_bar}, {"barrier", decode_barrier}, {"membar", decode_fence}, {"fence", decode_fence}});
}

}  // namespace wkv::emulator
