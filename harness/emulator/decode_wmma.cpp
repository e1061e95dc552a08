// wmma.load, wmma.mma, wmma.store. Neighbouring elements of a fragment that lie side by side in memory are moved in one
// access, as hardware does: a register of A or B, a pair of results.
#include <deque>
#include <mutex>
#include <tuple>

#include "harness/emulator/decode_matrix.hpp"
#include "harness/emulator/operands.hpp"

namespace wkv::emulator {
namespace {

// How a fragment lies in memory; Op::target is its index in this table, Op::immediate the address's offset. src[0] is
// the address, src[1] the stride in elements.
struct Transfer {
  MatrixOperand operand;
  MatrixShape shape;
  bool row_major;
  FragmentLayout layout;
  uint32_t together;  // elements in one access

  Transfer(MatrixOperand operand, MatrixShape shape, Type type, bool row_major)
      : operand(operand), shape(shape), row_major(row_major), layout(operand, shape, type) {
    const bool contiguous = row_major != (operand == MatrixOperand::b);
    const int in_register = operand == MatrixOperand::c ? 2 : layout.elements_per_register();
    together = contiguous ? static_cast<uint32_t>(in_register) : 1;
  }
};

class TransferTable {
 public:
  uint32_t index_of(MatrixOperand operand, MatrixShape shape, Type type, bool row_major) {
    const std::lock_guard lock(mutex_);
    uint32_t index = 0;
    for (const Transfer& t : transfers_) {
      if (t.operand == operand && t.shape == shape && t.layout.type == type && t.row_major == row_major) return index;
      ++index;
    }
    transfers_.emplace_back(operand, shape, type, row_major);
    return index;
  }
  const Transfer& operator[](uint32_t index) {
    const std::lock_guard lock(mutex_);
    return transfers_[index];
  }

