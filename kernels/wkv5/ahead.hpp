// Rows of r, k, v and y that will be needed soon, asked for a cache line of each at a time while something else is
// computed. They lie H N elements apart, so that the hardware does not foresee them; asked for all at once they would
// fill its miss buffers and stall what is computed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace wkv::kernels {

struct Ahead {
  std::array<const std::byte*, 4> rows{};
  int64_t row_bytes = 0;
  int64_t stride_bytes = 0;
  int64_t rows_left = 0;
  int64_t position = 0;  // in the present rows, bytes

  void ask() {
    if (rows_left == 0) return;
    for (const std::byte* row : rows) __builtin_prefetch(row + position);
    position += 64;
    if (position < row_bytes) return;
    position = 0;
    --rows_left;
    for (const std::byte*& row : rows) row += stride_bytes;
  }
};

}  // namespace wkv::kernels
