// atom and red: read, compute and write in one step, with respect to all blocks that run. Lanes act in order.
#include <bit>

#include "harness/emulator/float_arithmetic.hpp"
#include "harness/emulator/opcodes.hpp"
#include "harness/emulator/operands.hpp"

namespace wkv::emulator {
namespace {

template <class T>
using BitsOf = std::conditional_t<sizeof(T) == 2, uint16_t, std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>>;

struct Add {
  template <class T>
  T operator()(T old, T b, T) const {
    if constexpr (std::is_integral_v<T>) {
      return static_cast<T>(static_cast<std::make_unsigned_t<T>>(old) + static_cast<std::make_unsigned_t<T>>(b));
    } else if constexpr (std::is_same_v<T, double>) {
      return old + b;
    } else {
      return add(old, b);
    }
  }
};
struct Minimum {
  template <class T>
  T operator()(T old, T b, T) const {
    if constexpr (std::is_integral_v<T>) return std::min(old, b);
    if constexpr (!std::is_integral_v<T>) return min_max(MinMax{false}, old, b);
  }
};
struct Maximum {
  template <class T>
  T operator()(T old, T b, T) const {
    if constexpr (std::is_integral_v<T>) return std::max(old, b);
    if constexpr (!std::is_integral_v<T>) return min_max(MinMax{true}, old, b);
  }
};
struct And {
  template <class T>
  T operator()(T old, T b, T) const {
    return old & b;
  }
};
struct Or {
  template <class T>
  T operator()(T old, T b, T) const {
    return old | b;
  }
};
struct Xor {
  template <class T>
  T operator()(T old, T b, T) const {
    return old ^ b;
  }
};
struct Exchange {
  template <class T>
  T operator()(T, T b, T) const {
    return b;
  }
};
struct Increment {
  template <class T>
  T operator()(T old, T b, T) const {
    return old >= b ? 0 : old + 1;
  }
};
struct Decrement {
  template <class T>
  T operator()(T old, T b, T) const {
    return old == 0 || old > b ? b : old - 1;
  }
};
struct CompareAndSwap {
  template <class T>
  T operator()(T old, T b, T c) const {
    return old == b ? c : old;
  }
};

// Two 16-bit values in a word.
template <class Half>
struct Pair {
  uint32_t bits;
};
template <class F, class Half>
Pair<Half> apply(const F& f, Pair<Half> old, Pair<Half> b, Pair<Half> c) {
  const auto half = [&](int shift) {
    const auto part = [&](Pair<Half> pair) { return Half{static_cast<uint16_t>(pair.bits >> shift)}; };
    return uint32_t{f(part(old), part(b), part(c)).bits} << shift;
  };
  return {half(16) | half(0)};
}
template <class F, class T>
T apply(const F& f, T old, T b, T c) {
  return f(old, b, c);
}

template <class F, class T>
T update(std::byte* place, T b, T c) {
  using Bits = BitsOf<T>;
  auto* bits = reinterpret_cast<Bits*>(place);
  Bits old = __atomic_load_n(bits, __ATOMIC_RELAXED);
  for (;;) {
    const auto result = std::bit_cast<Bits>(apply(F(), std::bit_cast<T>(old), b, c));
    if (__atomic_compare_exchange_n(bits, &old, result, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
      return std::bit_cast<T>(old);
    }
  }
}

// One value for each lane, or the elements of a vector one after the other.
template <class F, class T>
void run_atomic(Context& context, const Op& op, Mask lanes) {
  if (!lanes) return;
  uint64_t addresses[kLanes];
  addresses_of(context, op, addresses, op.src[0]);
  const uint32_t count = std::max<uint32_t>(1, op.src_count);
  std::byte* places[kLanes];
  context.atomic(op, addresses, lanes, static_cast<uint32_t>(sizeof(T)) * count, places);
  const T* c = values_of<T>(context, op.src[2]);
  for_each_lane(lanes, [&](uint32_t lane) {
    for (uint32_t i = 0; i < count; ++i) {
      const T* b = values_of<T>(context, op.src_count ? op.src_list[i] : op.src[1]);
      const T old = places[lane] ? update<F>(places[lane] + sizeof(T) * i, b[lane], c[lane]) : T{};
      const uint32_t to = op.dst_count ? op.dst_list[i] : op.dst[0];
      if (to != kNone) register_at<T>(context, to)[lane] = old;
    }
  });
}

template <class F>
Handler integer_handler(const Decoder& d, Type type) {
  switch (type) {
    case Type::u32:
    case Type::b32:
      return run_atomic<F, uint32_t>;
    case Type::s32:
      return run_atomic<F, int32_t>;
    case Type::u64:
    case Type::b64:
      return run_atomic<F, uint64_t>;
    case Type::s64:
      return run_atomic<F, int64_t>;
    default:
      d.fail("this type is not covered");
  }
}
template <class F>
Handler float_handler(const Decoder& d, Type type) {
  switch (type) {
    case Type::f32:
      return run_atomic<F, float>;
    case Type::f64:
      return run_atomic<F, double>;
    case Type::f16:
      return run_atomic<F, F16>;
    case Type::bf16:
      return run_atomic<F, BF16>;
    case Type::f16x2:
      return run_atomic<F, Pair<F16>>;
    case Type::bf16x2:
      return run_atomic<F, Pair<BF16>>;
    default:
      return integer_handler<F>(d, type);
  }
}
template <class F>
Handler bits_handler(const Decoder& d, Type type) {
  if (type == Type::b16) return run_atomic<F, uint16_t>;
  return integer_handler<F>(d, type);
}

Handler handler_for(const Decoder& d, std::string_view operation, Type type) {
  if (operation == "add") return float_handler<Add>(d, type);
  if (operation == "min") return float_handler<Minimum>(d, type);
  if (operation == "max") return float_handler<Maximum>(d, type);
  if (operation == "and") return integer_handler<And>(d, type);
  if (operation == "or") return integer_handler<Or>(d, type);
  if (operation == "xor") return integer_handler<Xor>(d, type);
  if (operation == "exch") return bits_handler<Exchange>(d, type);
  if (operation == "cas") return bits_handler<CompareAndSwap>(d, type);
  if (type != Type::u32) d.fail("this type is not covered");
  return operation == "inc" ? run_atomic<Increment, uint32_t> : run_atomic<Decrement, uint32_t>;
}

void decode_atomic_operation(Decoder& d, Op& op, bool has_result) {
  d.take_any_of({"relaxed", "acquire", "release", "acq_rel", "seq_cst"});
  d.take_any_of({"cta", "cluster", "gpu", "sys"});
  op.space = take_memory_space(d);
  d.take("noftz");
  const size_t policies = take_cache_policy(d);
  const bool vector = d.take_any_of({"v2", "v4", "v8"});
  const std::string_view operation =
      d.take_one_of({"add", "inc", "dec", "min", "max", "and", "or", "xor", "exch", "cas"});
  const Type type = d.take_type();
  op.instruction_class = InstructionClass::atomic;
  op.run = handler_for(d, operation, type);
  size_t at = 0;
  const size_t sources = operation == "cas" ? 2 : 1;
  const size_t operands = has_result + 1 + sources + policies;
  d.expect_operands(operands, operands);
  const auto list_of = [](const syntax::Operand& operand) {
    return operand.kind == syntax::Operand::Kind::vector ? operand.parts : std::vector{operand};
  };
  if (has_result) {
    std::vector<uint32_t> list;
    for (const auto& part : list_of(d.operand(at++))) list.push_back(d.destination(part, type));
    op.dst[0] = list.front();
    if (vector) d.destination_list(op, std::move(list));
  }
  d.address(d.operand(at++), op);
  std::vector<Source> list;
  for (const auto& part : list_of(d.operand(at++))) list.push_back(d.source(part, type));
  op.src[1] = op.src[2] = list.front();
  const auto count = static_cast<uint32_t>(list.size());
  if (vector) d.source_list(op, std::move(list));
  if (sources == 2) op.src[2] = d.source(d.operand(at), type);
  if (op.space != Space::global) d.note_shared(bytes_of(type) * count);
}
void decode_atom(Decoder& d, Op& op) { decode_atomic_operation(d, op, true); }
void decode_red(Decoder& d, Op& op) { decode_atomic_operation(d, op, false); }

}  // namespace

void add_atomic_opcodes(OpcodeTable& table) { table.insert({{"atom", decode_atom}, {"red", decode_red}}); }

}  // namespace wkv::emulator
