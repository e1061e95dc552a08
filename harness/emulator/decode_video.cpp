// The SIMD video instructions: two or four sums, differences, minima or maxima in a 32-bit register, whose results may
// be added up, and cvt.pack, which puts saturated integers side by side. Selectors and masks are not covered; without
// them the third operand counts for .add only.
#include <algorithm>

#include "harness/emulator/opcodes.hpp"
#include "harness/emulator/operands.hpp"

namespace wkv::emulator {
namespace {

// Op::immediate is the operation, Op::target the number of fields.
enum : int64_t { kAdd, kSubtract, kAbsoluteDifference, kMinimum, kMaximum };
enum : uint8_t { kSignedD = 1, kSignedA = 2, kSignedB = 4, kSaturate = 8, kSum = 16 };

int32_t field_of(uint32_t word, uint32_t index, uint32_t bits, bool is_signed) {
  const uint32_t unused = 32 - bits, raised = word >> (index * bits) << unused;
  return is_signed ? static_cast<int32_t>(raised) >> unused : static_cast<int32_t>(raised >> unused);
}

int32_t combine(int64_t operation, int32_t a, int32_t b) {
  switch (operation) {
    case kAdd:
      return a + b;
    case kSubtract:
      return a - b;
    case kAbsoluteDifference:
      return std::abs(a - b);
    case kMinimum:
      return std::min(a, b);
    default:
      return std::max(a, b);
  }
}

void run_fields(Context& context, const Op& op, Mask lanes) {
  if (op.dst[0] == kNone) return;
  const auto* a = values_of<uint32_t>(context, op.src[0]);
  const auto* b = values_of<uint32_t>(context, op.src[1]);
  const auto* c = values_of<uint32_t>(context, op.src[2]);
  auto* d = register_at<uint32_t>(context, op.dst[0]);
  const uint32_t bits = 32 / op.target;
  const bool is_signed = op.flags & kSignedD;
  const int32_t low = is_signed ? -(1 << (bits - 1)) : 0;
  const int32_t high = is_signed ? (1 << (bits - 1)) - 1 : static_cast<int32_t>((1u << bits) - 1);
  for_each_lane(lanes, [&](uint32_t lane) {
    uint32_t fields = 0, sum = c[lane];
    for (uint32_t i = 0; i < op.target; ++i) {
      int32_t value = combine(op.immediate, field_of(a[lane], i, bits, op.flags & kSignedA),
                              field_of(b[lane], i, bits, op.flags & kSignedB));
      if (op.flags & kSaturate) value = std::clamp(value, low, high);
      sum += static_cast<uint32_t>(value);
      fields |= (static_cast<uint32_t>(value) & ((1u << bits) - 1)) << (i * bits);
    }
    d[lane] = op.flags & kSum ? sum : fields;
  });
}

template <int64_t kOperation, uint32_t kFields>
void decode_fields(Decoder& d, Op& op) {
  const auto is_signed = [&] { return d.take_one_of({"s32", "u32"}) == "s32"; };
  op.flags |= is_signed() ? kSignedD : 0;
  op.flags |= is_signed() ? kSignedA : 0;
  op.flags |= is_signed() ? kSignedB : 0;
  if (d.take("sat")) op.flags |= kSaturate;
  if (d.take("add")) op.flags |= kSum;
  d.expect_operands(4, 4);
  op.instruction_class = InstructionClass::integer;
  op.immediate = kOperation;
  op.target = kFields;
  op.dst[0] = d.destination(d.operand(0), Type::b32);
  for (size_t i = 0; i < 3; ++i) op.src[i] = d.source(d.operand(i + 1), Type::b32);
  op.run = run_fields;
}

// d = c << 2 bits | saturated a << bits | saturated b; with 16 bits there is no c.
template <uint32_t kBits, bool kSigned>
void run_pack(Context& context, const Op& op, Mask lanes) {
  if (op.dst[0] == kNone) return;
  constexpr int32_t kLow = kSigned ? -(1 << (kBits - 1)) : 0, kHigh = (1 << (kBits - kSigned)) - 1;
  const auto* a = values_of<int32_t>(context, op.src[0]);
  const auto* b = values_of<int32_t>(context, op.src[1]);
  const auto* c = values_of<uint32_t>(context, op.src[2]);
  auto* d = register_at<uint32_t>(context, op.dst[0]);
  const auto saturated = [&](int32_t x) {
    return static_cast<uint32_t>(std::clamp(x, kLow, kHigh)) & ((1u << kBits) - 1);
  };
  for_each_lane(lanes, [&](uint32_t lane) {
    const uint32_t above = kBits == 16 ? 0 : c[lane] << (2 * kBits % 32);
    d[lane] = above | saturated(a[lane]) << kBits | saturated(b[lane]);
  });
}

}  // namespace

void decode_pack(Decoder& d, Op& op) {
  d.take_one_of({"sat"});
  const std::string_view to = d.take_one_of({"s8", "u8", "s16", "u16"});
  d.take_one_of({"s32"});
  const bool bytes = to == "s8" || to == "u8";
  if (bytes) d.take_one_of({"b32"});
  const size_t sources = bytes ? 3 : 2;
  d.expect_operands(sources + 1, sources + 1);
  op.instruction_class = InstructionClass::conversion;
  op.dst[0] = d.destination(d.operand(0), Type::b32);
  for (size_t i = 0; i < sources; ++i) op.src[i] = d.source(d.operand(i + 1), i < 2 ? Type::s32 : Type::b32);
  op.run = to == "s8"    ? run_pack<8, true>
           : to == "u8"  ? run_pack<8, false>
           : to == "s16" ? run_pack<16, true>
                         : run_pack<16, false>;
}

void add_video_opcodes(OpcodeTable& table) {
  table.insert({{"vadd2", decode_fields<kAdd, 2>},
                {"vadd4", decode_fields<kAdd, 4>},
                {"vsub2", decode_fields<kSubtract, 2>},
                {"vsub4", decode_fields<kSubtract, 4>},
                {"vabsdiff2", decode_fields<kAbsoluteDifference, 2>},
                {"vabsdiff4", decode_fields<kAbsoluteDifference, 4>},
                {"vmin2", decode_fields<kMinimum, 2>},
                {"vmin4", decode_fields<kMinimum, 4>},
                {"vmax2", decode_fields<kMaximum, 2>},
                {"vmax4", decode_fields<kMaximum, 4>}});
}

}  // namespace wkv::emulator
