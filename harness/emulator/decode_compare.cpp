// Comparisons that give predicates or values, and selections by them.
#include <fmt/format.h>

#include "harness/emulator/float_arithmetic.hpp"
#include "harness/emulator/opcodes.hpp"

#define WKV_TARGET_FILE "harness/emulator/decode_compare.cpp"
#include "harness/emulator/targets.hpp"

namespace wkv::emulator {
namespace WKV_TARGET {
namespace {

enum class Combination : uint8_t { none, conjunction, disjunction, exclusive };

// What Op::immediate holds for setp and set.
struct Request {
  Comparison comparison{};
  Combination combination{};
  bool ftz = false;
  bool flip_c = false;
  Type result{};  // of set

  static Request of(const Op& op);
};

template <class T>
struct Number {  // what is compared for a register type
  static T of(T value, bool) { return value; }
};
template <>
struct Number<float> {
  static float of(float value, bool ftz) { return ftz ? flush(value) : value; }
};
template <>
struct Number<F16> {
  static float of(F16 value, bool ftz) { return widen(ftz ? flush(value) : value); }
};
template <>
struct Number<BF16> {
  static float of(BF16 value, bool) { return widen(value); }
};

template <class T>
Mask compare_lanes(const Request& request, const T* a, const T* b) {
  const auto with = [&](auto comparison) {
    return test_lanes([&](uint32_t lane) {
      return compare(decltype(comparison)::value, Number<T>::of(a[lane], request.ftz),
                     Number<T>::of(b[lane], request.ftz));
    });
  };
#define WKV_CASE(name)   \
  case Comparison::name: \
    return with(std::integral_constant<Comparison, Comparison::name>())
  switch (request.comparison) {
    WKV_CASE(eq);
    WKV_CASE(ne);
    WKV_CASE(lt);
    WKV_CASE(le);
    WKV_CASE(gt);
    WKV_CASE(ge);
    WKV_CASE(equ);
    WKV_CASE(neu);
    WKV_CASE(ltu);
    WKV_CASE(leu);
    WKV_CASE(gtu);
    WKV_CASE(geu);
    WKV_CASE(num);
    WKV_CASE(nan);
  }
#undef WKV_CASE
  return 0;
}

Mask combine(const Context& context, const Op& op, const Request& request, Mask truth) {
  if (request.combination == Combination::none) return truth;
  const Mask c = mask_of(context, op.src[2]) ^ (request.flip_c ? kFull : 0);
  switch (request.combination) {
    case Combination::conjunction:
      return truth & c;
    case Combination::disjunction:
      return truth | c;
    default:
      return truth ^ c;
  }
}

template <class T>
void run_setp(Context& context, const Op& op, Mask lanes) {
  const Request request = Request::of(op);
  const Mask truth = compare_lanes(request, lanes_of<T>(context, op.src[0]), lanes_of<T>(context, op.src[1]));
  // Both are computed before one is stored: c may be one of the destinations.
  const Mask p = combine(context, op, request, truth), q = combine(context, op, request, ~truth);
  set_mask(context, op.dst[0], lanes, p);
  set_mask(context, op.dst[1], lanes, q);
}

template <class Half>
struct Halves {
  alignas(64) Half low[kLanes], high[kLanes];
  Halves(const Context& context, const Source& source) {
    const auto* both = lanes_of<uint32_t>(context, source);
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      low[lane].bits = static_cast<uint16_t>(both[lane]);
      high[lane].bits = static_cast<uint16_t>(both[lane] >> 16);
    }
  }
};

template <class Half>
void run_setp_pair(Context& context, const Op& op, Mask lanes) {
  const Request request = Request::of(op);
  const Halves<Half> a(context, op.src[0]), b(context, op.src[1]);
  const Mask p = combine(context, op, request, compare_lanes(request, a.low, b.low));
  const Mask q = combine(context, op, request, compare_lanes(request, a.high, b.high));
  set_mask(context, op.dst[0], lanes, p);
  set_mask(context, op.dst[1], lanes, q);
}

// All ones or zero as an integer, one or zero as a float; of 16 bits for set on pairs.
uint32_t truth_value(Type result) {
  switch (result) {
    case Type::f32:
      return 0x3f800000;
    case Type::f16:
    case Type::f16x2:
      return 0x3c00;
    case Type::bf16:
    case Type::bf16x2:
      return 0x3f80;
    default:
      return 0xffffffff;
  }
}

template <class T>
void run_set(Context& context, const Op& op, Mask lanes) {
  if (op.dst[0] == kNone) return;
  const Request request = Request::of(op);
  const Mask truth = combine(context, op, request,
                             compare_lanes(request, lanes_of<T>(context, op.src[0]), lanes_of<T>(context, op.src[1])));
  const uint32_t value = truth_value(request.result);
  if (Decoder::register_bytes(request.result) == 2) {
    for_lanes(lanes_at<uint16_t>(context, op.dst[0]), lanes,
              [&](uint32_t lane) { return static_cast<uint16_t>(truth >> lane & 1 ? value : 0); });
  } else {
    for_lanes(lanes_at<uint32_t>(context, op.dst[0]), lanes,
              [&](uint32_t lane) { return truth >> lane & 1 ? value : 0; });
  }
}

template <class Half>
void run_set_pair(Context& context, const Op& op, Mask lanes) {
  if (op.dst[0] == kNone) return;
  const Request request = Request::of(op);
  const Halves<Half> a(context, op.src[0]), b(context, op.src[1]);
  const Mask low = combine(context, op, request, compare_lanes(request, a.low, b.low));
  const Mask high = combine(context, op, request, compare_lanes(request, a.high, b.high));
  const uint32_t value = truth_value(request.result) & 0xffff;
  for_lanes(lanes_at<uint32_t>(context, op.dst[0]), lanes,
            [&](uint32_t lane) { return (low >> lane & 1 ? value : 0) | (high >> lane & 1 ? value << 16 : 0); });
}

Request Request::of(const Op& op) {
  Request request;
  const auto bits = static_cast<uint64_t>(op.immediate);
  request.comparison = static_cast<Comparison>(bits & 0xff);
  request.combination = static_cast<Combination>(bits >> 8 & 0xff);
  request.ftz = bits >> 16 & 1;
  request.flip_c = bits >> 17 & 1;
  request.result = static_cast<Type>(bits >> 24 & 0xff);
  return request;
}

int64_t packed(const Request& request) {
  return static_cast<int64_t>(request.comparison) | static_cast<int64_t>(request.combination) << 8 |
         int64_t{request.ftz} << 16 | int64_t{request.flip_c} << 17 | static_cast<int64_t>(request.result) << 24;
}

Request take_request(Decoder& d, Op& op, bool has_result) {
  static constexpr std::pair<std::string_view, Comparison> kComparisons[] = {
      {"eq", Comparison::eq},   {"ne", Comparison::ne},   {"lt", Comparison::lt},   {"le", Comparison::le},
      {"gt", Comparison::gt},   {"ge", Comparison::ge},   {"lo", Comparison::lt},   {"ls", Comparison::le},
      {"hi", Comparison::gt},   {"hs", Comparison::ge},   {"equ", Comparison::equ}, {"neu", Comparison::neu},
      {"ltu", Comparison::ltu}, {"leu", Comparison::leu}, {"gtu", Comparison::gtu}, {"geu", Comparison::geu},
      {"num", Comparison::num}, {"nan", Comparison::nan},
  };
  Request request;
  const auto* known = std::find_if(std::begin(kComparisons), std::end(kComparisons),
                                   [&](const auto& comparison) { return comparison.first == d.peek_modifier(); });
  if (known == std::end(kComparisons)) d.fail("a comparison is missing");
  d.take(known->first);
  request.comparison = known->second;
  request.combination = d.take("and")   ? Combination::conjunction
                        : d.take("or")  ? Combination::disjunction
                        : d.take("xor") ? Combination::exclusive
                                        : Combination::none;
  request.ftz = d.take("ftz");
  if (has_result) request.result = d.take_type();
  const bool combined = request.combination != Combination::none;
  d.expect_operands(combined ? 4 : 3, combined ? 4 : 3);
  if (combined) {
    op.src[2] = d.predicate(d.operand(3));
    request.flip_c = d.operand(3).negated;
  }
  return request;
}

void set_class(Op& op, Type type) {
  op.instruction_class = !is_float(type)     ? InstructionClass::integer
                         : type == Type::f32 ? InstructionClass::fp32
                         : type == Type::f64 ? InstructionClass::fp64
                                             : InstructionClass::fp16;
}

template <template <class> class Run>
Handler for_type(const Decoder& d, Type type) {
  if (!is_float(type)) return for_integer_type(d, type, [](auto t) -> Handler { return Run<decltype(t)>::run; });
  switch (type) {
    case Type::f32:
      return Run<float>::run;
    case Type::f64:
      return Run<double>::run;
    case Type::f16:
      return Run<F16>::run;
    case Type::bf16:
      return Run<BF16>::run;
    default:
      d.fail("this type is not covered");
  }
}
template <class T>
struct Setp {
  static constexpr Handler run = run_setp<T>;
};
template <class T>
struct Set {
  static constexpr Handler run = run_set<T>;
};

void decode_setp(Decoder& d, Op& op) {
  const Request request = take_request(d, op, false);
  const Type type = d.take_type();
  set_class(op, type);
  const syntax::Operand& result = d.operand(0);
  const bool pair = result.kind == syntax::Operand::Kind::pair;
  op.dst[0] = d.predicate_destination(pair ? result.parts[0] : result);
  if (pair) op.dst[1] = d.predicate_destination(result.parts[1]);
  for (size_t i = 0; i < 2; ++i) op.src[i] = d.source(d.operand(i + 1), type);
  op.immediate = packed(request);
  op.run = type == Type::f16x2    ? run_setp_pair<F16>
           : type == Type::bf16x2 ? run_setp_pair<BF16>
                                  : for_type<Setp>(d, type);
}

void decode_set(Decoder& d, Op& op) {
  const Request request = take_request(d, op, true);
  const Type type = d.take_type();
  set_class(op, type);
  op.dst[0] = d.destination(d.operand(0), request.result);
  for (size_t i = 0; i < 2; ++i) op.src[i] = d.source(d.operand(i + 1), type);
  op.immediate = packed(request);
  op.run = type == Type::f16x2 ? run_set_pair<F16> : type == Type::bf16x2 ? run_set_pair<BF16> : for_type<Set>(d, type);
}

template <class T>
void run_selp(Context& context, const Op& op, Mask lanes) {
  if (op.dst[0] == kNone) return;
  const T* a = lanes_of<T>(context, op.src[0]);
  const T* b = lanes_of<T>(context, op.src[1]);
  const Mask c = mask_of(context, op.src[2]) ^ static_cast<Mask>(op.immediate);
  for_lanes(lanes_at<T>(context, op.dst[0]), lanes, [&](uint32_t lane) { return (c >> lane & 1) ? a[lane] : b[lane]; });
}

Type bits_like(Type type) {
  switch (bytes_of(type)) {
    case 2:
      return Type::b16;
    case 4:
      return Type::b32;
    default:
      return Type::b64;
  }
}

void decode_selp(Decoder& d, Op& op) {
  const Type type = d.take_type();
  op.instruction_class = InstructionClass::integer;
  d.expect_operands(4, 4);
  op.dst[0] = d.destination(d.operand(0), type);
  for (size_t i = 0; i < 2; ++i) op.src[i] = d.source(d.operand(i + 1), type);
  op.src[2] = d.predicate(d.operand(3));
  op.immediate = d.operand(3).negated ? 0xffffffff : 0;
  op.run = for_integer_type(d, bits_like(type), [](auto t) -> Handler { return run_selp<decltype(t)>; });
}

struct SelectBySign {
  template <class T>
  T operator()(T a, T b, int32_t c) const {
    return c >= 0 ? a : b;
  }
  template <class T>
  T operator()(T a, T b, float c) const {
    return c >= 0 ? a : b;  // -0 too; NaN takes b
  }
};
struct SelectBySignFlushed {
  template <class T>
  T operator()(T a, T b, float c) const {
    return flush(c) >= 0 ? a : b;
  }
};

void decode_slct(Decoder& d, Op& op) {
  const bool ftz = d.take("ftz");
  const Type type = d.take_type(), by = d.take_type();
  op.instruction_class = InstructionClass::integer;
  d.expect_operands(4, 4);
  op.dst[0] = d.destination(d.operand(0), type);
  for (size_t i = 0; i < 2; ++i) op.src[i] = d.source(d.operand(i + 1), type);
  op.src[2] = d.source(d.operand(3), by);
  if (by != Type::s32 && by != Type::f32) d.fail("this type is not covered");
  op.run = for_integer_type(d, bits_like(type), [&](auto t) -> Handler {
    using T = decltype(t);
    if (by == Type::s32) return ternary<SelectBySign, T, T, T, int32_t>;
    return ftz ? ternary<SelectBySignFlushed, T, T, T, float> : ternary<SelectBySign, T, T, T, float>;
  });
}

}  // namespace

void add_compare_opcodes(OpcodeTable& table) {
  table.insert({{"setp", decode_setp}, {"set", decode_set}, {"selp", decode_selp}, {"slct", decode_slct}});
}

}  // namespace WKV_TARGET
}  // namespace wkv::emulator
