// Floating-point arithmetic: fp32 in all rounding modes, fp64, fp16 and bf16 single and in pairs, and the special
// functions. Comparisons are in decode_compare.cpp.
#include <cstring>

#include "harness/emulator/double_rounding.hpp"
#include "harness/emulator/opcodes.hpp"
#include "harness/emulator/special_functions.hpp"

#define WKV_TARGET_FILE "harness/emulator/decode_float.cpp"
#include "harness/emulator/targets.hpp"

namespace wkv::emulator {
namespace WKV_TARGET {
namespace {

// Op::flags here.
enum : uint8_t { kFtz = 1, kSat = 2, kRelu = 4 };

template <class T>
inline T before(uint8_t flags, T value) {
  if constexpr (!std::is_same_v<T, BF16>) return flags & kFtz ? flush(value) : value;
  return value;
}
template <class T>
inline T after(uint8_t flags, T value) {
  if constexpr (!std::is_same_v<T, BF16>) value = flags & kFtz ? flush(value) : value;
  if (flags & kSat) value = saturate(value);
  if constexpr (sizeof(T) == 2) value = flags & kRelu ? relu(value) : value;
  return value;
}

template <Rounding kRounding>
struct Add {
  float operator()(float a, float b) const { return add<kRounding>(a, b); }
  double operator()(double a, double b) const { return a + b; }
  template <class T>
  T operator()(T a, T b) const {
    return add(a, b);
  }
};
template <Rounding kRounding>
struct Subtract {
  float operator()(float a, float b) const { return subtract<kRounding>(a, b); }
  double operator()(double a, double b) const { return a - b; }
  template <class T>
  T operator()(T a, T b) const {
    return subtract(a, b);
  }
};
template <Rounding kRounding>
struct Multiply {
  float operator()(float a, float b) const { return multiply<kRounding>(a, b); }
  double operator()(double a, double b) const { return a * b; }
  template <class T>
  T operator()(T a, T b) const {
    return multiply(a, b);
  }
};
template <Rounding kRounding>
struct FusedMultiplyAdd {
  float operator()(float a, float b, float c) const {
#if defined(WKV_TARGET_HAS_FMA)
    if constexpr (kRounding == Rounding::rn) return canonical(__builtin_fmaf(a, b, c));
#endif
    return fused_multiply_add<kRounding>(a, b, c);
  }
  double operator()(double a, double b, double c) const { return __builtin_fma(a, b, c); }
  template <class T>
  T operator()(T a, T b, T c) const {
    return fused_multiply_add(a, b, c);
  }
};
template <Rounding kRounding>
struct Divide {
  float operator()(float a, float b) const { return divide<kRounding>(a, b); }
  double operator()(double a, double b) const { return a / b; }
};
template <Rounding kRounding>
struct Reciprocal {
  float operator()(float a) const { return divide<kRounding>(1.0f, a); }
  double operator()(double a) const { return 1.0 / a; }
};
template <Rounding kRounding>
struct SquareRoot {
  float operator()(float a) const { return square_root<kRounding>(a); }
  double operator()(double a) const { return __builtin_sqrt(a); }
};
struct DivideApproximate {
  float operator()(float a, float b) const { return divide_approximate(a, b); }
};
template <MinMax kWhat>
struct Extreme {
  template <class T>
  T operator()(T a, T b) const {
    return min_max(kWhat, a, b);
  }
};
struct Absolute {
  template <class T>
  T operator()(T a) const {
    return absolute(a);
  }
};
struct Negate {
  template <class T>
  T operator()(T a) const {
    return negate(a);
  }
};
struct CopySign {
  template <class T>
  T operator()(T a, T b) const {
    return copy_sign(a, b);
  }
};
// The special functions on fp32; on 16-bit formats through it, rounded once more.
template <float (*kFunction)(float)>
struct Special {
  float operator()(float a) const { return kFunction(a); }
  template <class T>
  T operator()(T a) const {
    return round_to<T>(kFunction(widen(a)));
  }
};
template <double (*kFunction)(double)>
struct SpecialDouble {
  double operator()(double a) const { return kFunction(a); }
};

template <class F, class T, size_t kCount>
inline T value_of(uint8_t flags, const std::array<T, kCount>& x) {
  if constexpr (kCount == 1) return after(flags, F()(before(flags, x[0])));
  if constexpr (kCount == 2) return after(flags, F()(before(flags, x[0]), before(flags, x[1])));
  if constexpr (kCount == 3) return after(flags, F()(before(flags, x[0]), before(flags, x[1]), before(flags, x[2])));
}

template <class F, class T, size_t... kIndex>
inline void run_values_of(Context& context, const Op& op, Mask lanes, std::index_sequence<kIndex...>) {
  if (op.dst[0] == kNone) return;
  const std::array<const T*, sizeof...(kIndex)> from = {lanes_of<T>(context, op.src[kIndex])...};
  T* out = lanes_at<T>(context, op.dst[0]);
  with_flags(op.flags, [&](auto flags) {
    for_lanes(out, lanes,
              [&](uint32_t lane) { return value_of<F, T, sizeof...(kIndex)>(flags, {from[kIndex][lane]...}); });
  });
}
template <class F, class T, size_t kCount>
void run_values(Context& context, const Op& op, Mask lanes) {
  run_values_of<F, T>(context, op, lanes, std::make_index_sequence<kCount>());
}

// Two 16-bit values in a register: 64 of them side by side.
template <class F, class Half, size_t... kIndex>
[[gnu::flatten]] inline void run_pairs_of(Context& context, const Op& op, Mask lanes, std::index_sequence<kIndex...>) {
  if (op.dst[0] == kNone) return;
  const std::array<const uint16_t*, sizeof...(kIndex)> from = {lanes_of<uint16_t>(context, op.src[kIndex])...};
  alignas(64) uint16_t results[2 * kLanes];
  with_flags(op.flags, [&](auto flags) {
    for (uint32_t i = 0; i < 2 * kLanes; ++i) {
      results[i] = value_of<F, Half, sizeof...(kIndex)>(flags, {Half{from[kIndex][i]}...}).bits;
    }
  });
  const auto* pairs = reinterpret_cast<const std::byte*>(results);
  for_lanes(lanes_at<uint32_t>(context, op.dst[0]), lanes, [&](uint32_t lane) {
    uint32_t pair;
    std::memcpy(&pair, pairs + lane * sizeof pair, sizeof pair);
    return pair;
  });
}
template <class F, class Half, size_t kCount>
void run_pairs(Context& context, const Op& op, Mask lanes) {
  run_pairs_of<F, Half>(context, op, lanes, std::make_index_sequence<kCount>());
}

template <DoubleOperation kOperation, Rounding kRounding>
void run_double(Context& context, const Op& op, Mask lanes) {
  if (op.dst[0] == kNone) return;
  std::array<double, kLanes> result, x[3];
  for (size_t i = 0; i < 3; ++i) std::copy_n(lanes_of<double>(context, op.src[i]), kLanes, x[i].begin());
  evaluate(kOperation, kRounding, result, x[0], x[1], x[2]);
  for_lanes(lanes_at<double>(context, op.dst[0]), lanes, [&](uint32_t lane) { return result[lane]; });
}

struct Modifiers {
  Rounding rounding = Rounding::rn;
  Type type{};
};

// Rounding, .ftz, .sat, .relu, the type, then d and the sources.
Modifiers take_all(Decoder& d, Op& op, size_t sources) {
  Modifiers modifiers;
  modifiers.rounding = d.take("rz")   ? Rounding::rz
                       : d.take("rm") ? Rounding::rm
                       : d.take("rp") ? Rounding::rp
                                      : Rounding::rn;
  d.take("rn");
  op.flags =
      static_cast<uint8_t>((d.take("ftz") ? kFtz : 0) | (d.take("sat") ? kSat : 0) | (d.take("relu") ? kRelu : 0));
  const Type type = modifiers.type = d.take_type();
  op.instruction_class = type == Type::f32   ? InstructionClass::fp32
                         : type == Type::f64 ? InstructionClass::fp64
                                             : InstructionClass::fp16;
  d.expect_operands(sources + 1, sources + 1);
  op.dst[0] = d.destination(d.operand(0), type);
  for (size_t i = 0; i < sources; ++i) op.src[i] = d.source(d.operand(i + 1), type);
  return modifiers;
}

uint32_t values_in(Type type) { return type == Type::f16x2 || type == Type::bf16x2 ? 2 : 1; }

template <class F, size_t kCount>
Handler half_handler(Type type) {
  switch (type) {
    case Type::f16:
      return run_values<F, F16, kCount>;
    case Type::bf16:
      return run_values<F, BF16, kCount>;
    case Type::f16x2:
      return run_pairs<F, F16, kCount>;
    case Type::bf16x2:
      return run_pairs<F, BF16, kCount>;
    default:
      return nullptr;
  }
}

template <template <Rounding> class F, DoubleOperation kDouble, size_t kCount>
Handler rounding_handler(const Decoder& d, const Modifiers& modifiers) {
  const auto pick = [&](auto rounding) -> Handler {
    constexpr Rounding kRounding = decltype(rounding)::value;
    if (modifiers.type == Type::f32) return run_values<F<kRounding>, float, kCount>;
    if constexpr (kRounding == Rounding::rn) return run_values<F<kRounding>, double, kCount>;
    return run_double<kDouble, kRounding>;
  };
  if (modifiers.type != Type::f32 && modifiers.type != Type::f64) d.fail("this type is not covered");
  switch (modifiers.rounding) {
    case Rounding::rz:
      return pick(std::integral_constant<Rounding, Rounding::rz>());
    case Rounding::rm:
      return pick(std::integral_constant<Rounding, Rounding::rm>());
    case Rounding::rp:
      return pick(std::integral_constant<Rounding, Rounding::rp>());
    default:
      return pick(std::integral_constant<Rounding, Rounding::rn>());
  }
}

template <template <Rounding> class F, DoubleOperation kDouble, size_t kCount>
void decode_rounded(Decoder& d, Op& op) {
  const Modifiers modifiers = take_all(d, op, kCount);
  op.run = half_handler<F<Rounding::rn>, kCount>(modifiers.type);
  if (!op.run) op.run = rounding_handler<F, kDouble, kCount>(d, modifiers);
  op.flops = (kCount == 3 ? 2 : 1) * values_in(modifiers.type);
}

void decode_div(Decoder& d, Op& op) {
  const bool approximate = d.take("approx"), full = d.take("full");
  const Modifiers modifiers = take_all(d, op, 2);
  op.run = approximate ? run_values<DivideApproximate, float, 2>
                       : rounding_handler<Divide, DoubleOperation::divide, 2>(d, modifiers);
  if ((approximate || full) && modifiers.type != Type::f32) d.fail("this type is not covered");
}

void decode_rcp(Decoder& d, Op& op) {
  const bool approximate = d.take("approx");
  const Modifiers modifiers = take_all(d, op, 1);
  op.instruction_class = InstructionClass::special;
  if (approximate && modifiers.type == Type::f64) {
    op.run = run_values<SpecialDouble<reciprocal_approximate>, double, 1>;
    op.flags = 0;
  } else if (approximate) {
    op.run = run_values<Special<reciprocal>, float, 1>;
  } else if (modifiers.type == Type::f64) {
    op.src[1] = op.src[2] = op.src[0];
    op.src[0] = d.constant(std::bit_cast<uint64_t>(1.0), 8);
    op.run = rounding_handler<Divide, DoubleOperation::divide, 2>(d, modifiers);
  } else {
    op.run = rounding_handler<Reciprocal, DoubleOperation::divide, 1>(d, modifiers);
  }
}

void decode_sqrt(Decoder& d, Op& op) {
  const bool approximate = d.take("approx");
  const Modifiers modifiers = take_all(d, op, 1);
  op.instruction_class = InstructionClass::special;
  if (approximate && modifiers.type != Type::f32) d.fail("this type is not covered");
  op.run = rounding_handler<SquareRoot, DoubleOperation::square_root, 1>(d, modifiers);
}

void decode_rsqrt(Decoder& d, Op& op) {
  d.take("approx");
  const Modifiers modifiers = take_all(d, op, 1);
  op.instruction_class = InstructionClass::special;
  if (modifiers.type == Type::f32) {
    op.run = run_values<Special<reciprocal_square_root>, float, 1>;
    return;
  }
  op.run = op.flags & kFtz ? run_values<SpecialDouble<reciprocal_square_root_approximate>, double, 1>
                           : run_values<SpecialDouble<reciprocal_square_root_of_double>, double, 1>;
  op.flags = 0;
}

template <float (*kFunction)(float), bool kHalves>
void decode_special(Decoder& d, Op& op) {
  d.take("approx");
  const Modifiers modifiers = take_all(d, op, 1);
  op.instruction_class = InstructionClass::special;
  op.run = modifiers.type == Type::f32 ? run_values<Special<kFunction>, float, 1> : nullptr;
  if constexpr (kHalves) {
    if (!op.run) op.run = half_handler<Special<kFunction>, 1>(modifiers.type);
  }
  if (!op.run) d.fail("this type is not covered");
}

template <class F, size_t kCount>
Handler any_handler(const Decoder& d, Type type) {
  if (type == Type::f32) return run_values<F, float, kCount>;
  if (type == Type::f64) return run_values<F, double, kCount>;
  const Handler handler = half_handler<F, kCount>(type);
  if (!handler) d.fail("this type is not covered");
  return handler;
}

template <bool kMaximum>
void decode_min_max(Decoder& d, Op& op) {
  const bool nan = d.take("NaN"), xorsign = d.take("xorsign");
  if (xorsign && !d.take("abs")) d.fail(".xorsign needs .abs");
  const Type type = take_all(d, op, 2).type;
  op.run = nan ? (xorsign ? any_handler<Extreme<MinMax{kMaximum, true, true}>, 2>(d, type)
                          : any_handler<Extreme<MinMax{kMaximum, true, false}>, 2>(d, type))
               : (xorsign ? any_handler<Extreme<MinMax{kMaximum, false, true}>, 2>(d, type)
                          : any_handler<Extreme<MinMax{kMaximum, false, false}>, 2>(d, type));
}

template <class F>
void decode_sign(Decoder& d, Op& op) {
  const Type type = take_all(d, op, 1).type;
  op.run = any_handler<F, 1>(d, type);
}

void decode_copysign(Decoder& d, Op& op) {
  const Type type = take_all(d, op, 2).type;
  if (type != Type::f32 && type != Type::f64) d.fail("this type is not covered");
  op.run = type == Type::f32 ? run_values<CopySign, float, 2> : run_values<CopySign, double, 2>;
}

template <class T>
void run_testp(Context& context, const Op& op, Mask lanes) {
  const T* a = lanes_of<T>(context, op.src[0]);
  const auto property = static_cast<FloatProperty>(op.immediate);
  set_mask(context, op.dst[0], lanes, test_lanes([&](uint32_t lane) { return has_property(property, a[lane]); }));
}
void decode_testp(Decoder& d, Op& op) {
  // In the order of FloatProperty.
  const std::string_view name = d.take_one_of({"finite", "infinite", "number", "notanumber", "normal", "subnormal"});
  const int64_t property = name == "finite"       ? 0
                           : name == "infinite"   ? 1
                           : name == "number"     ? 2
                           : name == "notanumber" ? 3
                           : name == "normal"     ? 4
                                                  : 5;
  const Type type = d.take_type();
  if ((type != Type::f32 && type != Type::f64)) d.fail("this form is not covered");
  op.instruction_class = type == Type::f32 ? InstructionClass::fp32 : InstructionClass::fp64;
  d.expect_operands(2, 2);
  op.dst[0] = d.predicate_destination(d.operand(0));
  op.src[0] = d.source(d.operand(1), type);
  op.immediate = property;
  op.run = type == Type::f32 ? run_testp<float> : run_testp<double>;
}

}  // namespace

void add_float_opcodes(OpcodeTable& table) {
  table.insert({
      {"add:float", decode_rounded<Add, DoubleOperation::add, 2>},
      {"sub:float", decode_rounded<Subtract, DoubleOperation::subtract, 2>},
      {"mul:float", decode_rounded<Multiply, DoubleOperation::multiply, 2>},
      {"fma", decode_rounded<FusedMultiplyAdd, DoubleOperation::fused_multiply_add, 3>},
      {"mad:float", decode_rounded<FusedMultiplyAdd, DoubleOperation::fused_multiply_add, 3>},
      {"div:float", decode_div},
      {"rcp", decode_rcp},
      {"sqrt", decode_sqrt},
      {"rsqrt", decode_rsqrt},
      {"ex2", decode_special<exp2_approximate, true>},
      {"lg2", decode_special<log2_approximate, false>},
      {"sin", decode_special<sine, false>},
      {"cos", decode_special<cosine, false>},
      {"tanh", decode_special<tanh_approximate, true>},
      {"min:float", decode_min_max<false>},
      {"max:float", decode_min_max<true>},
      {"abs:float", decode_sign<Absolute>},
      {"neg:float", decode_sign<Negate>},
      {"copysign", decode_copysign},
      {"testp", decode_testp},
  });
}

}  // namespace WKV_TARGET
}  // namespace wkv::emulator
