// mbarrier instructions, and the asynchronous copies whose end an mbarrier tells: cp.async.mbarrier.arrive and
// cp.async.bulk into shared memory. There are no clusters: every barrier and copy is of the own block.
#include <fmt/format.h>

#include "harness/emulator/block.hpp"
#include "harness/emulator/mbarrier.hpp"
#include "harness/emulator/opcodes.hpp"
#include "harness/emulator/operands.hpp"

namespace wkv::emulator {
namespace {

// src[0] is the barrier's address, src[1] a count, a state or a parity, dst[0] the state or predicate.
enum : uint8_t { kDrop = 2, kExpectBytes = 4, kNoIncrement = 8, kHasCount = 16, kParity = 32 };

uint32_t shared_offset(uint64_t address) { return static_cast<uint32_t>(address & (kWindowBytes - 1)); }

void report_bad(Context& context, const Op& op, uint32_t lane, uint64_t address, std::string_view what) {
  context.report(FindingKind::invalid_operation, op, Mask{1} << lane, lane, address,
                 [&] { return fmt::format("mbarrier at shared address {:#x}: {}", shared_offset(address), what); });
}

// Calls body(lane, address, barrier) for each lane's barrier, one after the other, and keeps what it makes of it.
template <class Body>
void for_each_barrier(Context& context, const Op& op, Mask lanes, const Body& body) {
  uint64_t addresses[kLanes];
  addresses_of(context, op, addresses, op.src[0]);
  std::byte* places[kLanes];
  context.atomic(op, addresses, lanes, 8, places);
  for_each_lane(lanes, [&](uint32_t lane) {
    if (!places[lane]) return;
    uint64_t bits;
    std::memcpy(&bits, places[lane], sizeof bits);
    Mbarrier barrier = Mbarrier::from_bits(bits);
    if (!barrier.valid) return report_bad(context, op, lane, addresses[lane], "none was initialised there");
    body(lane, addresses[lane], barrier);
    bits = barrier.bits();
    std::memcpy(places[lane], &bits, sizeof bits);
  });
}

void run_init(Context& context, const Op& op, Mask lanes) {
  if (!lanes) return;
  uint64_t addresses[kLanes], values[kLanes];
  addresses_of(context, op, addresses, op.src[0]);
  const auto* counts = values_of<uint32_t>(context, op.src[1]);
  for_each_lane(lanes, [&](uint32_t lane) {
    Mbarrier barrier;
    if (counts[lane] == 0 || counts[lane] > Mbarrier::kMaxCount) {
      report_bad(context, op, lane, addresses[lane], fmt::format("a count of {}", counts[lane]));
    }
    barrier.expected = barrier.pending = counts[lane] & Mbarrier::kMaxCount;
    values[lane] = barrier.bits();
  });
  context.store(op, addresses, lanes, 8, reinterpret_cast<const std::byte*>(values));
}

void run_invalidate(Context& context, const Op& op, Mask lanes) {
  for_each_barrier(context, op, lanes, [](uint32_t, uint64_t, Mbarrier& barrier) {
    barrier = Mbarrier{};
    barrier.valid = false;
  });
}

void run_arrive(Context& context, const Op& op, Mask lanes) {
  const auto* counts = values_of<uint32_t>(context, op.src[1]);
  for_each_barrier(context, op, lanes, [&](uint32_t lane, uint64_t address, Mbarrier& barrier) {
    if (op.dst[0] != kNone) register_at<uint64_t>(context, op.dst[0])[lane] = barrier.bits();
    uint32_t count = 1;
    if (op.flags & kExpectBytes) {
      barrier.bytes += static_cast<int32_t>(counts[lane]);
    } else if (op.flags & kHasCount) {
      count = counts[lane];
    }
    if (op.flags & kDrop) barrier.expected -= std::min(count, barrier.expected);
    if (!barrier.arrive(count)) report_bad(context, op, lane, address, "more arrivals than it waits for");
  });
}

void run_bytes(Context& context, const Op& op, Mask lanes) {
  const auto* bytes = values_of<uint32_t>(context, op.src[1]);
  for_each_barrier(context, op, lanes, [&](uint32_t lane, uint64_t, Mbarrier& barrier) {
    barrier.bytes += static_cast<int32_t>(op.flags & kExpectBytes ? bytes[lane] : 0 - bytes[lane]);
    if (!(op.flags & kExpectBytes)) barrier.complete_if_nothing_is_missing();
  });
}

// Lets copies arrive that the barrier is to tell of: not before somebody waits for them.
void receive_copies(Context& context, const Op& op, uint32_t lane, uint64_t address, Mbarrier& barrier) {
  const AsyncCopies::Arrivals arrivals = context.block->copies().arrive_at(context, shared_offset(address));
  if (arrivals.count == 0 && arrivals.bytes == 0) return;
  barrier.bytes -= static_cast<int32_t>(arrivals.bytes);
  if (!barrier.arrive(arrivals.count)) report_bad(context, op, lane, address, "more arrivals than it waits for");
}

void run_test(Context& context, const Op& op, Mask lanes) {
  Mask done = 0;
  for_each_barrier(context, op, lanes, [&](uint32_t lane, uint64_t address, Mbarrier& barrier) {
    receive_copies(context, op, lane, address, barrier);
    const bool awaited = op.flags & kParity ? values_of<uint32_t>(context, op.src[1])[lane] & 1
                                            : Mbarrier::from_bits(values_of<uint64_t>(context, op.src[1])[lane]).phase;
    done |= Mask{barrier.phase != awaited} << lane;
  });
  if (done) {  // acts on what arrived: copies, and lanes of its own warp
    context.block->shared().acquire(context.warp->index());
    context.block->shared().races().sync_lanes(context.warp->index(), kFull);
  }
  set_predicate(context, op.dst[0], lanes, done);
}

void run_pending_count(Context& context, const Op& op, Mask lanes) {
  if (op.dst[0] == kNone) return;
  for_each_lane(lanes, [&](uint32_t lane) {
    register_at<uint32_t>(context, op.dst[0])[lane] =
        Mbarrier::from_bits(values_of<uint64_t>(context, op.src[1])[lane]).pending;
  });
}

void run_track(Context& context, const Op& op, Mask lanes) {
  for_each_barrier(context, op, lanes, [&](uint32_t lane, uint64_t address, Mbarrier& barrier) {
    if (!(op.flags & kNoIncrement)) ++barrier.pending;
    context.block->copies().track(context, lane, shared_offset(address));
  });
}

// src[0] is the address in shared memory, src[1] that in global memory, src[2] the number of bytes, src[3] the barrier.
void run_bulk_copy(Context& context, const Op& op, Mask lanes) {
  const auto* sizes = values_of<uint32_t>(context, op.src[2]);
  const auto* barriers = op.src[3].lanes(context.registers);
  uint64_t to[kLanes], from[kLanes];
  addresses_of(context, op, to, op.src[0]);
  std::memcpy(from, values_of<uint64_t>(context, op.src[1]), sizeof from);
  Op source = op;
  source.space = Space::global;
  for_each_lane(lanes, [&](uint32_t lane) {
    const uint32_t bytes = sizes[lane];
    const uint32_t size = context.block->shared().size();
    if (shared_offset(to[lane]) > size || size - shared_offset(to[lane]) < bytes) {
      context.report(FindingKind::out_of_bounds, op, Mask{1} << lane, lane, to[lane], [&] {
        return fmt::format("a bulk copy of {} bytes to shared address {:#x}, of which there are {} bytes", bytes,
                           shared_offset(to[lane]), size);
      });
      return;
    }
    if (bytes % 16 || to[lane] % 16 || from[lane] % 16) {
      context.report(FindingKind::misaligned, op, Mask{1} << lane, lane, to[lane], [&] {
        return fmt::format("a bulk copy of {} bytes from {:#x} to {:#x}: all must be multiples of 16", bytes,
                           from[lane], to[lane]);
      });
      return;
    }
    std::vector<std::byte> values(bytes);
    for (uint32_t at = 0; at < bytes; at += 16) {
      alignas(16) std::byte part[16 * kLanes];
      uint64_t addresses[kLanes];
      addresses[lane] = from[lane] + at;
      context.load(source, addresses, Mask{1} << lane, 16, part);
      std::memcpy(&values[at], part + size_t{lane} * 16, 16);
    }
    uint64_t barrier = 0;
    std::memcpy(&barrier, barriers + size_t{lane} * op.register_bytes, op.register_bytes);
    context.block->copies().begin_bulk(context, op, lane, shared_offset(to[lane]), values.data(), bytes,
                                       shared_offset(barrier));
  });
}

void take_barrier(Decoder& d, Op& op, size_t at) {
  d.take_any_of({"release", "acquire", "relaxed"});
  d.take_any_of({"cta", "cluster"});
  op.space = take_memory_space(d);
  d.take("b64");
  d.address(d.operand(at), op);
  op.instruction_class = InstructionClass::async_copy;
  d.note_shared(8);
}

void decode_arrive(Decoder& d, Op& op, bool drop) {
  if (drop) op.flags |= kDrop;
  if (d.take("expect_tx")) op.flags |= kExpectBytes;
  d.take("noComplete");
  const bool has_no_state = !d.operands().empty() && d.operand(0).kind == syntax::Operand::Kind::address;
  const size_t at = has_no_state ? 0 : 1;
  take_barrier(d, op, at);
  d.expect_operands(at + 1, at + 2);
  if (!has_no_state) op.dst[0] = d.destination(d.operand(0), Type::b64);
  op.src[1] = d.constant(1, 4);
  if (d.operands().size() > at + 1) {
    op.src[1] = d.source(d.operand(at + 1), Type::b32);
    op.flags |= kHasCount;
  }
  op.run = run_arrive;
}

void decode_wait(Decoder& d, Op& op) {
  if (d.take("parity")) op.flags |= kParity;
  take_barrier(d, op, 1);
  d.expect_operands(3, 4);  // the last is a hint of how long to wait
  op.dst[0] = d.predicate_destination(d.operand(0));
  op.src[1] = d.source(d.operand(2), op.flags & kParity ? Type::b32 : Type::b64);
  op.run = run_test;
}

void decode_bytes(Decoder& d, Op& op, bool expect) {
  if (expect) op.flags |= kExpectBytes;
  take_barrier(d, op, 0);
  d.expect_operands(2, 2);
  op.src[1] = d.source(d.operand(1), Type::b32);
  op.run = run_bytes;
}

void decode_mbarrier(Decoder& d, Op& op) {
  const std::string_view what = d.take_one_of(
      {"init", "inval", "arrive", "arrive_drop", "test_wait", "try_wait", "expect_tx", "complete_tx", "pending_count"});
  if (what == "arrive" || what == "arrive_drop") return decode_arrive(d, op, what == "arrive_drop");
  if (what == "test_wait" || what == "try_wait") return decode_wait(d, op);
  if (what == "expect_tx" || what == "complete_tx") return decode_bytes(d, op, what == "expect_tx");
  if (what == "pending_count") {
    d.take("b64");
    d.expect_operands(2, 2);
    op.instruction_class = InstructionClass::async_copy;
    op.dst[0] = d.destination(d.operand(0), Type::b32);
    op.src[1] = d.source(d.operand(1), Type::b64);
    op.run = run_pending_count;
    return;
  }
  take_barrier(d, op, 0);
  if (what == "inval") {
    d.expect_operands(1, 1);
    op.run = run_invalidate;
    return;
  }
  d.expect_operands(2, 2);
  op.src[1] = d.source(d.operand(1), Type::b32);
  op.run = run_init;
}

}  // namespace

void decode_copy_arrival(Decoder& d, Op& op) {
  d.take_one_of({"arrive"});
  if (d.take("noinc")) op.flags |= kNoIncrement;
  take_barrier(d, op, 0);
  d.expect_operands(1, 1);
  op.run = run_track;
}

void decode_bulk_copy(Decoder& d, Op& op) {
  d.take_one_of({"shared::cluster", "shared::cta"});
  d.take_one_of({"global"});
  d.take_one_of({"mbarrier::complete_tx::bytes"});
  d.expect_operands(4, 4);
  op.space = Space::shared;
  const auto plain = [&](size_t index, Type type) {
    const syntax::Operand& operand = d.operand(index);
    if (operand.offset != 0) d.fail("only addresses without offset are covered");
    syntax::Operand base;
    base.text = operand.text;
    return d.source(base, type);
  };
  syntax::Operand barrier;
  barrier.text = d.operand(3).text;
  op.register_bytes = d.register_size(barrier) == 8 ? 8 : 4;
  op.src[1] = plain(1, Type::b64);
  op.src[2] = d.source(d.operand(2), Type::b32);
  op.src[3] = plain(3, op.register_bytes == 8 ? Type::b64 : Type::b32);
  d.address(d.operand(0), op);
  d.note_shared(16);
  op.run = run_bulk_copy;
}

void add_mbarrier_opcodes(OpcodeTable& table) { table.insert({{"mbarrier", decode_mbarrier}}); }

}  // namespace wkv::emulator