 private:
  std::mutex mutex_;
  std::deque<Transfer> transfers_;  // never moved
};
TransferTable transfers;

constexpr size_t kMaxRegisters = 16, kMaxAccess = 16;

// Calls body(first element, addresses of the lanes) for each access.
template <class Body>
void for_each_access(const Context& context, const Op& op, const Transfer& transfer, const Body& body) {
  uint64_t bases[kLanes], addresses[kLanes];
  addresses_of(context, op, bases, op.src[0]);
  const auto* strides = values_of<uint32_t>(context, op.src[1]);
  const FragmentLayout& layout = transfer.layout;
  for (int element = 0; element < layout.elements_per_lane; element += static_cast<int>(transfer.together)) {
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      const Position at = layout.at(static_cast<int>(lane), element);
      const auto row = static_cast<uint64_t>(at.row), column = static_cast<uint64_t>(at.column);
      const uint64_t index = transfer.row_major ? row * strides[lane] + column : column * strides[lane] + row;
      addresses[lane] = bases[lane] + index * bytes_of(layout.type);
    }
    body(static_cast<uint32_t>(element), addresses);
  }
}

// Where an element is in its lane's registers: they are kept as bytes, lane by lane.
size_t byte_of(uint32_t lane, uint32_t element, uint32_t bytes) {
  return lane * kMaxRegisters * sizeof(uint64_t) + size_t{element} * bytes;
}
using LaneBytes = std::array<std::byte, kLanes * kMaxRegisters * sizeof(uint64_t)>;

void run_load(Context& context, const Op& op, Mask lanes) {
  if (!whole_warp_is_here(context, op, lanes)) return;
  const Transfer& transfer = transfers[op.target];
  const uint32_t bytes = bytes_of(transfer.layout.type), width = transfer.together * bytes;
  LaneBytes fragment;
  for_each_access(context, op, transfer, [&](uint32_t element, const uint64_t* addresses) {
    alignas(64) std::byte values[kLanes * kMaxAccess];
    context.load(op, addresses, lanes, width, values);
    for_each_lane(lanes, [&](uint32_t lane) {
      std::memcpy(&fragment[byte_of(lane, element, bytes)], values + size_t{lane} * width, width);
    });
  });
  const auto registers = static_cast<uint32_t>(transfer.layout.registers());
  for (uint32_t i = 0; i < op.dst_count; ++i) {
    if (op.dst_list[i] == kNone) continue;
    for_each_lane(lanes, [&](uint32_t lane) {
      std::memcpy(context.registers + op.dst_list[i] + size_t{lane} * op.register_bytes,
                  &fragment[byte_of(lane, i % registers, op.register_bytes)], op.register_bytes);
    });
  }
}

void run_store(Context& context, const Op& op, Mask lanes) {
  if (!whole_warp_is_here(context, op, lanes)) return;
  const Transfer& transfer = transfers[op.target];
  const uint32_t bytes = bytes_of(transfer.layout.type), width = transfer.together * bytes;
  LaneBytes fragment;
  for (uint32_t i = 0; i < op.src_count; ++i) {
    const std::byte* from = op.src_list[i].lanes(context.registers);
    for_each_lane(lanes, [&](uint32_t lane) {
      std::memcpy(&fragment[byte_of(lane, i, op.register_bytes)], from + size_t{lane} * op.register_bytes,
                  op.register_bytes);
    });
  }
  for_each_access(context, op, transfer, [&](uint32_t element, const uint64_t* addresses) {
    alignas(64) std::byte values[kLanes * kMaxAccess];
    for_each_lane(lanes, [&](uint32_t lane) {
      std::memcpy(values + size_t{lane} * width, &fragment[byte_of(lane, element, bytes)], width);
    });
    context.store(op, addresses, lanes, width, values);
  });
}

// Whether a warp has such an operand: some shape's fragment.
bool is_fragment(MatrixOperand operand, MatrixShape shape, Type type) {
  if (operand == MatrixOperand::c) {
    return is_wmma(shape, {type, Type::f16, Type::f16, type}) || is_wmma(shape, {type, Type::bf16, Type::bf16, type}) ||
           is_wmma(shape, {type, Type::tf32, Type::tf32, type}) || is_wmma(shape, {type, Type::s8, Type::s8, type}) ||
           is_wmma(shape, {type, Type::f64, Type::f64, type});
  }
  const Type sum = type == Type::f64 ? Type::f64 : type == Type::s8 || type == Type::u8 ? Type::s32 : Type::f32;
  return is_wmma(shape, {sum, type, type, sum});
}

// All but the registers. The matrix's name, its layout, shape, state space and type, the address and the stride.
void take_transfer(Decoder& d, Op& op, MatrixOperand operand, const syntax::Operand& address, size_t stride_at) {
  take_warp_wide(d);
  const bool row_major = d.take_one_of({"row", "col"}) == "row";
  const MatrixShape shape = take_shape(d);
  op.space = take_memory_space(d);
  const Type type = d.take_type();
  if (!is_fragment(operand, shape, type)) d.fail("this shape is not covered for the type");
  d.expect_operands(stride_at, stride_at + 1);
  d.address(address, op);
  op.target = transfers.index_of(operand, shape, type, row_major);
  const FragmentLayout& layout = transfers[op.target].layout;
  op.src[1] = d.operands().size() > stride_at
                  ? d.source(d.operand(stride_at), Type::b32)
                  : d.constant(static_cast<uint64_t>(row_major ? layout.columns : layout.rows), 4);
  op.register_bytes = type == Type::f64 ? 8 : 4;
  op.instruction_class = InstructionClass::matrix;
  if (op.space != Space::global) d.note_shared(bytes_of(type));
}

void expect_registers(Decoder& d, const Op& op, size_t count, bool repetitions) {
  const auto needed = static_cast<size_t>(transfers[op.target].layout.registers());
  const bool repeated = repetitions && count > needed && count % needed == 0;
  if (count > kMaxRegisters || (count != needed && !repeated)) d.fail("a fragment has the wrong number of registers");
}

void decode_load(Decoder& d, Op& op) {
  const std::string_view name = d.take_one_of({"a", "b", "c"});
  const MatrixOperand operand = name == "a" ? MatrixOperand::a : name == "b" ? MatrixOperand::b : MatrixOperand::c;
  take_transfer(d, op, operand, d.operand(1), 2);
  std::vector<uint32_t> list;
  for (const syntax::Operand& part : parts_of(d.operand(0))) list.push_back(d.destination(part, op.register_bytes));
  expect_registers(d, op, list.size(), true);
  d.destination_list(op, std::move(list));
  op.run = run_load;
}

void decode_store(Decoder& d, Op& op) {
  d.take_one_of({"d"});
  take_transfer(d, op, MatrixOperand::c, d.operand(0), 2);
  const Type type = transfers[op.target].layout.type;
  std::vector<Source> list;
  for (const syntax::Operand& part : parts_of(d.operand(1))) {
    list.push_back(d.source(part, type == Type::f16 ? Type::b32 : type));
  }
  expect_registers(d, op, list.size(), false);
  d.source_list(op, std::move(list));
  op.run = run_store;
}

void decode_multiply(Decoder& d, Op& op) {
  take_warp_wide(d);
  d.take_one_of({"row", "col"});  // the layouts say how the operands were in memory: the fragments are the same
  d.take_one_of({"row", "col"});
  const MatrixShape shape = take_shape(d);
  const bool satfinite = d.take("satfinite");
  d.take("rn");
  ProductTypes types;
  types.d = d.take_type();
  const Type second = d.take_type();
  if (const auto third = d.maybe_take_type()) {
    types.a = second;
    types.b = *third;
    types.c = d.take_type();
  } else {  // fp16 products name the sums' types only
    types.a = types.b = Type::f16;
    types.c = second;
  }
  if (!is_wmma(shape, types)) d.fail("this shape is not covered for these types");
  decode_product(d, op, shape, types, satfinite, true);
}

void decode_wmma(Decoder& d, Op& op) {
  const std::string_view what = d.take_one_of({"load", "mma", "store"});
  if (what == "load") return decode_load(d, op);
  if (what == "store") return decode_store(d, op);
  decode_multiply(d, op);
}

bool are_bytes(Type a, Type b) { return (a == Type::s8 || a == Type::u8) && (b == Type::s8 || b == Type::u8); }
bool are_fp8(Type a, Type b) { return (a == Type::e4m3 || a == Type::e5m2) && (b == Type::e4m3 || b == Type::e5m2); }
bool are_halves_or_floats(Type a, Type b) {
  return (a == Type::f16 || a == Type::f32) && (b == Type::f16 || b == Type::f32);
}

}  // namespace

