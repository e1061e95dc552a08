#include "harness/emulator/double_rounding.hpp"

#include <cfenv>
#include <cmath>

namespace wkv::emulator {
namespace {

int host_mode(Rounding rounding) {
  switch (rounding) {
    case Rounding::rz:
      return FE_TOWARDZERO;
    case Rounding::rm:
      return FE_DOWNWARD;
    case Rounding::rp:
      return FE_UPWARD;
    default:
      return FE_TONEAREST;
  }
}

// The operands come from memory after the mode is set and the results are in memory before it is set back: the
// compiler cannot move the arithmetic past the calls.
class HostRounding {
 public:
  explicit HostRounding(Rounding rounding) : before_(std::fegetround()) { std::fesetround(host_mode(rounding)); }
  ~HostRounding() { std::fesetround(before_); }
  HostRounding(const HostRounding&) = delete;
  HostRounding& operator=(const HostRounding&) = delete;

 private:
  int before_;
};

double apply(DoubleOperation operation, double a, double b, double c) {
  switch (operation) {
    case DoubleOperation::add:
      return a + b;
    case DoubleOperation::subtract:
      return a - b;
    case DoubleOperation::multiply:
      return a * b;
    case DoubleOperation::fused_multiply_add:
      return std::fma(a, b, c);
    case DoubleOperation::divide:
      return a / b;
    case DoubleOperation::square_root:
      return std::sqrt(a);
  }
  return 0;
}

}  // namespace

void evaluate(DoubleOperation operation, Rounding rounding, std::array<double, 32>& d, const std::array<double, 32>& a,
              const std::array<double, 32>& b, const std::array<double, 32>& c) {
  const HostRounding mode(rounding);
  for (size_t lane = 0; lane < 32; ++lane) d[lane] = apply(operation, a[lane], b[lane], c[lane]);
}

}  // namespace wkv::emulator
