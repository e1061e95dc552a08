// What the decoders of mma and wmma share.
#pragma once

#include <vector>

#include "harness/emulator/matrix.hpp"
#include "harness/emulator/opcodes.hpp"

namespace wkv::emulator {

struct ProductTypes {
  Type d{}, a{}, b{}, c{};
};

// What Op::immediate of a product points to; lives for ever. The operation's sources are a's, then b's, then c's.
struct Product {
  MatrixMultiply multiply;
  size_t a_registers, b_registers;
};
inline const Product& product_of(const Op& op) {
  return *reinterpret_cast<const Product*>(static_cast<intptr_t>(op.immediate));
}

// Whether the instruction is to run now: all 32 lanes are there, or will never be, which is a finding.
bool whole_warp_is_here(Context& context, const Op& op, Mask lanes);

void take_warp_wide(Decoder& d);  // .sync.aligned
MatrixShape take_shape(Decoder& d);
std::vector<syntax::Operand> parts_of(const syntax::Operand& operand);  // of a vector, or it alone
bool is_mma(MatrixShape shape, const ProductTypes& types);
bool is_wmma(MatrixShape shape, const ProductTypes& types);

// Operands d, a, b, c. With repetitions, fragments may have multiples of the registers they need.
void decode_product(Decoder& d, Op& op, MatrixShape shape, const ProductTypes& types, bool satfinite, bool repetitions);

void add_wmma_opcodes(OpcodeTable& table);

}  // namespace wkv::emulator
