// PTX's floating-point arithmetic on single values: the four IEEE rounding modes for fp32, round to nearest for fp16
// and bf16, the modifiers .ftz, .sat and .relu, minima and maxima, comparisons. fp64 in a directed mode is in
// double_rounding.hpp.
//
// fp32 in a directed mode and fused multiply-adds are computed in a longer format rounded to odd: where a result is
// inexact, the neighbour with the odd last bit is taken. Rounding that once more to a format at least two bits shorter
// gives the correctly rounded result in every mode (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums",
// 2008).
#pragma once

#include <cmath>
#include <limits>

#include "harness/emulator/float_format.hpp"

namespace wkv::emulator {

inline bool is_nan(float value) { return value != value; }
inline bool is_nan(double value) { return value != value; }
template <class T>
bool is_nan(T value) {
  return is_nan(widen(value));
}

inline float canonical(float value) { return is_nan(value) ? canonical_nan<float>() : value; }

// .ftz: a subnormal becomes a zero of its sign.
template <class T>
inline T flush(T value) {
  using Bits = typename Format<T>::Bits;
  constexpr Bits kSign = static_cast<Bits>(Bits{1} << (8 * sizeof(Bits) - 1));
  constexpr Bits kExponent = static_cast<Bits>(Format<T>::infinity << Format<T>::low_zeros);
  const Bits bits = std::bit_cast<Bits>(value);
  return std::bit_cast<T>(bits & kExponent ? bits : static_cast<Bits>(bits & kSign));
}

// .sat: to [0, 1]; NaN and -0 become +0.
inline float saturate(float value) { return value > 0 ? (value < 1 ? value : 1.0f) : 0.0f; }
inline double saturate(double value) { return value > 0 ? (value < 1 ? value : 1.0) : 0.0; }
template <class T>
T saturate(T value) {
  return round_to<T>(saturate(widen(value)));
}

// .relu: what is negative becomes +0; NaN the canonical one.
template <class T>
T relu(T value) {
  const float wide = widen(value);
  return is_nan(wide) ? canonical_nan<T>() : wide > 0 ? value : from_bits<T>(false, 0);
}

namespace detail {
// value moved to odd, where `error` has the sign of (exact - value) and is 0 or NaN if nothing is to be moved.
template <class T>
inline T to_odd(T value, T error) {
  using Bits = typename Format<T>::Bits;
  constexpr Bits kSign = Bits{1} << (8 * sizeof(Bits) - 1);
  const Bits bits = std::bit_cast<Bits>(value), error_bits = std::bit_cast<Bits>(error);
  const Bits opposite = (bits ^ error_bits) >> (8 * sizeof(Bits) - 1);
  const Bits even = ~bits & 1;
  const Bits step = even - 2 * (even & opposite);  // outwards 1, inwards -1, 0 for what is odd
  const Bits error_magnitude = error_bits & ~kSign;
  const auto exact = static_cast<std::make_signed_t<Bits>>(error_magnitude - 1) < 0;
  const auto unknown = static_cast<std::make_signed_t<Bits>>(error_magnitude) >
                       static_cast<std::make_signed_t<Bits>>(Format<T>::infinity);
  const Bits moved = exact ? bits : bits + step;
  return std::bit_cast<T>(unknown ? bits : moved);
}

template <class T>
inline T sum_to_odd(T a, T b) {
  const T sum = a + b;
  const T b_part = sum - a;
  return to_odd(sum, (a - (sum - b_part)) + (b - b_part));
}

// An exact zero from operands of opposite sign is -0 when rounding down, +0 otherwise (IEEE 754-2019, 6.3).
template <Rounding kRounding>
float round_sum(double sum, double a, double b) {
  if constexpr (kRounding == Rounding::rn) return canonical(static_cast<float>(sum));
  const float rounded = round_to<float, kRounding>(sum);
  if constexpr (kRounding == Rounding::rm) {
    return sum == 0 && std::signbit(a) != std::signbit(b) ? -0.0f : rounded;
  }
  return rounded;
}
}  // namespace detail

template <Rounding kRounding = Rounding::rn>
inline float add(float a, float b) {
  if constexpr (kRounding == Rounding::rn) return canonical(a + b);
  return detail::round_sum<kRounding>(detail::sum_to_odd<double>(a, b), a, b);
}

template <Rounding kRounding = Rounding::rn>
inline float subtract(float a, float b) {
  return add<kRounding>(a, -b);
}

template <Rounding kRounding = Rounding::rn>
inline float multiply(float a, float b) {
  if constexpr (kRounding == Rounding::rn) return canonical(a * b);
  return round_to<float, kRounding>(static_cast<double>(a) * b);  // 48 bits: exact
}

template <Rounding kRounding = Rounding::rn>
inline float fused_multiply_add(float a, float b, float c) {
  const double product = static_cast<double>(a) * b;
  return detail::round_sum<kRounding>(detail::sum_to_odd<double>(product, c), product, c);
}

template <Rounding kRounding = Rounding::rn>
inline float divide(float a, float b) {
  if constexpr (kRounding == Rounding::rn) return canonical(a / b);
  const double quotient = static_cast<double>(a) / b;
  const double rest = std::fma(-quotient, b, a);  // exact; NaN for what is not finite, then nothing is moved
  return round_to<float, kRounding>(detail::to_odd<double>(quotient, b < 0 ? -rest : rest));
}

template <Rounding kRounding = Rounding::rn>
inline float square_root(float a) {
  if constexpr (kRounding == Rounding::rn) return canonical(std::sqrt(a));
  const double root = std::sqrt(static_cast<double>(a));
  return round_to<float, kRounding>(detail::to_odd<double>(root, std::fma(-root, root, a)));
}

// fp16 and bf16, always to nearest. fp32 holds products of two fp16 exactly, and more than twice their bits, so that a
// sum rounded to it loses nothing in being rounded twice; bf16 reaches as far down as fp32 does and takes fp64 for
// products.
namespace detail {
template <class T>
struct Carrier {
  using Type = float;
};
template <>
struct Carrier<BF16> {
  using Type = double;
};
inline float odd_float(float value) { return value; }
inline float odd_float(double value) {  // rounded to odd once more
  const float near = round_to<float, Rounding::rz>(value);
  return std::bit_cast<float>(std::bit_cast<uint32_t>(near) | (near != value ? 1u : 0u));
}
}  // namespace detail
template <class T>
T add(T a, T b) {
  return round_to<T>(widen(a) + widen(b));
}
template <class T>
T subtract(T a, T b) {
  return round_to<T>(widen(a) - widen(b));
}
template <class T>
T multiply(T a, T b) {
  using C = typename detail::Carrier<T>::Type;
  return round_to<T>(detail::odd_float(C{widen(a)} * C{widen(b)}));
}
template <class T>
T fused_multiply_add(T a, T b, T c) {
  using C = typename detail::Carrier<T>::Type;
  return round_to<T>(detail::odd_float(detail::sum_to_odd<C>(C{widen(a)} * C{widen(b)}, C{widen(c)})));
}

// The sign bit alone changes, of NaN too.
template <class T>
T negate(T value) {
  using Bits = typename Format<T>::Bits;
  return std::bit_cast<T>(static_cast<Bits>(std::bit_cast<Bits>(value) ^ Bits{1} << (8 * sizeof(Bits) - 1)));
}
template <class T>
T absolute(T value) {
  using Bits = typename Format<T>::Bits;
  return std::bit_cast<T>(static_cast<Bits>(std::bit_cast<Bits>(value) & ~(Bits{1} << (8 * sizeof(Bits) - 1))));
}
// The magnitude of b with the sign of a.
template <class T>
T copy_sign(T a, T b) {
  return std::signbit(a) ? negate(absolute(b)) : absolute(b);
}

// min and max: the other operand where one is NaN, unless .NaN asks for NaN; -0 is below +0. With .xorsign.abs the
// magnitudes are compared and the result gets the exclusive or of the signs.
struct MinMax {
  bool maximum = false, propagate_nan = false, xorsign_abs = false;
};
template <class T>
T min_max(MinMax what, T a, T b) {
  if (what.xorsign_abs) {
    using Bits = typename Format<T>::Bits;
    const Bits signs = std::bit_cast<Bits>(a) ^ std::bit_cast<Bits>(b);
    const T magnitude = min_max(MinMax{what.maximum, what.propagate_nan, false}, absolute(a), absolute(b));
    return is_nan(magnitude) || !(signs >> (8 * sizeof(Bits) - 1)) ? magnitude : negate(magnitude);
  }
  const auto x = widen_to_double(a), y = widen_to_double(b);
  if (is_nan(x) || is_nan(y)) {
    return what.propagate_nan || (is_nan(x) && is_nan(y)) ? canonical_nan<T>() : is_nan(x) ? b : a;
  }
  const bool a_is_less = x < y || (x == y && std::signbit(x));
  return a_is_less != what.maximum ? a : b;
}

// PTX's comparison operators. The unordered ones (equ to geu) hold for NaN operands as well; lo, ls, hi and hs are
// lt, le, gt and ge of unsigned integers.
enum class Comparison { eq, ne, lt, le, gt, ge, equ, neu, ltu, leu, gtu, geu, num, nan };

template <class T>
bool compare(Comparison comparison, T a, T b) {
  bool unordered = false;
  if constexpr (!std::is_integral_v<T>) unordered = a != a || b != b;
  switch (comparison) {
    case Comparison::eq:
      return a == b;
    case Comparison::ne:
      return !unordered && a != b;
    case Comparison::lt:
      return a < b;
    case Comparison::le:
      return a <= b;
    case Comparison::gt:
      return a > b;
    case Comparison::ge:
      return a >= b;
    case Comparison::equ:
      return unordered || a == b;
    case Comparison::neu:
      return unordered || a != b;
    case Comparison::ltu:
      return unordered || a < b;
    case Comparison::leu:
      return unordered || a <= b;
    case Comparison::gtu:
      return unordered || a > b;
    case Comparison::geu:
      return unordered || a >= b;
    case Comparison::num:
      return !unordered;
    case Comparison::nan:
      return unordered;
  }
  return false;
}

// testp. Zeros count as normal.
enum class FloatProperty { finite, infinite, number, notanumber, normal, subnormal };
template <class T>
bool has_property(FloatProperty property, T value) {
  const T magnitude = std::abs(value);
  const bool subnormal = magnitude > 0 && magnitude < std::numeric_limits<T>::min();
  switch (property) {
    case FloatProperty::finite:
      return magnitude <= std::numeric_limits<T>::max();
    case FloatProperty::infinite:
      return magnitude > std::numeric_limits<T>::max();
    case FloatProperty::number:
      return !is_nan(value);
    case FloatProperty::notanumber:
      return is_nan(value);
    case FloatProperty::normal:
      return magnitude <= std::numeric_limits<T>::max() && !subnormal;
    case FloatProperty::subnormal:
      return subnormal;
  }
  return false;
}

}  // namespace wkv::emulator
