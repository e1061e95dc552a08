// cp.async and its groups.
#include <algorithm>
#include <bit>

#include "harness/emulator/block.hpp"
#include "harness/emulator/opcodes.hpp"
#include "harness/emulator/operands.hpp"

namespace wkv::emulator {
namespace {

// src[0] is the address in shared memory, src[1] the one in global memory, src[2] how many bytes are read, the rest
// being zeros, or under Op::flags a predicate that skips the read. Op::immediate and Op::target are the addresses'
// offsets.
enum : uint8_t { kHasSize = 8, kHasPredicate = 16 };

// The first `bytes` bytes of each lane's value, in pieces whose size is a power of two.
void load_pieces(Context& context, const Op& op, const uint64_t* from, Mask lanes, uint32_t bytes, std::byte* values,
                 uint32_t stride) {
  for (uint32_t done = 0; done < bytes;) {
    const uint32_t size = std::bit_floor(bytes - done);
    uint64_t addresses[kLanes];
    alignas(64) std::byte piece[16 * kLanes];
    for_each_lane(lanes, [&](uint32_t lane) { addresses[lane] = from[lane] + done; });
    context.load(op, addresses, lanes, size, piece);
    for_each_lane(lanes, [&](uint32_t lane) {
      std::memcpy(values + size_t{lane} * stride + done, piece + size_t{lane} * size, size);
    });
    done += size;
  }
}

void run_copy(Context& context, const Op& op, Mask lanes) {
  if (!lanes) return;
  uint64_t to[kLanes], from[kLanes];
  addresses_of(context, op, to, op.src[0]);
  Op source = op;
  source.immediate = static_cast<int32_t>(op.target);
  source.address_bytes = op.register_bytes;
  source.space = Space::global;
  addresses_of(context, source, from, op.src[1]);
  alignas(64) std::byte values[16 * kLanes] = {};
  const auto* sizes = values_of<uint32_t>(context, op.src[2]);
  const Mask skipped = op.flags & kHasPredicate ? predicate_of(context, op.src[2]) : 0;
  // Lanes that read as many bytes do so together, so that what they touch is counted as one request.
  for (Mask rest = lanes; rest;) {
    const auto bytes_for = [&](uint32_t lane) -> uint32_t {
      if (skipped >> lane & 1) return 0;
      return op.flags & kHasSize ? std::min<uint32_t>(sizes[lane], op.bytes) : op.bytes;
    };
    const uint32_t bytes = bytes_for(first_lane(rest));
    Mask same = 0;
    for_each_lane(rest, [&](uint32_t lane) { same |= Mask{bytes_for(lane) == bytes} << lane; });
    rest &= ~same;
    if (bytes == 0) continue;
    load_pieces(context, source, from, same, bytes, values, op.bytes);
  }
  context.copy_async(op, to, lanes, op.bytes, values);
}

uint32_t address_width(Decoder& d, const syntax::Operand& operand) {
  syntax::Operand base;
  base.text = operand.text;
  const uint32_t bytes = d.register_size(base);
  return bytes ? bytes : 8;
}

void decode_copy(Decoder& d, Op& op) {
  d.take_one_of({"ca", "cg"});
  d.take_one_of({"shared", "shared::cta"});
  d.take_one_of({"global"});
  d.take_any_of({"L2::64B", "L2::128B", "L2::256B"});
  const size_t policies = take_cache_policy(d);
  d.expect_operands(3 + policies, 4 + policies);
  d.address(d.operand(1), op, 1);
  if (op.immediate != static_cast<int32_t>(op.immediate)) d.fail("the offset has more than 32 bits");
  op.target = static_cast<uint32_t>(op.immediate);
  op.register_bytes = static_cast<uint8_t>(address_width(d, d.operand(1)));
  d.address(d.operand(0), op, 0);
  const auto bytes = d.integer(d.operand(2));
  if (!bytes || (*bytes != 4 && *bytes != 8 && *bytes != 16)) d.fail("only 4, 8 and 16 bytes can be copied");
  op.bytes = static_cast<uint8_t>(*bytes);
  if (d.operands().size() == 4 + policies) {
    const bool predicate = d.is_predicate(d.operand(3));
    op.flags = predicate ? kHasPredicate : kHasSize;
    op.src[2] = predicate ? d.predicate(d.operand(3)) : d.source(d.operand(3), Type::u32);
  }
  op.space = Space::shared;
  d.note_shared(op.bytes);
  op.run = run_copy;
}

void run_commit(Context& context, const Op&, Mask lanes) { context.block->copies().commit(context, lanes); }
void run_wait_group(Context& context, const Op& op, Mask lanes) {
  context.block->copies().wait_groups(context, lanes, static_cast<uint32_t>(op.immediate));
}
void run_wait_all(Context& context, const Op&, Mask lanes) { context.block->copies().wait_all(context, lanes); }

void decode_cp(Decoder& d, Op& op) {
  if (!d.take("async")) d.fail("only cp.async is covered");
  op.instruction_class = InstructionClass::async_copy;
  if (d.take("commit_group")) {
    op.run = run_commit;
  } else if (d.take("wait_all")) {
    op.run = run_wait_all;
  } else if (d.take("wait_group")) {
    const auto latest = d.integer(d.operand(0));
    if (!latest) d.fail("the number of groups must be a constant");
    op.immediate = static_cast<int64_t>(*latest);
    op.run = run_wait_group;
  } else if (d.take("mbarrier")) {
    decode_copy_arrival(d, op);
  } else if (d.take("bulk")) {
    decode_bulk_copy(d, op);
  } else {
    decode_copy(d, op);
  }
}

}  // namespace

void add_async_opcodes(OpcodeTable& table) { table.insert({{"cp", decode_cp}}); }

}  // namespace wkv::emulator
