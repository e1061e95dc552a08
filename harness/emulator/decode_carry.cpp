// Sums and products that take or leave a carry: add.cc, addc, sub.cc, subc, mad.cc, madc. The carry is one hidden
// predicate of the function. As on hardware a subtraction is a + ~b + 1 and leaves that sum's carry, the opposite of
// its borrow: the 128-bit division that nvcc generates reads it with addc.
#include "harness/emulator/integer.hpp"
#include "harness/emulator/opcodes.hpp"

#define WKV_TARGET_FILE "harness/emulator/decode_carry.cpp"
#include "harness/emulator/targets.hpp"

namespace wkv::emulator {
namespace WKV_TARGET {
namespace {

enum : uint8_t { kCarryIn = 1, kCarryOut = 2, kSubtract = 4, kProduct = 8, kHigh = 16 };

// a + b, a - b, or the low or high half of a b plus c.
template <class T>
void run_with_carry(Context& context, const Op& op, Mask lanes) {
  const T* a = lanes_of<T>(context, op.src[0]);
  const T* b = lanes_of<T>(context, op.src[1]);
  const T* c = lanes_of<T>(context, op.src[2]);
  Mask& carries = *lanes_at<Mask>(context, op.dst[1]);
  const Mask in = op.flags & kCarryIn ? carries : 0;
  Mask out = 0;
  for (Mask rest = lanes; rest; rest &= rest - 1) {
    const uint32_t lane = first_lane(rest);
    const bool subtract = op.flags & kSubtract, carry = (in >> lane & 1) != (subtract && op.flags & kCarryIn);
    T x = a[lane], y = b[lane];
    if (op.flags & kProduct) {
      x = op.flags & kHigh ? multiply_high(x, y) : static_cast<T>(x * y);
      y = c[lane];
    }
    const WithCarry<T> sum = subtract ? subtract_with_borrow(x, y, carry) : add_with_carry(x, y, carry);
    if (op.dst[0] != kNone) lanes_at<T>(context, op.dst[0])[lane] = sum.value;
    out |= Mask{sum.carry != subtract} << lane;
  }
  if (op.flags & kCarryOut) carries = (carries & ~lanes) | out;
}

// Signed products differ from unsigned ones in the high half.
template <class T>
void run_signed_high(Context& context, const Op& op, Mask lanes) {
  using Signed = std::make_signed_t<T>;
  const auto* a = lanes_of<Signed>(context, op.src[0]);
  const auto* b = lanes_of<Signed>(context, op.src[1]);
  alignas(64) T high[kLanes];
  for (uint32_t lane = 0; lane < kLanes; ++lane) high[lane] = static_cast<T>(multiply_high(a[lane], b[lane]));
  Op sum = op;
  sum.flags &= static_cast<uint8_t>(~kProduct);
  sum.src[0] = Source::constant(high);
  sum.src[1] = op.src[2];
  run_with_carry<T>(context, sum, lanes);
}

void decode_with_carry(Decoder& d, Op& op, uint8_t flags, size_t sources) {
  if (d.take("cc")) flags |= kCarryOut;
  const Type type = d.take_type();
  op.instruction_class = InstructionClass::integer;
  d.expect_operands(sources + 1, sources + 1);
  op.dst[0] = d.destination(d.operand(0), type);
  op.dst[1] = d.carry();
  for (size_t i = 0; i < sources; ++i) op.src[i] = d.source(d.operand(i + 1), type);
  op.flags = flags;
  const bool is_32 = bytes_of(type) == 4;
  if (!is_32 && bytes_of(type) != 8) d.fail("this type is not covered");
  op.run = is_32 ? run_with_carry<uint32_t> : run_with_carry<uint64_t>;
  if ((flags & kHigh) && is_signed(type)) op.run = is_32 ? run_signed_high<uint32_t> : run_signed_high<uint64_t>;
}

void decode_addc(Decoder& d, Op& op) { decode_with_carry(d, op, kCarryIn, 2); }
void decode_subc(Decoder& d, Op& op) { decode_with_carry(d, op, kCarryIn | kSubtract, 2); }
void decode_add_cc(Decoder& d, Op& op) { decode_with_carry(d, op, 0, 2); }
void decode_sub_cc(Decoder& d, Op& op) { decode_with_carry(d, op, kSubtract, 2); }

uint8_t take_half(Decoder& d) {
  return d.take_one_of({"lo", "hi"}) == "hi" ? uint8_t{kProduct | kHigh} : uint8_t{kProduct};
}
void decode_madc(Decoder& d, Op& op) { decode_with_carry(d, op, kCarryIn | take_half(d), 3); }
void decode_mad_cc(Decoder& d, Op& op) { decode_with_carry(d, op, take_half(d), 3); }

}  // namespace

void add_carry_opcodes(OpcodeTable& table) {
  table.insert({{"addc", decode_addc},
                {"subc", decode_subc},
                {"madc", decode_madc},
                {"add:cc", decode_add_cc},
                {"sub:cc", decode_sub_cc},
                {"mad:cc", decode_mad_cc}});
}

}  // namespace WKV_TARGET
}  // namespace wkv::emulator
