// .safetensors files (github.com/huggingface/safetensors, "Format"): 8 bytes little-endian header length, a JSON header
// {"name": {"dtype", "shape", "data_offsets": [begin, end)}, ..., "__metadata__": {string: string}}, then the data,
// which the tensors cover without gap or overlap. Every check that the format asks for is made when a file is opened.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/mapped_file.hpp"
#include "harness/stored_tensor.hpp"

namespace wkv {

// A file mapped into memory for reading; its tensors' bytes live as long as it does.
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
  std::filesystem::path path_;
  MappedFile file_;
  std::vector<StoredTensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

// Writes the tensors in the order given. The file appears under its name only when it is complete.
void write_safetensors(const std::filesystem::path& path, std::span<const StoredTensor> tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace wkv
