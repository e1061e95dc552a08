// Cache policies: they change how fast accesses are, not what they do.
#include "harness/emulator/opcodes.hpp"
#include "harness/emulator/operands.hpp"

namespace wkv::emulator {
namespace {

void run_nothing(Context&, const Op&, Mask) {}

void run_policy(Context& context, const Op& op, Mask lanes) {
  if (op.dst[0] == kNone) return;
  for_each_lane(lanes, [&](uint32_t lane) { register_at<uint64_t>(context, op.dst[0])[lane] = 0; });
}

void decode_createpolicy(Decoder& d, Op& op) {
  d.take_one_of({"fractional", "range", "cvt"});
  d.take_any_of({"global", "L2", "L2::evict_last", "L2::evict_first", "L2::evict_normal", "L2::evict_unchanged"});
  d.take("L2::evict_unchanged");  // as the second priority
  d.take_one_of({"b64"});
  op.instruction_class = InstructionClass::move;
  op.dst[0] = d.destination(d.operand(0), Type::b64);
  op.run = run_policy;
}

void decode_hint(Decoder& d, Op& op) {
  d.take("global");
  d.take_one_of({"L2", "L2::evict_normal"});
  op.instruction_class = InstructionClass::global;
  op.run = run_nothing;
}

}  // namespace

size_t take_cache_policy(Decoder& d) { return d.take("L2::cache_hint") ? 1 : 0; }

void add_cache_opcodes(OpcodeTable& table) {
  table.insert({{"createpolicy", decode_createpolicy}, {"applypriority", decode_hint}, {"discard", decode_hint}});
}

}  // namespace wkv::emulator
