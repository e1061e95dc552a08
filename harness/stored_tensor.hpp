// A tensor as a file stores it: name, type, shape and raw bytes; and its values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace wkv {

enum class StoredType { f64, f32, f16, bf16, i64, i32, i16, i8, u64, u32, u16, u8, boolean };

size_t size_of(StoredType type);
std::string_view name_of(StoredType type);  // as in a .safetensors file: "F32"
std::optional<StoredType> stored_type_named(std::string_view name);
bool is_floating(StoredType type);

struct StoredTensor {
  std::string name;
  StoredType type = StoredType::f32;
  std::vector<int64_t> shape;        // last fastest; empty: a scalar
  std::span<const std::byte> bytes;  // little-endian, and not necessarily aligned

  int64_t elements() const { return static_cast<int64_t>(bytes.size() / size_of(type)); }
};

// All elements, converted: f16, bf16 and f32 exactly, what does not fit rounded to the nearest.
void read_values(const StoredTensor& tensor, std::span<float> values);  // as many as the tensor has elements
std::vector<float> floats(const StoredTensor& tensor);
std::vector<double> doubles(const StoredTensor& tensor);
// Throws std::runtime_error, without a file's name, for elements that are not whole numbers or do not fit.
std::vector<int64_t> integers(const StoredTensor& tensor);

// A name as it may be shown in a message: quoted, escaped, not too long.
std::string in_quotes(std::string_view name);
std::string to_string(std::span<const int64_t> shape);  // "[2, 377, 64]"

}  // namespace wkv
