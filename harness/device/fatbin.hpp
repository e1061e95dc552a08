// The fat binary that nvcc puts into a host object: for each architecture PTX text, machine code or both.
// Layout after CUDA 13.0's fatbinary: a 16-byte header, then for each part a header with its length and its payload.
#pragma once

#include <cstddef>
#include <string_view>

namespace wkv {

// The PTX for an architecture (80, 90, ...), or for the newest one where it is 0. Throws DeviceError where there is
// none, or where it is compressed (nvcc without --compress-mode=none).
std::string_view ptx_of(const std::byte* fatbin, int architecture = 0);

}  // namespace wkv
