// Integer arithmetic. Logic, shifts and bit fields are in decode_bits.cpp, comparisons in decode_compare.cpp, sums with
// carry in decode_carry.cpp.
#include "harness/emulator/integer.hpp"
#include "harness/emulator/opcodes.hpp"

#define WKV_TARGET_FILE "harness/emulator/decode_integer.cpp"
#include "harness/emulator/targets.hpp"

namespace wkv::emulator {
namespace WKV_TARGET {
namespace {

// Wraps as two's complement.
template <class T>
using Wrapping = std::conditional_t<sizeof(T) < 4, uint32_t, std::make_unsigned_t<T>>;

struct Add {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(static_cast<Wrapping<T>>(a) + static_cast<Wrapping<T>>(b));
  }
};
struct Subtract {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(static_cast<Wrapping<T>>(a) - static_cast<Wrapping<T>>(b));
  }
};
struct MultiplyLow {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(static_cast<Wrapping<T>>(a) * static_cast<Wrapping<T>>(b));
  }
};
struct MultiplyHigh {
  template <class T>
  T operator()(T a, T b) const {
    if constexpr (sizeof(T) == 4) {
      using Wide = std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>;
      return static_cast<T>(static_cast<Wide>(a) * static_cast<Wide>(b) >> 32);
    } else {
      return multiply_high(a, b);
    }
  }
};
struct AddSaturated {
  int32_t operator()(int32_t a, int32_t b) const { return add_saturated(a, b); }
};
struct SubtractSaturated {
  int32_t operator()(int32_t a, int32_t b) const { return subtract_saturated(a, b); }
};
template <class Product>
struct MultiplyAdd {
  template <class T>
  T operator()(T a, T b, T c) const {
    return Add()(Product()(a, b), c);
  }
};
struct MultiplyHighAddSaturated {
  int32_t operator()(int32_t a, int32_t b, int32_t c) const { return add_saturated(MultiplyHigh()(a, b), c); }
};
template <class Wide>
struct MultiplyWide {
  template <class T>
  Wide operator()(T a, T b) const {
    return static_cast<Wide>(a) * static_cast<Wide>(b);
  }
  template <class T>
  Wide operator()(T a, T b, Wide c) const {
    return Add()(static_cast<Wide>(static_cast<Wide>(a) * static_cast<Wide>(b)), c);
  }
};
template <bool kHigh>
struct Multiply24 {
  template <class T>
  T operator()(T a, T b) const {
    return multiply24(a, b, kHigh);
  }
};
// What hardware gives for a division by zero, which PTX leaves open: all ones, and the dividend as remainder.
struct Divide {
  template <class T>
  T operator()(T a, T b) const {
    if (b == 0) return static_cast<T>(~T{0});
    if (std::is_signed_v<T> && b == static_cast<T>(-1)) return Subtract()(T{0}, a);
    return static_cast<T>(a / b);
  }
};
struct Remainder {
  template <class T>
  T operator()(T a, T b) const {
    if (b == 0) return a;
    if (std::is_signed_v<T> && b == static_cast<T>(-1)) return 0;
    return static_cast<T>(a % b);
  }
};
struct SumOfDifferences {
  template <class T>
  T operator()(T a, T b, T c) const {
    return Add()(absolute_difference(a, b), c);
  }
};
struct Absolute {
  template <class T>
  T operator()(T a) const {
    return a < 0 ? Subtract()(T{0}, a) : a;
  }
};
struct Negate {
  template <class T>
  T operator()(T a) const {
    return Subtract()(T{0}, a);
  }
};
struct Minimum {
  template <class T>
  T operator()(T a, T b) const {
    return std::min(a, b);
  }
};
struct Maximum {
  template <class T>
  T operator()(T a, T b) const {
    return std::max(a, b);
  }
};
struct Relu {
  template <class T>
  T operator()(T a) const {
    return std::max(a, T{0});
  }
};
template <class F>
struct ReluAfter {
  int32_t operator()(int32_t a, int32_t b) const { return Relu()(F()(a, b)); }
};
// Two 16-bit values in a register.
template <class F, class Half>
struct Packed {
  uint32_t operator()(uint32_t a, uint32_t b) const {
    const auto low = static_cast<uint16_t>(F()(static_cast<Half>(a), static_cast<Half>(b)));
    const auto high = static_cast<uint16_t>(F()(static_cast<Half>(a >> 16), static_cast<Half>(b >> 16)));
    return uint32_t{low} | uint32_t{high} << 16;
  }
};
template <class A, class B>
struct Dot4 {
  uint32_t operator()(uint32_t a, uint32_t b, uint32_t c) const { return dot4<A, B>(a, b, c); }
};
template <class A, class B, bool kUpper>
struct Dot2 {
  uint32_t operator()(uint32_t a, uint32_t b, uint32_t c) const { return dot2<A, B>(a, b, c, kUpper); }
};

