// The header of a .safetensors file: parsed and checked from untrusted bytes, and made.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "harness/safetensors.hpp"

namespace wkv {

struct SafetensorsHeader {
  std::vector<StoredTensor> tensors;  // their bytes point into the file
  std::map<std::string, std::string> metadata;
};

// From the bytes of a whole file. Throws std::runtime_error saying what is wrong where, without the file's name.
SafetensorsHeader read_safetensors_header(std::span<const std::byte> file);

// Length and JSON, padded to a multiple of 8 bytes. Throws std::runtime_error for names that are reserved or double and
// for bytes that do not fit the shape.
std::string make_safetensors_header(std::span<const StoredTensor> tensors,
                                    const std::map<std::string, std::string>& metadata);

}  // namespace wkv
