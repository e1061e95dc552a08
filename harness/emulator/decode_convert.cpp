// cvt. Integers go through 64 bits, so that there is one handler for all widths; between floating-point types and to
// and from them there is one for each pair and rounding mode.
#include "harness/emulator/conversion.hpp"
#include "harness/emulator/opcodes.hpp"

#define WKV_TARGET_FILE "harness/emulator/decode_convert.cpp"
#include "harness/emulator/targets.hpp"

namespace wkv::emulator {
namespace WKV_TARGET {
namespace {

// Op::flags here. Op::bytes is the size of the source register, Op::register_bytes that of the destination's;
// Op::target the source type, Op::immediate the destination type.
enum : uint8_t { kFtz = 1, kSat = 2, kRelu = 4, kSatFinite = 8 };

using Wide = std::array<int64_t, kLanes>;  // integers of any type; u64 as its bits

template <class Register, class T>
inline void widen_lanes(const Context& context, const Source& source, Wide& wide) {
  const Register* from = lanes_of<Register>(context, source);
  for (uint32_t lane = 0; lane < kLanes; ++lane) wide[lane] = static_cast<int64_t>(static_cast<T>(from[lane]));
}
template <class T>
inline void load_as(const Context& context, const Source& source, uint32_t register_bytes, Wide& wide) {
  if (register_bytes == 2) return widen_lanes<uint16_t, T>(context, source, wide);
  if (register_bytes == 4) return widen_lanes<uint32_t, T>(context, source, wide);
  widen_lanes<uint64_t, T>(context, source, wide);
}
void load_integers(const Context& context, const Op& op, Type type, Wide& wide) {
  const auto load = [&](auto zero) { load_as<decltype(zero)>(context, op.src[0], op.bytes, wide); };
  const bool negative = is_signed(type);
  switch (bytes_of(type)) {
    case 1:
      return negative ? load(int8_t{}) : load(uint8_t{});
    case 2:
      return negative ? load(int16_t{}) : load(uint16_t{});
    case 4:
      return negative ? load(int32_t{}) : load(uint32_t{});
    default:
      return load(int64_t{});
  }
}

template <class Register>
inline void narrow_lanes(Context& context, uint32_t offset, Mask lanes, const Wide& wide) {
  for_lanes(lanes_at<Register>(context, offset), lanes,
            [&](uint32_t lane) { return static_cast<Register>(wide[lane]); });
}
// Values are those of the destination type already; a wider register gets them extended.
void store_integers(Context& context, const Op& op, Mask lanes, const Wide& wide) {
  if (op.register_bytes == 2) return narrow_lanes<uint16_t>(context, op.dst[0], lanes, wide);
  if (op.register_bytes == 4) return narrow_lanes<uint32_t>(context, op.dst[0], lanes, wide);
  narrow_lanes<uint64_t>(context, op.dst[0], lanes, wide);
}

// Wraps to the type, as seen through 64 bits.
int64_t wrap(int64_t value, Type type) {
  const uint32_t unused = 64 - 8 * bytes_of(type);
  const uint64_t up = static_cast<uint64_t>(value) << unused;
  return is_signed(type) ? static_cast<int64_t>(up) >> unused : static_cast<int64_t>(up >> unused);
}

int64_t clamp_to(int64_t value, bool from_unsigned, Type type) {
  const uint32_t bits = 8 * bytes_of(type);
  const bool huge = from_unsigned && value < 0;
  if (is_signed(type)) {
    const int64_t high = static_cast<int64_t>(~uint64_t{0} >> (65 - bits)), low = -high - 1;
    return huge ? high : std::clamp(value, low, high);
  }
  if (!from_unsigned && value < 0) return 0;
  const uint64_t high = ~uint64_t{0} >> (64 - bits);
  return static_cast<int64_t>(std::min(static_cast<uint64_t>(value), high));
}

void run_integers(Context& context, const Op& op, Mask lanes) {
  if (op.dst[0] == kNone) return;
  const Type from = static_cast<Type>(op.target), to = static_cast<Type>(op.immediate);
  Wide wide;
  load_integers(context, op, from, wide);
  if (op.flags & kSat) {
    for (int64_t& value : wide) value = clamp_to(value, !is_signed(from), to);
  } else if (bytes_of(to) < op.register_bytes) {
    for (int64_t& value : wide) value = wrap(value, to);
  }
  store_integers(context, op, lanes, wide);
}

template <class To, Rounding kRounding, bool kSigned>
void run_to_float(Context& context, const Op& op, Mask lanes) {
  if (op.dst[0] == kNone) return;
  Wide wide;
  load_integers(context, op, static_cast<Type>(op.target), wide);
  const bool saturate_result = op.flags & kSat;
  for_lanes(lanes_at<To>(context, op.dst[0]), lanes, [&](uint32_t lane) -> To {
    using Integer = std::conditional_t<kSigned, int64_t, uint64_t>;
    const auto value = static_cast<Integer>(wide[lane]);
    To result;
    if constexpr (kRounding == Rounding::rn && std::is_floating_point_v<To>) {
      result = static_cast<To>(value);
    } else {
      result = integer_to_float<To, kRounding>(value);
    }
    return saturate_result ? saturate(result) : result;
  });
}

// From fp32 or fp64; the 16-bit formats are widened first.
template <class From>
struct Widened {
  using Type = float;
};
template <>
struct Widened<double> {
  using Type = double;
};

template <class From>
inline typename Widened<From>::Type prepared(uint8_t flags, From value) {
  if constexpr (std::is_same_v<From, float>) return flags & kFtz ? flush(value) : value;
  if constexpr (std::is_same_v<From, double>) return value;
  if constexpr (sizeof(From) == 2) return widen(value);
}

template <class To, Rounding kRounding, class From>
void run_to_integer(Context& context, const Op& op, Mask lanes) {
  if (op.dst[0] == kNone) return;
  const From* from = lanes_of<From>(context, op.src[0]);
  Wide wide;
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    wide[lane] = static_cast<int64_t>(float_to_integer<To, kRounding>(prepared(op.flags, from[lane])));
  }
  store_integers(context, op, lanes, wide);
}

template <class To>
inline To finished(uint8_t flags, To value) {
  if constexpr (std::is_same_v<To, float>) value = flags & kFtz ? flush(value) : value;
  if constexpr (std::is_floating_point_v<To>) value = flags & kSat ? saturate(value) : value;
  if constexpr (sizeof(To) == 2) {
    value = flags & kSat ? saturate(value) : value;
    value = flags & kRelu ? relu(value) : value;
  }
  if constexpr (std::is_same_v<To, TF32>) value = flags & kRelu && widen(value) < 0 ? TF32{} : value;
  return value;
}

template <class To, Rounding kRounding, class From>
inline To converted(uint8_t flags, From value) {
  const auto wide = prepared(flags, value);
  if constexpr (std::is_same_v<To, F16> || std::is_same_v<To, BF16> || std::is_same_v<To, TF32>) {
    return finished(flags, narrow<To, kRounding>(wide, flags & kSatFinite));
  } else {
    return finished(flags, convert_float<To, kRounding>(wide));
  }
}

template <class To, Rounding kRounding, class From>
void run_floats(Context& context, const Op& op, Mask lanes) {
  if (op.dst[0] == kNone) return;
  const From* from = lanes_of<From>(context, op.src[0]);
  with_flags(op.flags, [&](auto flags) {
    for_lanes(lanes_at<To>(context, op.dst[0]), lanes,
              [&](uint32_t lane) { return converted<To, kRounding>(flags, from[lane]); });
  });
}

// To an integer of the same type.
template <class T, Rounding kRounding>
void run_to_integral(Context& context, const Op& op, Mask lanes) {
  if (op.dst[0] == kNone) return;
  const T* from = lanes_of<T>(context, op.src[0]);
  const uint8_t flags = op.flags;
  for_lanes(lanes_at<T>(context, op.dst[0]), lanes, [&](uint32_t lane) -> T {
    const auto rounded = round_to_integral<kRounding>(static_cast<double>(prepared(flags, from[lane])));
    if constexpr (std::is_floating_point_v<T>) return finished(flags, static_cast<T>(rounded));
    if constexpr (!std::is_floating_point_v<T>) return finished(flags, round_to<T>(rounded));
  });
}

// d = {a, b}: a is the upper half.
template <class Half, Rounding kRounding>
void run_pair(Context& context, const Op& op, Mask lanes) {
  if (op.dst[0] == kNone) return;
  const auto* a = lanes_of<float>(context, op.src[0]);
  const auto* b = lanes_of<float>(context, op.src[1]);
  with_flags(op.flags, [&](auto flags) {
    for_lanes(lanes_at<uint32_t>(context, op.dst[0]), lanes, [&](uint32_t lane) {
      return uint32_t{converted<Half, kRounding>(flags, a[lane]).bits} << 16 |
             uint32_t{converted<Half, kRounding>(flags, b[lane]).bits};
    });
  });
}

// Pairs of 8-bit formats, always with .satfinite.
template <class Byte>
inline uint16_t byte_pair(bool with_relu, float a, float b) {
  const auto byte = [&](float value) {
    if (with_relu && value < 0) value = 0;
    return uint32_t{narrow<Byte, Rounding::rn>(value, true).bits};
  };
  return static_cast<uint16_t>(byte(a) << 8 | byte(b));
}
template <class Byte>
void run_bytes_of_floats(Context& context, const Op& op, Mask lanes) {
  const auto* a = lanes_of<float>(context, op.src[0]);
  const auto* b = lanes_of<float>(context, op.src[1]);
  for_lanes(lanes_at<uint16_t>(context, op.dst[0]), lanes,
            [&](uint32_t lane) { return byte_pair<Byte>(op.flags & kRelu, a[lane], b[lane]); });
}
template <class Byte>
void run_bytes_of_halves(Context& context, const Op& op, Mask lanes) {
  const auto* a = lanes_of<uint32_t>(context, op.src[0]);
  for_lanes(lanes_at<uint16_t>(context, op.dst[0]), lanes, [&](uint32_t lane) {
    return byte_pair<Byte>(op.flags & kRelu, widen(F16{static_cast<uint16_t>(a[lane] >> 16)}),
                           widen(F16{static_cast<uint16_t>(a[lane])}));
  });
}
template <class Byte>
void run_halves_of_bytes(Context& context, const Op& op, Mask lanes) {
  const auto* a = lanes_of<uint16_t>(context, op.src[0]);
  for_lanes(lanes_at<uint32_t>(context, op.dst[0]), lanes, [&](uint32_t lane) {
    const auto half = [&](int shift) {
      const F16 value = round_to<F16>(widen(Byte{static_cast<uint8_t>(a[lane] >> shift)}));
      return uint32_t{(op.flags & kRelu ? relu(value) : value).bits};
    };
    return half(8) << 16 | half(0);
  });
}

template <class Pick>
Handler with_rounding(Rounding rounding, const Pick& pick) {
  switch (rounding) {
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
template <class Pick>
Handler with_float(const Decoder& d, Type type, const Pick& pick) {
  switch (type) {
    case Type::f16:
      return pick(F16());
    case Type::bf16:
      return pick(BF16());
    case Type::f32:
      return pick(float());
    case Type::f64:
      return pick(double());
    default:
      d.fail("this type is not covered");
  }
}

struct Modes {
  Rounding rounding = Rounding::rn;
  bool to_integral = false, away = false;
};

Modes take_modes(Decoder& d, Op& op) {
  struct Name {
    std::string_view to_float, to_integral;
    Rounding rounding;
  };
  static constexpr Name kNames[] = {{"rn", "rni", Rounding::rn},
                                    {"rz", "rzi", Rounding::rz},
                                    {"rm", "rmi", Rounding::rm},
                                    {"rp", "rpi", Rounding::rp}};
  Modes modes;
  modes.away = d.take("rna");
  for (const Name& name : kNames) {
    const bool integral = d.take(name.to_integral);
    if (!integral && !d.take(name.to_float)) continue;
    modes.rounding = name.rounding;
    modes.to_integral = integral;
  }
  op.flags = static_cast<uint8_t>((d.take("ftz") ? kFtz : 0) | (d.take("sat") ? kSat : 0) |
                                  (d.take("relu") ? kRelu : 0) | (d.take("satfinite") ? kSatFinite : 0));
  return modes;
}

Handler to_integer(const Decoder& d, Type to, Type from, Rounding rounding) {
  return with_float(d, from, [&](auto source) {
    return with_rounding(rounding, [&](auto mode) -> Handler {
      constexpr Rounding kRounding = decltype(mode)::value;
      using From = decltype(source);
      const bool negative = is_signed(to);
      switch (bytes_of(to)) {
        case 1:
          return negative ? run_to_integer<int8_t, kRounding, From> : run_to_integer<uint8_t, kRounding, From>;
        case 2:
          return negative ? run_to_integer<int16_t, kRounding, From> : run_to_integer<uint16_t, kRounding, From>;
        case 4:
          return negative ? run_to_integer<int32_t, kRounding, From> : run_to_integer<uint32_t, kRounding, From>;
        default:
          return negative ? run_to_integer<int64_t, kRounding, From> : run_to_integer<uint64_t, kRounding, From>;
      }
    });
  });
}

Handler between_floats(const Decoder& d, Type to, Type from, const Modes& modes) {
  if (to == Type::tf32) {
    if (from != Type::f32) d.fail("this pair of types is not covered");
    if (modes.away) return run_floats<TF32, Rounding::rna, float>;
    return modes.rounding == Rounding::rz ? run_floats<TF32, Rounding::rz, float>
                                          : run_floats<TF32, Rounding::rn, float>;
  }
  if (modes.away) d.fail(".rna is for .tf32 only");
  return with_float(d, to, [&](auto target) {
    return with_float(d, from, [&](auto source) {
      return with_rounding(modes.rounding, [&](auto mode) -> Handler {
        using To = decltype(target);
        using From = decltype(source);
        constexpr Rounding kRounding = decltype(mode)::value;
        if constexpr (std::is_same_v<To, From>) {
          if (modes.to_integral) return run_to_integral<To, kRounding>;
        }
        return run_floats<To, kRounding, From>;
      });
    });
  });
}

template <class Half>
Handler pair_handler(Rounding rounding) {
  return rounding == Rounding::rz ? run_pair<Half, Rounding::rz> : run_pair<Half, Rounding::rn>;
}

// Forms with more than one value in a register.
Handler packed_handler(const Decoder& d, Type to, Type from, Rounding rounding) {
  if (to == Type::f16x2 && from == Type::f32) return pair_handler<F16>(rounding);
  if (to == Type::bf16x2 && from == Type::f32) return pair_handler<BF16>(rounding);
  if (to == Type::e4m3x2 && from == Type::f32) return run_bytes_of_floats<E4M3>;
  if (to == Type::e5m2x2 && from == Type::f32) return run_bytes_of_floats<E5M2>;
  if (to == Type::e4m3x2 && from == Type::f16x2) return run_bytes_of_halves<E4M3>;
  if (to == Type::e5m2x2 && from == Type::f16x2) return run_bytes_of_halves<E5M2>;
  if (to == Type::f16x2 && from == Type::e4m3x2) return run_halves_of_bytes<E4M3>;
  if (to == Type::f16x2 && from == Type::e5m2x2) return run_halves_of_bytes<E5M2>;
  d.fail("this pair of types is not covered");
}

bool is_packed(Type type) {
  return type == Type::f16x2 || type == Type::bf16x2 || type == Type::e4m3x2 || type == Type::e5m2x2;
}

void decode_cvt(Decoder& d, Op& op) {
  if (d.take("pack")) return decode_pack(d, op);
  const Modes modes = take_modes(d, op);
  const Type to = d.take_type(), from = d.take_type();
  op.instruction_class = InstructionClass::conversion;
  if (is_packed(to) || is_packed(from)) {
    const size_t sources = from == Type::f32 ? 2 : 1;
    d.expect_operands(sources + 1, sources + 1);
    op.dst[0] = d.destination(d.operand(0), to);
    for (size_t i = 0; i < sources; ++i) op.src[i] = d.source(d.operand(i + 1), from);
    op.run = packed_handler(d, to, from, modes.rounding);
    return;
  }
  d.expect_operands(2, 2);
  // Registers of integers may be wider than the type.
  const auto register_for = [&](const syntax::Operand& operand, Type type) {
    const uint32_t bytes = d.register_size(operand);
    if (is_float(type) || bytes == 0) return Decoder::register_bytes(type);
    if (bytes < bytes_of(type)) d.fail("a register is narrower than its type");
    return bytes;
  };
  op.register_bytes = static_cast<uint8_t>(register_for(d.operand(0), to));
  op.bytes = static_cast<uint8_t>(register_for(d.operand(1), from));
  op.dst[0] = d.destination(d.operand(0), op.register_bytes);
  const Type source_type = is_float(from) ? from : op.bytes == 2 ? Type::b16 : op.bytes == 4 ? Type::b32 : Type::b64;
  op.src[0] = d.source(d.operand(1), source_type);
  op.target = static_cast<uint32_t>(from);
  op.immediate = static_cast<int64_t>(to);
  if (!is_float(to)) {
    op.run = is_float(from) ? to_integer(d, to, from, modes.rounding) : run_integers;
  } else if (!is_float(from)) {
    op.run = with_float(d, to, [&](auto target) {
      return with_rounding(modes.rounding, [&](auto mode) -> Handler {
        constexpr Rounding kRounding = decltype(mode)::value;
        return is_signed(from) ? run_to_float<decltype(target), kRounding, true>
                               : run_to_float<decltype(target), kRounding, false>;
      });
    });
  } else {
    op.run = between_floats(d, to, from, modes);
  }
}

}  // namespace

void add_conversion_opcodes(OpcodeTable& table) { table.insert({{"cvt", decode_cvt}}); }

}  // namespace WKV_TARGET
}  // namespace wkv::emulator
