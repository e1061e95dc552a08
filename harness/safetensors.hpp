// .safetensors files (github.com/huggingface/safetensors, "Format"): 8 bytes little-endian header length, a JSON header
// {"name": {"dtype", "shape", "data_offsets": [begin, end)}, ..., "__metadata__": {string: string}}, then the data,
// which the tensors cover without gap or overlap. Every check that the format asks for is made when a file is opened.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace wkv {

enum class StoredType { f64, f32, f16, bf16, i64, i32, i16, i8, u64, u32, u16, u8, boolean };

size_t size_of(StoredType type);
std::string_view name_of(StoredType type);  // as in the file: "F32"
bool is_floating(StoredType type);

struct StoredTensor {
  std::string name;
  StoredType type = StoredType::f32;
  std::vector<int64_t> shape;  // last fastest; empty: a scalar
  std::span<const std::byte> bytes;

  int64_t elements() const { return static_cast<int64_t>(bytes.size() / size_of(type)); }
};

// A name as it may be shown in a message: quoted, escaped, not too long.
std::string in_quotes(std::string_view name);
std::string to_string(std::span<const int64_t> shape);  // "[2, 377, 64]"

// A file mapped into memory for reading; its tensors' bytes live as long as it does. Another process that shortens the
// file in that time makes reading them a bus error, as with any mapped file.
// Errors are std::runtime_error with one line for the user: the file, the tensor, the offset.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const std::vector<StoredTensor>& tensors() const { return tensors_; }  // in the order of their data
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  const StoredTensor* find(std::string_view name) const;  // null if there is none
  const StoredTensor& tensor(std::string_view name) const;

  // All elements, converted. integers refuses elements that are not whole numbers or do not fit.
  std::vector<float> floats(std::string_view name) const;
  std::vector<double> doubles(std::string_view name) const;
  std::vector<int64_t> integers(std::string_view name) const;

 private:
  struct Unmap {
    size_t bytes;
    void operator()(const std::byte* memory) const;
  };
  void map();
  void read_header();

  std::filesystem::path path_;
  std::unique_ptr<const std::byte, Unmap> mapping_;
  std::span<const std::byte> file_;
  std::vector<StoredTensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

// Writes the tensors in the order given. The file appears under its name only when it is complete.
void write_safetensors(const std::filesystem::path& path, std::span<const StoredTensor> tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace wkv
