// Loads and stores.
#include "harness/emulator/lane_values.hpp"
#include "harness/emulator/opcodes.hpp"
#include "harness/emulator/operands.hpp"

namespace wkv::emulator {
namespace {

constexpr uint32_t kMaxAccess = 16;

// An element of each lane's value, kCount elements long, to a register, extended.
template <class Element, class Register, uint32_t kCount>
void spread(Context& context, uint32_t offset, Mask lanes, const std::byte* values) {
  auto* to = register_at<Register>(context, offset);
  const auto copy = [&](uint32_t lane) {
    Element element;
    std::memcpy(&element, values + size_t{lane} * kCount * sizeof element, sizeof element);
    to[lane] = static_cast<Register>(element);
  };
  if (lanes == kFull) {
    for (uint32_t lane = 0; lane < kLanes; ++lane) copy(lane);
  } else {
    for_each_lane(lanes, copy);
  }
}
template <class Element, class Register>
void spread_one_of(Context& context, uint32_t count, uint32_t offset, Mask lanes, const std::byte* values) {
  if (count == 1) return spread<Element, Register, 1>(context, offset, lanes, values);
  if (count == 2) return spread<Element, Register, 2>(context, offset, lanes, values);
  spread<Element, Register, 4>(context, offset, lanes, values);
}
template <class Element>
void spread_to(Context& context, const Op& op, uint32_t count, uint32_t offset, Mask lanes, const std::byte* values) {
  if (op.register_bytes == 2) return spread_one_of<Element, uint16_t>(context, count, offset, lanes, values);
  if (op.register_bytes == 4) return spread_one_of<Element, uint32_t>(context, count, offset, lanes, values);
  spread_one_of<Element, uint64_t>(context, count, offset, lanes, values);
}
void spread_element(Context& context, const Op& op, uint32_t count, uint32_t offset, Mask lanes,
                    const std::byte* values) {
  const auto to = [&](auto element) { spread_to<decltype(element)>(context, op, count, offset, lanes, values); };
  const bool extend = op.flags & kSignExtend;
  switch (op.bytes) {
    case 1:
      return extend ? to(int8_t{}) : to(uint8_t{});
    case 2:
      return extend ? to(int16_t{}) : to(uint16_t{});
    case 4:
      return extend ? to(int32_t{}) : to(uint32_t{});
    default:
      return to(uint64_t{});
  }
}

void run_load(Context& context, const Op& op, Mask lanes) {
  if (!lanes) return;
  uint64_t addresses[kLanes];
  addresses_of(context, op, addresses, op.src[0]);
  if (op.dst_count == 0 && op.bytes == op.register_bytes && op.dst[0] != kNone) {
    return context.load(op, addresses, lanes, op.bytes, context.registers + op.dst[0]);
  }
  alignas(64) std::byte values[kMaxAccess * kLanes];
  const uint32_t count = std::max<uint32_t>(1, op.dst_count), stride = op.bytes * count;
  context.load(op, addresses, lanes, stride, values);
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t offset = op.dst_count ? op.dst_list[i] : op.dst[0];
    if (offset != kNone) spread_element(context, op, count, offset, lanes, values + size_t{i} * op.bytes);
  }
}

void run_store(Context& context, const Op& op, Mask lanes) {
  if (!lanes) return;
  uint64_t addresses[kLanes];
  addresses_of(context, op, addresses, op.src[0]);
  if (op.src_count == 0 && op.bytes == op.register_bytes) {
    return context.store(op, addresses, lanes, op.bytes, op.src[1].lanes(context.registers));
  }
  alignas(64) std::byte values[kMaxAccess * kLanes];
  const uint32_t count = std::max<uint32_t>(1, op.src_count), stride = op.bytes * count;
  for (uint32_t i = 0; i < count; ++i) {
    const std::byte* from = (op.src_count ? op.src_list[i] : op.src[1]).lanes(context.registers);
    with_size(op.bytes, [&](auto size) {
      for_each_lane(lanes, [&](uint32_t lane) {
        std::memcpy(values + size_t{lane} * stride + i * size, from + size_t{lane} * op.register_bytes, size);
      });
    });
  }
  context.store(op, addresses, lanes, stride, values);
}

void run_nothing(Context&, const Op&, Mask) {}

// What changes only how fast an access is.
void take_hints(Decoder& d) {
  d.take_any_of({"ca", "cg", "cs", "lu", "cv", "wb", "wt", "nc", "unified"});
  d.take_any_of({"L1::evict_normal", "L1::evict_unchanged", "L1::evict_first", "L1::evict_last", "L1::no_allocate"});
  d.take_any_of({"L2::64B", "L2::128B", "L2::256B", "L2::evict_normal", "L2::evict_first", "L2::evict_last"});
}

struct Form {
  Type type{};
  uint32_t count = 1;
  size_t operands = 2;
};

Form take_form(Decoder& d, Op& op) {
  d.take("weak");
  const bool ordered = d.take_any_of({"volatile", "relaxed", "acquire", "release", "mmio"});
  d.take_any_of({"cta", "cluster", "gpu", "sys"});
  op.space = take_memory_space(d);
  take_hints(d);
  if (ordered) op.flags |= kVolatile;
  Form form;
  form.operands += take_cache_policy(d);
  if (d.take("v2")) form.count = 2;
  if (d.take("v4")) form.count = 4;
  form.type = d.take_type();
  op.bytes = static_cast<uint8_t>(bytes_of(form.type));
  if (op.bytes == 0 || op.bytes * form.count > kMaxAccess || op.bytes > 8) d.fail("this width is not covered");
  op.instruction_class = class_of(op.space);
  if (op.space == Space::shared || op.space == Space::generic) d.note_shared(op.bytes * form.count);
  return form;
}

// The registers' width, which may be more than the type's.
uint32_t width_of(Decoder& d, const syntax::Operand& operand, Type type) {
  const uint32_t bytes = d.register_size(operand);
  if (bytes == 0) return Decoder::register_bytes(type);
  if (bytes < bytes_of(type)) d.fail("a register is narrower than its type");
  return bytes;
}

Type bits_of_width(uint32_t bytes) { return bytes == 2 ? Type::b16 : bytes == 4 ? Type::b32 : Type::b64; }

void decode_load(Decoder& d, Op& op) {
  const Form form = take_form(d, op);
  if (is_signed(form.type)) op.flags |= kSignExtend;
  d.expect_operands(form.operands, form.operands);
  d.address(d.operand(1), op);
  op.run = run_load;
  const syntax::Operand& to = d.operand(0);
  if (to.kind != syntax::Operand::Kind::vector) {
    if (form.count > 1) d.fail("the destination is no vector");
    op.register_bytes = static_cast<uint8_t>(width_of(d, to, form.type));
    op.dst[0] = d.destination(to, op.register_bytes);
    return;
  }
  if (to.parts.size() != form.count) d.fail("the vector has the wrong number of elements");
  for (const auto& part : to.parts) {
    if (d.register_size(part)) op.register_bytes = static_cast<uint8_t>(width_of(d, part, form.type));
  }
  std::vector<uint32_t> list;
  for (const auto& part : to.parts) list.push_back(d.destination(part, op.register_bytes));
  d.destination_list(op, std::move(list));
}

void decode_store(Decoder& d, Op& op) {
  const Form form = take_form(d, op);
  d.expect_operands(form.operands, form.operands);
  d.address(d.operand(0), op);
  op.run = run_store;
  const syntax::Operand& from = d.operand(1);
  if (from.kind != syntax::Operand::Kind::vector) {
    if (form.count > 1) d.fail("the source is no vector");
    op.register_bytes = static_cast<uint8_t>(width_of(d, from, form.type));
    op.src[1] = d.source(from, is_float(form.type) ? form.type : bits_of_width(op.register_bytes));
    return;
  }
  if (from.parts.size() != form.count) d.fail("the vector has the wrong number of elements");
  op.register_bytes = static_cast<uint8_t>(Decoder::register_bytes(form.type));
  for (const auto& part : from.parts) {
    if (d.register_size(part)) op.register_bytes = static_cast<uint8_t>(width_of(d, part, form.type));
  }
  std::vector<Source> list;
  for (const auto& part : from.parts) {
    list.push_back(d.source(part, is_float(form.type) ? form.type : bits_of_width(op.register_bytes)));
  }
  d.source_list(op, std::move(list));
}

void decode_prefetch(Decoder& d, Op& op) {
  d.take_any_of({"global", "local", "const", "param", "tensormap"});
  d.take_any_of({"L1", "L2", "L2::evict_last", "L2::evict_normal"});
  op.instruction_class = InstructionClass::global;
  op.run = run_nothing;
}

}  // namespace

Space take_memory_space(Decoder& d) {
  if (d.take("global")) return Space::global;
  if (d.take_any_of({"shared", "shared::cta", "shared::cluster"})) return Space::shared;
  if (d.take("local")) return Space::local;
  if (d.take_any_of({"param", "param::entry", "param::func"})) return Space::param;
  if (d.take("const")) return Space::constant;
  return Space::generic;
}

InstructionClass class_of(Space space) {
  switch (space) {
    case Space::shared:
      return InstructionClass::shared;
    case Space::local:
      return InstructionClass::local;
    case Space::param:
    case Space::constant:
      return InstructionClass::parameter;
    default:
      return InstructionClass::global;
  }
}

void add_memory_opcodes(OpcodeTable& table) {
  table.insert({{"ld", decode_load},
                {"ldu", decode_load},
                {"st", decode_store},
                {"prefetch", decode_prefetch},
                {"prefetchu", decode_prefetch}});
}

}  // namespace wkv::emulator
