// A model's file: .safetensors or a .pth that torch.save wrote as a zip (PyTorch 1.6 and later), told apart by content.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/mapped_file.hpp"
#include "harness/stored_tensor.hpp"

namespace wkv::model {

// The file stays mapped, nothing is copied: tensors' bytes point into it and live as long as the checkpoint, moved or
// not. No two tensors share a byte, so together they are no larger than the file. A tensor's bytes lie at a multiple of
// 64 in what torch.save writes, and wherever the header says in a .safetensors file.
// Errors are std::runtime_error with one line for the user: the file, the tensor where it is known, the byte's offset.
class Checkpoint {
 public:
  explicit Checkpoint(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const std::vector<StoredTensor>& tensors() const { return tensors_; }             // in the order of their data
  const std::map<std::string, std::string>& metadata() const { return metadata_; }  // of .safetensors; else empty

  const StoredTensor* find(std::string_view name) const;    // null if there is none
  const StoredTensor& tensor(std::string_view name) const;  // throws if there is none
  size_t offset_of(const StoredTensor& tensor) const;       // of its first byte in the file; tensor is one of tensors()

 private:
  std::filesystem::path path_;
  MappedFile file_;
  std::vector<StoredTensor> tensors_;
  std::map<std::string, std::string> metadata_;
  std::map<std::string, size_t, std::less<>> index_;
};

}  // namespace wkv::model