template <class F>
Handler unary_for(Decoder& d, Type type) {
  return for_integer_type(d, type, [](auto t) -> Handler { return unary<F, decltype(t), decltype(t)>; });
}
template <class F>
Handler binary_for(Decoder& d, Type type) {
  return for_integer_type(d, type, [](auto t) -> Handler { return binary<F, decltype(t), decltype(t), decltype(t)>; });
}
template <class F>
Handler ternary_for(Decoder& d, Type type) {
  return for_integer_type(d, type, [](auto t) -> Handler {
    using T = decltype(t);
    return ternary<F, T, T, T, T>;
  });
}

// d, a, b ... of one type.
void operands_of(Decoder& d, Op& op, Type type, size_t sources) {
  op.instruction_class = InstructionClass::integer;
  d.expect_operands(sources + 1, sources + 1);
  op.dst[0] = d.destination(d.operand(0), type);
  for (size_t i = 0; i < sources; ++i) op.src[i] = d.source(d.operand(i + 1), type);
}

template <class F, class Saturated, class PackedUnsigned, class PackedSigned>
void add_or_subtract(Decoder& d, Op& op) {
  const bool saturated = d.take("sat");
  const Type type = d.take_type();
  operands_of(d, op, type, 2);
  if (saturated) {
    if (type != Type::s32) d.fail(".sat is for .s32 only");
    op.run = binary<Saturated, int32_t, int32_t, int32_t>;
  } else if (type == Type::u16x2 || type == Type::s16x2) {
    op.run = type == Type::u16x2 ? binary<PackedUnsigned, uint32_t, uint32_t, uint32_t>
                                 : binary<PackedSigned, uint32_t, uint32_t, uint32_t>;
  } else {
    op.run = binary_for<F>(d, type);
  }
}

void decode_add(Decoder& d, Op& op) {
  add_or_subtract<Add, AddSaturated, Packed<Add, uint16_t>, Packed<Add, int16_t>>(d, op);
}
void decode_sub(Decoder& d, Op& op) {
  add_or_subtract<Subtract, SubtractSaturated, Packed<Subtract, uint16_t>, Packed<Subtract, int16_t>>(d, op);
}

// The product has twice the bits.
void decode_wide(Decoder& d, Op& op, bool with_sum) {
  const Type type = d.take_type();
  const Type wide = bytes_of(type) == 2 ? Type::b32 : Type::b64;
  op.instruction_class = InstructionClass::integer;
  d.expect_operands(with_sum ? 4 : 3, with_sum ? 4 : 3);
  op.dst[0] = d.destination(d.operand(0), wide);
  for (size_t i = 0; i < 2; ++i) op.src[i] = d.source(d.operand(i + 1), type);
  if (with_sum) op.src[2] = d.source(d.operand(3), wide);
  const auto pick = [&](auto narrow, auto wide) -> Handler {
    using T = decltype(narrow);
    using W = decltype(wide);
    if (with_sum) return ternary<MultiplyWide<W>, W, T, T, W>;
    return binary<MultiplyWide<W>, W, T, T>;
  };
  op.run = type == Type::u16   ? pick(uint16_t{}, uint32_t{})
           : type == Type::s16 ? pick(int16_t{}, int32_t{})
           : type == Type::u32 ? pick(uint32_t{}, uint64_t{})
           : type == Type::s32 ? pick(int32_t{}, int64_t{})
                               : nullptr;
  if (!op.run) d.fail("this type is not covered");
}

void decode_mul(Decoder& d, Op& op) {
  if (d.take("wide")) return decode_wide(d, op, false);
  const bool high = d.take_one_of({"lo", "hi"}) == "hi";
  const Type type = d.take_type();
  operands_of(d, op, type, 2);
  op.run = high ? binary_for<MultiplyHigh>(d, type) : binary_for<MultiplyLow>(d, type);
}

