#include "harness/stored_tensor.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "harness/dtype.hpp"

namespace wkv {
namespace {

static_assert(std::endian::native == std::endian::little, "files are little-endian and are read as they lie");

struct TypeEntry {
  StoredType type;
  std::string_view name;
  size_t bytes;
};
constexpr std::array kTypes{
    TypeEntry{StoredType::f64, "F64", 8},      TypeEntry{StoredType::f32, "F32", 4},
    TypeEntry{StoredType::f16, "F16", 2},      TypeEntry{StoredType::bf16, "BF16", 2},
    TypeEntry{StoredType::i64, "I64", 8},      TypeEntry{StoredType::i32, "I32", 4},
    TypeEntry{StoredType::i16, "I16", 2},      TypeEntry{StoredType::i8, "I8", 1},
    TypeEntry{StoredType::u64, "U64", 8},      TypeEntry{StoredType::u32, "U32", 4},
    TypeEntry{StoredType::u16, "U16", 2},      TypeEntry{StoredType::u8, "U8", 1},
    TypeEntry{StoredType::boolean, "BOOL", 1},
};

const TypeEntry& entry_of(StoredType type) {
  return *std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeEntry& entry) { return entry.type == type; });
}

struct Boolean {
  uint8_t byte;
  explicit operator int64_t() const { return byte != 0; }
  explicit operator double() const { return byte != 0; }
  explicit operator float() const { return byte != 0; }
};

// Calls body with a null pointer of the C++ type that is stored.
template <class Body>
void with_stored_type(StoredType type, const Body& body) {
  const auto call = [&]<class Element>() { body(static_cast<Element*>(nullptr)); };
  switch (type) {
    case StoredType::f64:
      return call.template operator()<double>();
    case StoredType::f32:
      return call.template operator()<float>();
    case StoredType::f16:
      return call.template operator()<Float16>();
    case StoredType::bf16:
      return call.template operator()<BFloat16>();
    case StoredType::i64:
      return call.template operator()<int64_t>();
    case StoredType::i32:
      return call.template operator()<int32_t>();
    case StoredType::i16:
      return call.template operator()<int16_t>();
    case StoredType::i8:
      return call.template operator()<int8_t>();
    case StoredType::u64:
      return call.template operator()<uint64_t>();
    case StoredType::u32:
      return call.template operator()<uint32_t>();
    case StoredType::u16:
      return call.template operator()<uint16_t>();
    case StoredType::u8:
      return call.template operator()<uint8_t>();
    case StoredType::boolean:
      return call.template operator()<Boolean>();
  }
}

// Elements are copied out one by one since nothing aligns them in the file.
template <class Element>
Element element(const StoredTensor& tensor, size_t index) {
  Element value;
  std::memcpy(&value, tensor.bytes.data() + index * sizeof(Element), sizeof(Element));
  return value;
}

template <class Value>
void convert(const StoredTensor& tensor, std::span<Value> values) {
  with_stored_type(tensor.type, [&]<class Element>(Element*) {
    for (size_t i = 0; i < values.size(); ++i) {
      const auto stored = element<Element>(tensor, i);
      if constexpr (std::is_same_v<Element, Float16> || std::is_same_v<Element, BFloat16>) {
        values[i] = static_cast<Value>(static_cast<float>(stored));
      } else {
        values[i] = static_cast<Value>(stored);
      }
    }
  });
}

template <class Value>
std::vector<Value> converted(const StoredTensor& tensor) {
  std::vector<Value> values(static_cast<size_t>(tensor.elements()));
  convert<Value>(tensor, values);
  return values;
}

}  // namespace

size_t size_of(StoredType type) { return entry_of(type).bytes; }
std::string_view name_of(StoredType type) { return entry_of(type).name; }

std::optional<StoredType> stored_type_named(std::string_view name) {
  const auto found =
      std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeEntry& entry) { return entry.name == name; });
  return found == kTypes.end() ? std::nullopt : std::optional(found->type);
}

bool is_floating(StoredType type) {
  return type == StoredType::f64 || type == StoredType::f32 || type == StoredType::f16 || type == StoredType::bf16;
}

void read_values(const StoredTensor& tensor, std::span<float> values) {
  if (std::ssize(values) != tensor.elements()) {
    throw std::logic_error(
        fmt::format("tensor {} has {} elements, not {}", in_quotes(tensor.name), tensor.elements(), values.size()));
  }
  convert(tensor, values);
}

std::vector<float> floats(const StoredTensor& tensor) { return converted<float>(tensor); }

std::vector<double> doubles(const StoredTensor& tensor) { return converted<double>(tensor); }

std::vector<int64_t> integers(const StoredTensor& tensor) {
  const auto refuse = [&](const auto& value, const char* why) {
    throw std::runtime_error(fmt::format("tensor {} holds {}, which is {}", in_quotes(tensor.name), value, why));
  };
  if (is_floating(tensor.type)) {
    for (const double value : doubles(tensor)) {
      if (!(std::abs(value) <= 0x1p53) || value != std::trunc(value)) refuse(value, "not an integer");
    }
  } else if (tensor.type == StoredType::u64) {
    for (size_t i = 0; i < static_cast<size_t>(tensor.elements()); ++i) {
      const auto value = element<uint64_t>(tensor, i);
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) refuse(value, "too large");
    }
  }
  return converted<int64_t>(tensor);
}

std::string in_quotes(std::string_view name) {
  constexpr size_t kShown = 80;
  return name.size() <= kShown ? fmt::format("{:?}", name) : fmt::format("{:?}...", name.substr(0, kShown));
}

std::string to_string(std::span<const int64_t> shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

}  // namespace wkv