bool is_mma(MatrixShape shape, const ProductTypes& t) {
  if (t.a == Type::f64) {
    const bool k_fits = shape.k == 4 || (shape.m == 16 && (shape.k == 8 || shape.k == 16));
    return t.b == Type::f64 && t.c == Type::f64 && t.d == Type::f64 && shape.n == 8 && k_fits;
  }
  if (are_bytes(t.a, t.b)) {
    const bool k_fits = shape.k == 16 || (shape.m == 16 && shape.k == 32);
    return t.c == Type::s32 && t.d == Type::s32 && shape.n == 8 && k_fits;
  }
  if (shape.m != 16 || shape.n != 8) return false;
  if (are_fp8(t.a, t.b)) return are_halves_or_floats(t.c, t.d) && t.c == t.d && (shape.k == 16 || shape.k == 32);
  if (t.a != t.b) return false;
  if (t.a == Type::f16) return are_halves_or_floats(t.c, t.d) && t.c == t.d && (shape.k == 8 || shape.k == 16);
  if (t.c != Type::f32 || t.d != Type::f32) return false;
  return t.a == Type::bf16 ? shape.k == 8 || shape.k == 16 : t.a == Type::tf32 ? shape.k == 4 || shape.k == 8 : false;
}

bool is_wmma(MatrixShape shape, const ProductTypes& t) {
  if (t.a != t.b) return false;
  if (t.a == Type::f64) return shape == MatrixShape{8, 8, 4} && t.c == Type::f64 && t.d == Type::f64;
  if (t.a == Type::tf32) return shape == MatrixShape{16, 16, 8} && t.c == Type::f32 && t.d == Type::f32;
  if (shape.k != 16 || shape.m * shape.n != 256) return false;
  if (t.a == Type::f16) return are_halves_or_floats(t.c, t.d);
  if (t.a == Type::bf16) return t.c == Type::f32 && t.d == Type::f32;
  return (t.a == Type::s8 || t.a == Type::u8) && t.c == Type::s32 && t.d == Type::s32;
}

void add_wmma_opcodes(OpcodeTable& table) { table.insert({{"wmma", decode_wmma}}); }

}  // namespace wkv::emulator
