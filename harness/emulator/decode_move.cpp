// mov with packing and unpacking, conversions between state spaces.
#include "harness/emulator/opcodes.hpp"

#define WKV_TARGET_FILE "harness/emulator/decode_move.cpp"
#include "harness/emulator/targets.hpp"

namespace wkv::emulator {
namespace WKV_TARGET {
namespace {

struct Copy {
  template <class T>
  T operator()(T a) const {
    return a;
  }
};

Handler copy_of(uint32_t bytes) {
  return bytes == 2   ? unary<Copy, uint16_t, uint16_t>
         : bytes == 4 ? unary<Copy, uint32_t, uint32_t>
                      : unary<Copy, uint64_t, uint64_t>;
}

void run_predicate_mov(Context& context, const Op& op, Mask lanes) {
  set_mask(context, op.dst[0], lanes, mask_of(context, op.src[0]) ^ static_cast<Mask>(op.immediate));
}

// One register's parts, lowest first, to narrower registers.
template <class Whole, class Part>
void run_unpack(Context& context, const Op& op, Mask lanes) {
  // The destinations may include the source.
  Whole whole[kLanes];
  std::copy_n(lanes_of<Whole>(context, op.src[0]), kLanes, whole);
  for (uint16_t i = 0; i < op.dst_count; ++i) {
    if (op.dst_list[i] == kNone) continue;
    for_lanes(lanes_at<Part>(context, op.dst_list[i]), lanes,
              [&](uint32_t lane) { return static_cast<Part>(whole[lane] >> (8 * sizeof(Part) * i)); });
  }
}

template <class Whole, class Part>
void run_pack(Context& context, const Op& op, Mask lanes) {
  Whole whole[kLanes] = {};
  for (uint16_t i = 0; i < op.src_count; ++i) {
    const Part* part = lanes_of<Part>(context, op.src_list[i]);
    for (uint32_t lane = 0; lane < kLanes; ++lane)
      whole[lane] |= static_cast<Whole>(part[lane]) << (8 * sizeof(Part) * i);
  }
  for_lanes(lanes_at<Whole>(context, op.dst[0]), lanes, [&](uint32_t lane) { return whole[lane]; });
}

template <template <class, class> class Run>
Handler parts_handler(const Decoder& d, uint32_t whole, uint32_t parts) {
  if (whole == 4 && parts == 2) return Run<uint32_t, uint16_t>::run;
  if (whole == 8 && parts == 2) return Run<uint64_t, uint32_t>::run;
  if (whole == 8 && parts == 4) return Run<uint64_t, uint16_t>::run;
  d.fail("this number of parts is not covered");
}
template <class Whole, class Part>
struct Unpack {
  static constexpr Handler run = run_unpack<Whole, Part>;
};
template <class Whole, class Part>
struct Pack {
  static constexpr Handler run = run_pack<Whole, Part>;
};

Type bits_type(uint32_t bytes) { return bytes == 2 ? Type::b16 : bytes == 4 ? Type::b32 : Type::b64; }

void decode_unpack(Decoder& d, Op& op, Type type) {
  const auto& parts = d.operand(0).parts;
  op.run = parts_handler<Unpack>(d, bytes_of(type), static_cast<uint32_t>(parts.size()));
  std::vector<uint32_t> list;
  for (const auto& part : parts)
    list.push_back(d.destination(part, bytes_of(type) / static_cast<uint32_t>(parts.size())));
  d.destination_list(op, std::move(list));
  op.src[0] = d.source(d.operand(1), type);
}

void decode_pack(Decoder& d, Op& op, Type type) {
  const auto& parts = d.operand(1).parts;
  op.run = parts_handler<Pack>(d, bytes_of(type), static_cast<uint32_t>(parts.size()));
  std::vector<Source> list;
  const Type part_type = bits_type(bytes_of(type) / static_cast<uint32_t>(parts.size()));
  for (const auto& part : parts) list.push_back(d.source(part, part_type));
  d.source_list(op, std::move(list));
  op.dst[0] = d.destination(d.operand(0), type);
}

// %clock and the like: a count of the instructions that the block has executed would tell nothing about a GPU, so they
// just go up.
template <class T>
void run_clock(Context& context, const Op& op, Mask lanes) {
  const auto now = static_cast<T>(++context.clock);
  for_lanes(lanes_at<T>(context, op.dst[0]), lanes, [&](uint32_t) { return now; });
}

void decode_mov(Decoder& d, Op& op) {
  const Type type = d.take_type();
  op.instruction_class = InstructionClass::move;
  d.expect_operands(2, 2);
  const syntax::Operand &to = d.operand(0), &from = d.operand(1);
  if (type == Type::pred) {
    op.dst[0] = d.predicate_destination(to);
    op.src[0] = d.predicate(from);
    op.immediate = from.negated ? 0xffffffff : 0;
    op.run = run_predicate_mov;
    return;
  }
  if (to.kind == syntax::Operand::Kind::vector) return decode_unpack(d, op, type);
  if (from.kind == syntax::Operand::Kind::vector) return decode_pack(d, op, type);
  if (bytes_of(type) > 8) d.fail("this type is not covered");
  op.dst[0] = d.destination(to, type);
  if (from.text.starts_with("%clock") || from.text.starts_with("%globaltimer")) {
    op.run = bytes_of(type) == 4 ? run_clock<uint32_t> : run_clock<uint64_t>;
    return;
  }
  op.src[0] = d.source(from, type);
  op.run = copy_of(Decoder::register_bytes(type));
}

// Adds the beginning of the window in the generic address space, or takes it away.
void run_cvta(Context& context, const Op& op, Mask lanes) {
  if (op.dst[0] == kNone) return;
  const auto* a = lanes_of<uint64_t>(context, op.src[0]);
  const auto window = static_cast<uint64_t>(op.immediate);
  for_lanes(lanes_at<uint64_t>(context, op.dst[0]), lanes, [&](uint32_t lane) { return a[lane] + window; });
}

uint64_t window_of(std::string_view space) {
  return space == "shared" ? kSharedWindow : space == "local" ? kLocalWindow : 0;
}

std::string_view take_space(Decoder& d) {
  if (d.take("shared::cta") || d.take("shared::cluster")) return "shared";
  if (d.take("param::entry")) return "param";
  return d.take_one_of({"global", "shared", "local", "const", "param"});
}

void decode_cvta(Decoder& d, Op& op) {
  const bool to = d.take("to");
  const uint64_t window = window_of(take_space(d));
  if (bytes_of(d.take_type()) != 8) d.fail("only 64-bit addresses are covered");
  op.instruction_class = InstructionClass::conversion;
  d.expect_operands(2, 2);
  op.dst[0] = d.destination(d.operand(0), 8);
  op.src[0] = d.source(d.operand(1), Type::b64);
  op.immediate = static_cast<int64_t>(to ? -window : window);
  op.run = run_cvta;
}

void run_isspacep(Context& context, const Op& op, Mask lanes) {
  const auto* a = lanes_of<uint64_t>(context, op.src[0]);
  const auto window = static_cast<uint64_t>(op.immediate);
  set_mask(context, op.dst[0], lanes, test_lanes([&](uint32_t lane) { return a[lane] >> 48 == window >> 48; }));
}
void decode_isspacep(Decoder& d, Op& op) {
  const std::string_view space = take_space(d);
  op.instruction_class = InstructionClass::integer;
  d.expect_operands(2, 2);
  op.dst[0] = d.predicate_destination(d.operand(0));
  op.src[0] = d.source(d.operand(1), Type::b64);
  op.immediate = static_cast<int64_t>(space == "param" ? kParameterWindow : window_of(space));
  op.run = run_isspacep;
}

}  // namespace

void add_move_opcodes(OpcodeTable& table) {
  table.insert({{"mov", decode_mov}, {"cvta", decode_cvta}, {"isspacep", decode_isspacep}});
}

}  // namespace WKV_TARGET
}  // namespace wkv::emulator
