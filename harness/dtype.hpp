// Element types of tensors and of arithmetic.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace wkv {

enum class DType { f32, bf16, f16 };

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

// IEEE binary16; conversion rounds to nearest even, overflows to infinity, NaN stays NaN. No step of it meets an fp32
// denormal, so that it gives the same where these are flushed.
struct Float16 {
  uint16_t bits = 0;

  Float16() = default;
  explicit Float16(float value) {
    const uint32_t word = std::bit_cast<uint32_t>(value), magnitude = word & 0x7fffffffu;
    uint32_t half = 0;
    if (magnitude > 0x7f800000u) {
      half = 0x7e00u;
    } else if (magnitude >= 0x477ff000u) {  // 65520 and more round up to 2^16
      half = 0x7c00u;
    } else if (magnitude >= 0x38800000u) {  // 2^-14, the smallest normal one
      half = ((magnitude + 0xfffu + ((magnitude >> 13) & 1u)) >> 13) - (112u << 10);
    } else {  // the last bit of an fp32 between 1/2 and 1 is 2^-24, the unit of binary16's denormals
      half = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - std::bit_cast<uint32_t>(0.5f);
    }
    bits = static_cast<uint16_t>((word >> 16 & 0x8000u) | half);
  }
  explicit operator float() const {
    const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16, exponent = bits & 0x7c00u;
    if (exponent == 0) {
      const float magnitude = static_cast<float>(bits & 0x3ffu) * 0x1p-24f;
      return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
    }
    const uint32_t rebias = exponent == 0x7c00u ? 224u : 112u;
    return std::bit_cast<float>(sign | ((static_cast<uint32_t>(bits & 0x7fffu) << 13) + (rebias << 23)));
  }
};
static_assert(sizeof(Float16) == 2);

constexpr size_t size_of(DType dtype) { return dtype == DType::f32 ? 4 : 2; }
constexpr std::string_view name_of(DType dtype) {
  return dtype == DType::f32 ? "f32" : dtype == DType::bf16 ? "bf16" : "f16";
}

// Largest relative error of rounding to the type: half a unit in the last place.
constexpr double unit_roundoff(DType dtype) {
  return dtype == DType::f32 ? 0x1p-24 : dtype == DType::bf16 ? 0x1p-8 : 0x1p-11;
}

constexpr std::optional<DType> parse_dtype(std::string_view text) {
  if (text == "f32" || text == "fp32") return DType::f32;
  if (text == "bf16") return DType::bf16;
  if (text == "f16" || text == "fp16") return DType::f16;
  return std::nullopt;
}

}  // namespace wkv
