// Element types of tensors and of arithmetic.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace wkv {

enum class DType { f32, bf16 };

// bfloat16: the upper half of an fp32; conversion rounds to nearest even, NaN stays NaN.
struct BFloat16 {
  uint16_t bits = 0;

  BFloat16() = default;
  explicit BFloat16(float value) {
    const uint32_t word = std::bit_cast<uint32_t>(value);
    const bool is_nan = (word & 0x7fffffffu) > 0x7f800000u;
    bits = is_nan ? static_cast<uint16_t>((word >> 16) | 0x40u)
                  : static_cast<uint16_t>((word + 0x7fffu + ((word >> 16) & 1u)) >> 16);
  }
  explicit operator float() const { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
};
static_assert(sizeof(BFloat16) == 2);

constexpr size_t size_of(DType dtype) { return dtype == DType::f32 ? 4 : 2; }
constexpr std::string_view name_of(DType dtype) { return dtype == DType::f32 ? "f32" : "bf16"; }

// Largest relative error of rounding to the type: half a unit in the last place.
constexpr double unit_roundoff(DType dtype) { return dtype == DType::f32 ? 0x1p-24 : 0x1p-8; }

constexpr std::optional<DType> parse_dtype(std::string_view text) {
  if (text == "f32" || text == "fp32") return DType::f32;
  if (text == "bf16") return DType::bf16;
  return std::nullopt;
}

}  // namespace wkv
