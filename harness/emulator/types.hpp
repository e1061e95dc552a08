// PTX's types and state spaces.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace wkv::emulator {

enum class Type : uint8_t {
  pred,
  b8,
  b16,
  b32,
  b64,
  b128,
  u8,
  u16,
  u32,
  u64,
  s8,
  s16,
  s32,
  s64,
  f16,
  f16x2,
  bf16,
  bf16x2,
  tf32,
  f32,
  f64,
  e4m3,
  e5m2,
  e4m3x2,
  e5m2x2,
  u16x2,
  s16x2,
  count
};

enum class Space : uint8_t { generic, global, shared, local, param, constant };

struct TypeFacts {
  std::string_view name;
  uint8_t bytes;
  char kind;  // b, u, s, f, p as in the name
};

inline constexpr std::array<TypeFacts, static_cast<size_t>(Type::count)> kTypeFacts = {{
    {"pred", 0, 'p'},   {"b8", 1, 'b'},    {"b16", 2, 'b'},   {"b32", 4, 'b'},   {"b64", 8, 'b'},  {"b128", 16, 'b'},
    {"u8", 1, 'u'},     {"u16", 2, 'u'},   {"u32", 4, 'u'},   {"u64", 8, 'u'},   {"s8", 1, 's'},   {"s16", 2, 's'},
    {"s32", 4, 's'},    {"s64", 8, 's'},   {"f16", 2, 'f'},   {"f16x2", 4, 'f'}, {"bf16", 2, 'f'}, {"bf16x2", 4, 'f'},
    {"tf32", 4, 'f'},   {"f32", 4, 'f'},   {"f64", 8, 'f'},   {"e4m3", 1, 'f'},  {"e5m2", 1, 'f'}, {"e4m3x2", 2, 'f'},
    {"e5m2x2", 2, 'f'}, {"u16x2", 4, 'u'}, {"s16x2", 4, 's'},
}};

constexpr const TypeFacts& facts(Type type) { return kTypeFacts[static_cast<size_t>(type)]; }
constexpr uint32_t bytes_of(Type type) { return facts(type).bytes; }
constexpr bool is_signed(Type type) { return facts(type).kind == 's'; }
constexpr bool is_float(Type type) { return facts(type).kind == 'f'; }
constexpr bool is_unsigned_or_bits(Type type) { return facts(type).kind == 'u' || facts(type).kind == 'b'; }

// Without the dot; nothing if it is no type.
constexpr std::optional<Type> type_named(std::string_view name) {
  for (size_t i = 0; i < kTypeFacts.size(); ++i) {
    if (kTypeFacts[i].name == name) return static_cast<Type>(i);
  }
  return std::nullopt;
}

constexpr std::string_view name_of(Space space) {
  constexpr std::array<std::string_view, 6> kNames = {"generic", "global", "shared", "local", "parameter", "constant"};
  return kNames[static_cast<size_t>(space)];
}

}  // namespace wkv::emulator
