// fp64 arithmetic in a directed rounding mode, on all lanes of a warp at once because setting the host's mode costs
// more than the arithmetic.
#pragma once

#include <array>

#include "harness/emulator/float_format.hpp"

namespace wkv::emulator {

enum class DoubleOperation { add, subtract, multiply, fused_multiply_add, divide, square_root };

// d = operation(a, b, c) in rn, rz, rm or rp; unused operands may be anything.
void evaluate(DoubleOperation operation, Rounding rounding, std::array<double, 32>& d, const std::array<double, 32>& a,
              const std::array<double, 32>& b, const std::array<double, 32>& c);

}  // namespace wkv::emulator
