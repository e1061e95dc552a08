// Memory that will be needed soon, asked for a few cache lines at a time while something else is computed: rows of r, k,
// v and y, which lie H N elements apart, so that the hardware does not foresee them. Asked for all at once they would
// fill its miss buffers and stall what is computed. They go to L2, as L1 is full of the state and the present tokens.
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
  int64_t lines_per_ask = 1;
  int64_t position = 0;  // in the present rows, bytes

  static constexpr int64_t kLine = 64;

  // All of it in this many calls of ask, or in one.
  Ahead in(int64_t asks) const {
    Ahead spread = *this;
    const int64_t lines = rows_left * ((row_bytes + kLine - 1) / kLine);
    spread.lines_per_ask = asks > 1 ? (lines + asks - 1) / asks : lines;
    return spread;
  }

  void ask() {
    for (int64_t line = 0; line < lines_per_ask && rows_left > 0; ++line) {
      for (const std::byte* row : rows) __builtin_prefetch(row + position, 0, 2);
      position += kLine;
      if (position < row_bytes) continue;
      position = 0;
      --rows_left;
      for (const std::byte*& row : rows) row += stride_bytes;
    }
  }
};

}  // namespace wkv::kernels