void decode_mad(Decoder& d, Op& op) {
  if (d.take("wide")) return decode_wide(d, op, true);
  const bool high = d.take_one_of({"lo", "hi"}) == "hi";
  const bool saturated = d.take("sat");
  const Type type = d.take_type();
  operands_of(d, op, type, 3);
  if (saturated) {
    if (!high || type != Type::s32) d.fail(".sat is for .hi.s32 only");
    op.run = ternary<MultiplyHighAddSaturated, int32_t, int32_t, int32_t, int32_t>;
  } else {
    op.run = high ? ternary_for<MultiplyAdd<MultiplyHigh>>(d, type) : ternary_for<MultiplyAdd<MultiplyLow>>(d, type);
  }
}

void decode_mul24(Decoder& d, Op& op) {
  const bool high = d.take_one_of({"lo", "hi"}) == "hi";
  const Type type = d.take_type();
  if (bytes_of(type) != 4) d.fail("this type is not covered");
  operands_of(d, op, type, 2);
  op.run = high ? binary_for<Multiply24<true>>(d, type) : binary_for<Multiply24<false>>(d, type);
}
void decode_mad24(Decoder& d, Op& op) {
  const bool high = d.take_one_of({"lo", "hi"}) == "hi";
  const Type type = d.take_type();
  if (bytes_of(type) != 4) d.fail("this type is not covered");
  operands_of(d, op, type, 3);
  op.run =
      high ? ternary_for<MultiplyAdd<Multiply24<true>>>(d, type) : ternary_for<MultiplyAdd<Multiply24<false>>>(d, type);
}

template <class F>
void decode_unary(Decoder& d, Op& op) {
  const Type type = d.take_type();
  operands_of(d, op, type, 1);
  op.run = unary_for<F>(d, type);
}
template <class F>
void decode_binary(Decoder& d, Op& op) {
  const Type type = d.take_type();
  operands_of(d, op, type, 2);
  op.run = binary_for<F>(d, type);
}
void decode_sad(Decoder& d, Op& op) {
  const Type type = d.take_type();
  operands_of(d, op, type, 3);
  op.run = ternary_for<SumOfDifferences>(d, type);
}

template <class F>
void decode_min_max(Decoder& d, Op& op) {
  const bool relu = d.take("relu");
  const Type type = d.take_type();
  operands_of(d, op, type, 2);
  if (relu) {
    if (type != Type::s32) d.fail(".relu is covered for .s32 only");
    op.run = binary<ReluAfter<F>, int32_t, int32_t, int32_t>;
  } else if (type == Type::u16x2 || type == Type::s16x2) {
    op.run = type == Type::u16x2 ? binary<Packed<F, uint16_t>, uint32_t, uint32_t, uint32_t>
                                 : binary<Packed<F, int16_t>, uint32_t, uint32_t, uint32_t>;
  } else {
    op.run = binary_for<F>(d, type);
  }
}

template <class A, class B>
Handler dot_handler(bool two, bool upper) {
  const auto pick = [](auto f) { return ternary<decltype(f), uint32_t, uint32_t, uint32_t, uint32_t>; };
  if (!two) return pick(Dot4<A, B>());
  using HalfA = std::conditional_t<std::is_signed_v<A>, int16_t, uint16_t>;
  return upper ? pick(Dot2<HalfA, B, true>()) : pick(Dot2<HalfA, B, false>());
}
template <bool kTwo>
void decode_dot(Decoder& d, Op& op) {
  const bool upper = kTwo && d.take_one_of({"lo", "hi"}) == "hi";
  const Type a = d.take_type(), b = d.take_type();
  operands_of(d, op, Type::b32, 3);
  const bool signed_a = a == Type::s32, signed_b = b == Type::s32;
  op.run = signed_a
               ? (signed_b ? dot_handler<int8_t, int8_t>(kTwo, upper) : dot_handler<int8_t, uint8_t>(kTwo, upper))
               : (signed_b ? dot_handler<uint8_t, int8_t>(kTwo, upper) : dot_handler<uint8_t, uint8_t>(kTwo, upper));
}

}  // namespace

void add_integer_opcodes(OpcodeTable& table) {
  table.insert({
      {"add", decode_add},
      {"sub", decode_sub},
      {"mul", decode_mul},
      {"mad", decode_mad},
      {"mul24", decode_mul24},
      {"mad24", decode_mad24},
      {"sad", decode_sad},
      {"div", decode_binary<Divide>},
      {"rem", decode_binary<Remainder>},
      {"abs", decode_unary<Absolute>},
      {"neg", decode_unary<Negate>},
      {"min", decode_min_max<Minimum>},
      {"max", decode_min_max<Maximum>},
      {"dp4a", decode_dot<false>},
      {"dp2a", decode_dot<true>},
  });
}

}  // namespace WKV_TARGET
}  // namespace wkv::emulator
