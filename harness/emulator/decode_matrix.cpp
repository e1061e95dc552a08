// mma.sync, ldmatrix, stmatrix, movmatrix.
#include "harness/emulator/decode_matrix.hpp"

#include <fmt/format.h>

#include <map>
#include <mutex>
#include <tuple>

#include "harness/emulator/operands.hpp"
#include "harness/emulator/warp_state.hpp"

namespace wkv::emulator {
namespace {

template <class T>
using RegisterOf = std::array<T, kWarpSize>;

// The registers of an operation's lists as fragments. Results that are not wanted go to scratch.
template <class T>
struct Registers {
  static constexpr size_t kMax = 32;
  std::array<RegisterOf<T>*, kMax> d;
  std::array<const RegisterOf<T>*, kMax> sources;
  RegisterOf<T> scratch;

  Registers(const Context& context, const Op& op) {
    for (size_t i = 0; i < op.dst_count; ++i) {
      d[i] = op.dst_list[i] == kNone ? &scratch : register_at<RegisterOf<T>>(context, op.dst_list[i]);
    }
    for (size_t i = 0; i < op.src_count; ++i) sources[i] = values_of<RegisterOf<T>>(context, op.src_list[i]);
  }
};

template <class T>
void run_multiply(Context& context, const Op& op, Mask lanes) {
  if (!whole_warp_is_here(context, op, lanes)) return;
  const Product& product = product_of(op);
  Registers<T> registers(context, op);
  const std::span<const RegisterOf<T>* const> sources(registers.sources.data(), op.src_count);
  product.multiply.run(std::span<RegisterOf<T>* const>(registers.d.data(), op.dst_count),
                       sources.first(product.a_registers), sources.subspan(product.a_registers, product.b_registers),
                       sources.subspan(product.a_registers + product.b_registers));
  ++context.counters->matrix_instructions;
}

Product& product_for(MatrixShape shape, const ProductTypes& types, bool satfinite, size_t a_registers,
                     size_t b_registers) {
  using Key = std::tuple<int, int, int, Type, Type, Type, Type, bool, size_t, size_t>;
  static std::mutex mutex;
  static std::map<Key, Product> products;
  const std::lock_guard lock(mutex);
  const Key key{shape.m, shape.n, shape.k, types.d, types.a, types.b, types.c, satfinite, a_registers, b_registers};
  return products
      .try_emplace(
          key, Product{MatrixMultiply(shape, types.a, types.b, types.c, types.d, satfinite), a_registers, b_registers})
      .first->second;
}

void decode_mma(Decoder& d, Op& op) {
  take_warp_wide(d);
  const MatrixShape shape = take_shape(d);
  d.take_one_of({"row"});
  d.take_one_of({"col"});
  const bool satfinite = d.take("satfinite");
  d.take("rn");
  ProductTypes types;
  types.d = d.take_type();
  types.a = d.take_type();
  types.b = d.take_type();
  types.c = d.take_type();
  if (!is_mma(shape, types)) d.fail("this shape is not covered for these types");
  decode_product(d, op, shape, types, satfinite, false);
}

// ldmatrix and stmatrix: Op::immediate is the address's offset, Op::extend the number of matrices, Op::flags whether
// they are transposed. Lanes 8 i to 8 i + 7 have the addresses of matrix i's rows.
enum : uint8_t { kTransposed = 64 };

Mask address_lanes(const Op& op) { return op.target == 4 ? kFull : (Mask{1} << (8 * op.target)) - 1; }

void run_load_matrix(Context& context, const Op& op, Mask lanes) {
  if (!whole_warp_is_here(context, op, lanes)) return;
  uint64_t addresses[kLanes];
  addresses_of(context, op, addresses, op.src[0]);
  alignas(64) std::byte rows[kLanes * 16];
  context.load(op, addresses, address_lanes(op) & lanes, 16, rows);
  for (size_t i = 0; i < op.target; ++i) {
    if (op.dst_list[i] == kNone) continue;
    Matrix8x8 matrix;
    std::memcpy(&matrix, rows + i * sizeof matrix, sizeof matrix);
    *register_at<Words>(context, op.dst_list[i]) = distribute(matrix, op.flags & kTransposed);
  }
}

void run_store_matrix(Context& context, const Op& op, Mask lanes) {
  if (!whole_warp_is_here(context, op, lanes)) return;
  uint64_t addresses[kLanes];
  addresses_of(context, op, addresses, op.src[0]);
  alignas(64) std::byte rows[kLanes * 16];
  for (size_t i = 0; i < op.target; ++i) {
    const Matrix8x8 matrix = collect(*values_of<Words>(context, op.src_list[i]), op.flags & kTransposed);
    std::memcpy(rows + i * sizeof matrix, &matrix, sizeof matrix);
  }
  context.store(op, addresses, address_lanes(op) & lanes, 16, rows);
}

void take_matrices(Decoder& d, Op& op) {
  take_warp_wide(d);
  d.take_one_of({"m8n8"});
  const std::string_view count = d.take_one_of({"x1", "x2", "x4"});
  op.target = static_cast<uint32_t>(count[1] - '0');
  if (d.take("trans")) op.flags = kTransposed;
  op.space = take_memory_space(d);
  d.take_one_of({"b16"});
  d.expect_operands(2, 2);
  op.instruction_class = InstructionClass::matrix;
  d.note_shared(16);
}

void decode_ldmatrix(Decoder& d, Op& op) {
  take_matrices(d, op);
  d.address(d.operand(1), op);
  std::vector<uint32_t> list;
  for (const syntax::Operand& part : parts_of(d.operand(0))) list.push_back(d.destination(part, Type::b32));
  if (list.size() != op.target) d.fail("the vector has the wrong number of elements");
  d.destination_list(op, std::move(list));
  op.run = run_load_matrix;
}

void decode_stmatrix(Decoder& d, Op& op) {
  take_matrices(d, op);
  d.address(d.operand(0), op);
  std::vector<Source> list;
  for (const syntax::Operand& part : parts_of(d.operand(1))) list.push_back(d.source(part, Type::b32));
  if (list.size() != op.target) d.fail("the vector has the wrong number of elements");
  d.source_list(op, std::move(list));
  op.run = run_store_matrix;
}

void run_move_matrix(Context& context, const Op& op, Mask lanes) {
  if (!whole_warp_is_here(context, op, lanes) || op.dst[0] == kNone) return;
  const Matrix8x8 matrix = collect(*values_of<Words>(context, op.src[0]), false);
  *register_at<Words>(context, op.dst[0]) = distribute(matrix, true);
}

void decode_movmatrix(Decoder& d, Op& op) {
  take_warp_wide(d);
  d.take_one_of({"m8n8"});
  d.take_one_of({"trans"});
  d.take_one_of({"b16"});
  d.expect_operands(2, 2);
  op.instruction_class = InstructionClass::matrix;
  op.dst[0] = d.destination(d.operand(0), Type::b32);
  op.src[0] = d.source(d.operand(1), Type::b32);
  op.run = run_move_matrix;
}

}  // namespace

bool whole_warp_is_here(Context& context, const Op& op, Mask lanes) {
  if (!context.warp->gather(context, op, lanes, kFull)) return false;
  if (lanes != kFull) {
    context.report(FindingKind::warp_sync, op, lanes, lanes ? first_lane(lanes) : 0, 0,
                   [&] { return fmt::format("only lanes {:#010x} come to an instruction of the whole warp", lanes); });
  }
  return true;
}

void take_warp_wide(Decoder& d) {
  d.take_one_of({"sync"});
  d.take_one_of({"aligned"});
}

std::vector<syntax::Operand> parts_of(const syntax::Operand& operand) {
  return operand.kind == syntax::Operand::Kind::vector ? operand.parts : std::vector<syntax::Operand>{operand};
}

MatrixShape take_shape(Decoder& d) {
  struct Named {
    std::string_view name;
    MatrixShape shape;
  };
  constexpr Named kShapes[] = {{"m8n8k4", {8, 8, 4}},     {"m8n8k16", {8, 8, 16}},     {"m16n8k4", {16, 8, 4}},
                               {"m16n8k8", {16, 8, 8}},   {"m16n8k16", {16, 8, 16}},   {"m16n8k32", {16, 8, 32}},
                               {"m16n16k8", {16, 16, 8}}, {"m16n16k16", {16, 16, 16}}, {"m32n8k16", {32, 8, 16}},
                               {"m8n32k16", {8, 32, 16}}};
  for (const Named& named : kShapes) {
    if (d.take(named.name)) return named.shape;
  }
  d.fail("this matrix shape is not covered");
}

void decode_product(Decoder& d, Op& op, MatrixShape shape, const ProductTypes& types, bool satfinite,
                    bool repetitions) {
  d.expect_operands(4, 4);
  const bool is_double = types.d == Type::f64;
  std::vector<uint32_t> destinations;
  std::vector<Source> sources;
  for (const syntax::Operand& part : parts_of(d.operand(0))) {
    destinations.push_back(d.destination(part, is_double ? Type::f64 : Type::b32));
  }
  size_t counts[3];
  for (size_t i = 0; i < 3; ++i) {
    const std::vector<syntax::Operand> parts = parts_of(d.operand(i + 1));
    const Type type = is_double ? Type::f64 : i == 2 && types.c == Type::f32 ? Type::f32 : Type::b32;
    for (const syntax::Operand& part : parts) sources.push_back(d.source(part, type));
    counts[i] = parts.size();
  }
  const Product& product = product_for(shape, types, satfinite, counts[0], counts[1]);
  const auto fits = [&](size_t count, const FragmentLayout& layout) {
    const auto needed = static_cast<size_t>(layout.registers());
    return count == needed || (repetitions && count > needed && count % needed == 0 && count <= 32);
  };
  if (!fits(destinations.size(), product.multiply.d()) || !fits(counts[0], product.multiply.a()) ||
      !fits(counts[1], product.multiply.b()) || !fits(counts[2], product.multiply.c())) {
    d.fail("a fragment has the wrong number of registers");
  }
  d.destination_list(op, std::move(destinations));
  d.source_list(op, std::move(sources));
  op.instruction_class = InstructionClass::matrix;
  op.immediate = static_cast<int64_t>(reinterpret_cast<intptr_t>(&product));
  if (is_float(types.d)) op.flops = static_cast<uint32_t>(2 * shape.m * shape.n * shape.k) / kLanes;
  op.run = is_double ? run_multiply<double> : run_multiply<uint32_t>;
}

void add_matrix_opcodes(OpcodeTable& table) {
  table.insert({{"mma", decode_mma},
                {"ldmatrix", decode_ldmatrix},
                {"stmatrix", decode_stmatrix},
                {"movmatrix", decode_movmatrix}});
  add_wmma_opcodes(table);
}

}  // namespace wkv::emulator
