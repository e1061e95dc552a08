// Logic, shifts, bit fields, permutation of bytes.
#include "harness/emulator/integer.hpp"
#include "harness/emulator/opcodes.hpp"

#define WKV_TARGET_FILE "harness/emulator/decode_bits.cpp"
#include "harness/emulator/targets.hpp"

namespace wkv::emulator {
namespace WKV_TARGET {
namespace {

struct And {
  template <class T>
  T operator()(T a, T b) const {
    return a & b;
  }
};
struct Or {
  template <class T>
  T operator()(T a, T b) const {
    return a | b;
  }
};
struct Xor {
  template <class T>
  T operator()(T a, T b) const {
    return a ^ b;
  }
};
struct Not {
  template <class T>
  T operator()(T a) const {
    return static_cast<T>(~a);
  }
};
struct LogicalNot {
  template <class T>
  T operator()(T a) const {
    return a == 0 ? 1 : 0;
  }
};
struct ShiftLeft {
  template <class T>
  T operator()(T a, uint32_t by) const {
    return shift_left(a, by);
  }
};
struct ShiftRight {
  template <class T>
  T operator()(T a, uint32_t by) const {
    return shift_right(a, by);
  }
};
template <bool kLeft, bool kClamp>
struct Funnel {
  uint32_t operator()(uint32_t a, uint32_t b, uint32_t c) const {
    const uint32_t by = funnel_amount(c, kClamp);
    return kLeft ? funnel_left(a, b, by) : funnel_right(a, b, by);
  }
};
struct CountOnes {
  template <class T>
  uint32_t operator()(T a) const {
    return static_cast<uint32_t>(std::popcount(a));
  }
};
struct LeadingZeros {
  template <class T>
  uint32_t operator()(T a) const {
    return static_cast<uint32_t>(std::countl_zero(a));
  }
};
template <bool kShiftAmount>
struct FindLeading {
  template <class T>
  uint32_t operator()(T a) const {
    return find_leading(a, kShiftAmount);
  }
};
struct ReverseBits {
  template <class T>
  T operator()(T a) const {
    return reverse_bits(a);
  }
};
struct ExtractField {
  template <class T>
  T operator()(T a, uint32_t position, uint32_t length) const {
    return extract_field(a, position, length);
  }
};
struct FindNthSet {
  uint32_t operator()(uint32_t mask, uint32_t base, int32_t offset) const { return find_nth_set(mask, base, offset); }
};
template <bool kClamp>
struct ExtendLowBits {
  template <class T>
  T operator()(T a, uint32_t b) const {
    return extend_low_bits(a, b, kClamp);
  }
};
template <bool kClamp>
struct BitMask {
  uint32_t operator()(uint32_t a, uint32_t b) const { return bit_mask(a, b, kClamp); }
};
template <PermuteMode kMode>
struct Permute {
  uint32_t operator()(uint32_t a, uint32_t b, uint32_t c) const { return permute(a, b, permute_selectors(kMode, c)); }
};
template <class F>
Handler unary_for(Decoder& d, Type type) {
  return for_integer_type(d, type, [](auto t) -> Handler { return unary<F, decltype(t), decltype(t)>; });
}
template <class F>
Handler binary_for(Decoder& d, Type type) {
  return for_integer_type(d, type, [](auto t) -> Handler { return binary<F, decltype(t), decltype(t), decltype(t)>; });
}
// d, a, b ... of one type.
void operands_of(Decoder& d, Op& op, Type type, size_t sources) {
  op.instruction_class = InstructionClass::integer;
  d.expect_operands(sources + 1, sources + 1);
  op.dst[0] = d.destination(d.operand(0), type);
  for (size_t i = 0; i < sources; ++i) op.src[i] = d.source(d.operand(i + 1), type);
}

// Logic on whole masks where the operands are predicates; a negation is folded into the truth table.
template <class F>
void run_predicate_logic(Context& context, const Op& op, Mask lanes) {
  const Mask a = mask_of(context, op.src[0]) ^ static_cast<Mask>(op.immediate);
  const Mask b = mask_of(context, op.src[1]) ^ static_cast<Mask>(op.immediate >> 32);
  set_mask(context, op.dst[0], lanes, F()(a, b));
}
void run_predicate_not(Context& context, const Op& op, Mask lanes) {
  set_mask(context, op.dst[0], lanes, ~mask_of(context, op.src[0]));
}

template <class F>
void decode_logic(Decoder& d, Op& op) {
  const Type type = d.take_type();
  if (type != Type::pred) {
    operands_of(d, op, type, 2);
    op.run = binary_for<F>(d, type);
    return;
  }
  op.instruction_class = InstructionClass::integer;
  d.expect_operands(3, 3);
  op.dst[0] = d.predicate_destination(d.operand(0));
  for (size_t i = 0; i < 2; ++i) op.src[i] = d.predicate(d.operand(i + 1));
  op.immediate = (d.operand(1).negated ? 0xffffffffll : 0) |
                 static_cast<int64_t>(d.operand(2).negated ? 0xffffffff00000000ull : 0);
  op.run = run_predicate_logic<F>;
}
void decode_not(Decoder& d, Op& op) {
  const Type type = d.take_type();
  if (type != Type::pred) {
    operands_of(d, op, type, 1);
    op.run = unary_for<Not>(d, type);
    return;
  }
  op.instruction_class = InstructionClass::integer;
  d.expect_operands(2, 2);
  op.dst[0] = d.predicate_destination(d.operand(0));
  op.src[0] = d.predicate(d.operand(1));
  op.run = run_predicate_not;
}

void run_lop3(Context& context, const Op& op, Mask lanes) {
  if (op.dst[0] == kNone) return;
  const auto* a = lanes_of<uint32_t>(context, op.src[0]);
  const auto* b = lanes_of<uint32_t>(context, op.src[1]);
  const auto* c = lanes_of<uint32_t>(context, op.src[2]);
  const auto table = static_cast<uint32_t>(op.immediate);
  for_lanes(lanes_at<uint32_t>(context, op.dst[0]), lanes,
            [&](uint32_t lane) { return logic3(a[lane], b[lane], c[lane], table); });
}
void decode_cnot(Decoder& d, Op& op) {
  const Type type = d.take_type();
  operands_of(d, op, type, 1);
  op.run = unary_for<LogicalNot>(d, type);
}
void decode_lop3(Decoder& d, Op& op) {
  if (d.take_type() != Type::b32) d.fail("this type is not covered");
  op.instruction_class = InstructionClass::integer;
  d.expect_operands(5, 5);
  op.dst[0] = d.destination(d.operand(0), Type::b32);
  for (size_t i = 0; i < 3; ++i) op.src[i] = d.source(d.operand(i + 1), Type::b32);
  const auto table = d.integer(d.operand(4));
  if (!table) d.fail("the truth table must be a number");
  op.immediate = static_cast<int64_t>(*table);
  op.run = run_lop3;
}

template <class F>
void decode_shift(Decoder& d, Op& op) {
  const Type type = d.take_type();
  op.instruction_class = InstructionClass::integer;
  d.expect_operands(3, 3);
  op.dst[0] = d.destination(d.operand(0), type);
  op.src[0] = d.source(d.operand(1), type);
  op.src[1] = d.source(d.operand(2), Type::u32);
  op.run = for_integer_type(d, type, [](auto t) -> Handler { return binary<F, decltype(t), decltype(t), uint32_t>; });
}

void decode_shf(Decoder& d, Op& op) {
  const bool left = d.take_one_of({"l", "r"}) == "l";
  const bool clamp = d.take_one_of({"clamp", "wrap"}) == "clamp";
  if (d.take_type() != Type::b32) d.fail("this type is not covered");
  operands_of(d, op, Type::b32, 3);
  const auto pick = [](auto f) { return ternary<decltype(f), uint32_t, uint32_t, uint32_t, uint32_t>; };
  op.run = left ? (clamp ? pick(Funnel<true, true>()) : pick(Funnel<true, false>()))
                : (clamp ? pick(Funnel<false, true>()) : pick(Funnel<false, false>()));
}

// The result is 32 bits whatever the operand.
template <class F>
void decode_count(Decoder& d, Op& op) {
  const Type type = d.take_type();
  op.instruction_class = InstructionClass::integer;
  d.expect_operands(2, 2);
  op.dst[0] = d.destination(d.operand(0), Type::u32);
  op.src[0] = d.source(d.operand(1), type);
  if (type != Type::b32 && type != Type::b64) d.fail("this type is not covered");
  op.run = type == Type::b32 ? unary<F, uint32_t, uint32_t> : unary<F, uint32_t, uint64_t>;
}
void decode_bfind(Decoder& d, Op& op) {
  const bool shift_amount = d.take("shiftamt");
  const Type type = d.take_type();
  op.instruction_class = InstructionClass::integer;
  d.expect_operands(2, 2);
  op.dst[0] = d.destination(d.operand(0), Type::u32);
  op.src[0] = d.source(d.operand(1), type);
  if (bytes_of(type) < 4) d.fail("this type is not covered");
  op.run = for_integer_type(d, type, [&](auto t) -> Handler {
    if (shift_amount) return unary<FindLeading<true>, uint32_t, decltype(t)>;
    return unary<FindLeading<false>, uint32_t, decltype(t)>;
  });
}

void decode_brev(Decoder& d, Op& op) {
  const Type type = d.take_type();
  operands_of(d, op, type, 1);
  if (type != Type::b32 && type != Type::b64) d.fail("this type is not covered");
  op.run = type == Type::b32 ? unary<ReverseBits, uint32_t, uint32_t> : unary<ReverseBits, uint64_t, uint64_t>;
}

void decode_bfe(Decoder& d, Op& op) {
  const Type type = d.take_type();
  op.instruction_class = InstructionClass::integer;
  d.expect_operands(4, 4);
  op.dst[0] = d.destination(d.operand(0), type);
  op.src[0] = d.source(d.operand(1), type);
  for (size_t i = 1; i < 3; ++i) op.src[i] = d.source(d.operand(i + 1), Type::u32);
  if (bytes_of(type) < 4) d.fail("this type is not covered");
  op.run = for_integer_type(
      d, type, [](auto t) -> Handler { return ternary<ExtractField, decltype(t), decltype(t), uint32_t, uint32_t>; });
}

template <class T>
void run_bfi(Context& context, const Op& op, Mask lanes) {
  if (op.dst[0] == kNone) return;
  const T* field = lanes_of<T>(context, op.src[0]);
  const T* into = lanes_of<T>(context, op.src[1]);
  const auto* position = lanes_of<uint32_t>(context, op.src[2]);
  const auto* length = lanes_of<uint32_t>(context, op.src[3]);
  for_lanes(lanes_at<T>(context, op.dst[0]), lanes,
            [&](uint32_t lane) { return insert_field(field[lane], into[lane], position[lane], length[lane]); });
}
void decode_bfi(Decoder& d, Op& op) {
  const Type type = d.take_type();
  op.instruction_class = InstructionClass::integer;
  d.expect_operands(5, 5);
  op.dst[0] = d.destination(d.operand(0), type);
  for (size_t i = 0; i < 2; ++i) op.src[i] = d.source(d.operand(i + 1), type);
  for (size_t i = 2; i < 4; ++i) op.src[i] = d.source(d.operand(i + 1), Type::u32);
  if (type != Type::b32 && type != Type::b64) d.fail("this type is not covered");
  op.run = type == Type::b32 ? run_bfi<uint32_t> : run_bfi<uint64_t>;
}

void decode_fns(Decoder& d, Op& op) {
  if (d.take_type() != Type::b32) d.fail("this type is not covered");
  operands_of(d, op, Type::b32, 3);
  op.run = ternary<FindNthSet, uint32_t, uint32_t, uint32_t, int32_t>;
}
void decode_szext(Decoder& d, Op& op) {
  const bool clamp = d.take_one_of({"clamp", "wrap"}) == "clamp";
  const Type type = d.take_type();
  operands_of(d, op, type, 2);
  if (type != Type::u32 && type != Type::s32) d.fail("this type is not covered");
  const auto pick = [&](auto f) {
    using F = decltype(f);
    return type == Type::u32 ? binary<F, uint32_t, uint32_t, uint32_t> : binary<F, int32_t, int32_t, uint32_t>;
  };
  op.run = clamp ? pick(ExtendLowBits<true>()) : pick(ExtendLowBits<false>());
}
void decode_bmsk(Decoder& d, Op& op) {
  const bool clamp = d.take_one_of({"clamp", "wrap"}) == "clamp";
  if (d.take_type() != Type::b32) d.fail("this type is not covered");
  operands_of(d, op, Type::b32, 2);
  op.run = clamp ? binary<BitMask<true>, uint32_t, uint32_t, uint32_t>
                 : binary<BitMask<false>, uint32_t, uint32_t, uint32_t>;
}

void decode_prmt(Decoder& d, Op& op) {
  if (d.take_type() != Type::b32) d.fail("this type is not covered");
  operands_of(d, op, Type::b32, 3);
  const auto pick = [](auto f) { return ternary<decltype(f), uint32_t, uint32_t, uint32_t, uint32_t>; };
  op.run = d.take("f4e")    ? pick(Permute<PermuteMode::f4e>())
           : d.take("b4e")  ? pick(Permute<PermuteMode::b4e>())
           : d.take("rc8")  ? pick(Permute<PermuteMode::rc8>())
           : d.take("ecl")  ? pick(Permute<PermuteMode::ecl>())
           : d.take("ecr")  ? pick(Permute<PermuteMode::ecr>())
           : d.take("rc16") ? pick(Permute<PermuteMode::rc16>())
                            : pick(Permute<PermuteMode::plain>());
}

}  // namespace

void add_bit_opcodes(OpcodeTable& table) {
  table.insert({
      {"and", decode_logic<And>},
      {"or", decode_logic<Or>},
      {"xor", decode_logic<Xor>},
      {"not", decode_not},
      {"cnot", decode_cnot},
      {"lop3", decode_lop3},
      {"shl", decode_shift<ShiftLeft>},
      {"shr", decode_shift<ShiftRight>},
      {"shf", decode_shf},
      {"popc", decode_count<CountOnes>},
      {"clz", decode_count<LeadingZeros>},
      {"bfind", decode_bfind},
      {"brev", decode_brev},
      {"bfe", decode_bfe},
      {"bfi", decode_bfi},
      {"fns", decode_fns},
      {"szext", decode_szext},
      {"bmsk", decode_bmsk},
      {"prmt", decode_prmt},
  });
}

}  // namespace WKV_TARGET
}  // namespace wkv::emulator
