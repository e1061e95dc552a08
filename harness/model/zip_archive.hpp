// The directory of a zip file (PKWARE's APPNOTE.TXT) whose entries lie in it as they are, as torch.save writes them.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace wkv::model {

// Both point into the file.
struct ZipEntry {
  std::string_view name;
  std::span<const std::byte> data;
};

// All entries in the order of the directory, also of zip64 files. Names are different and data do not overlap; names
// may hold any byte. Checksums are not compared, nor does PyTorch's own reader.
// Throws std::runtime_error saying what is wrong where, without the file's name: for what is compressed, encrypted or
// split, and for whatever contradicts itself.
std::vector<ZipEntry> read_zip_directory(std::span<const std::byte> file);

}  // namespace wkv::model
