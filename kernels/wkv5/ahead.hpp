// Rows of r, k, v and y that will be needed soon, asked for a few cache lines at a time while something else is
// computed. They lie H N elements apart, so that the hardware does not foresee them. Asked for all at once they would
// fill its miss buffers and stall what is computed. They go to L2, as L1 is full of the state and the present tokens.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "harness/problem.hpp"
#include "kernels/wkv5/wkv5.hpp"

namespace wkv::kernels {

// Columns of v, y and a state: [first, last).
struct Columns {
  int64_t first, last;
  int64_t count() const { return last - first; }
};

class Ahead {
 public:
  // Of a head, `tokens` at a time in `asks` calls of ask, or in one. Of v and y only the columns: to ask for those that
  // another thread writes would take them from it.
  Ahead(const Problem& p, const Wkv5Tensors& tensors, int64_t head, Columns columns, int64_t tokens, int64_t asks)
      : T_(p.new_tokens()), tokens_(tokens) {
    const auto size = static_cast<int64_t>(size_of(p.dtype));
    const int64_t at = (head / p.H * T_ * p.H + head % p.H) * p.N * size;
    first_ = {tensors.r + at, tensors.k + at, tensors.v + at, tensors.y + at};
    row_bytes_ = p.N * size;
    part_first_ = columns.first * size;
    part_last_ = columns.last * size;
    stride_bytes_ = p.H * row_bytes_;
    const int64_t lines = tokens * ((row_bytes_ + kLine - 1) / kLine);
    lines_per_ask_ = asks > 1 ? (lines + asks - 1) / asks : lines;
  }

  // From now on the rows of this token and the next, as far as they exist.
  void start(int64_t token) {
    const int64_t at = token * stride_bytes_;
    now_ = {first_.r + at, first_.k + at, first_.v + at, first_.y + at};
    rows_left_ = std::min(T_ - token, tokens_);
    position_ = 0;
  }

  void ask() {
    for (int64_t line = 0; line < lines_per_ask_ && rows_left_ > 0; ++line) {
      ask_for(now_.r);
      ask_for(now_.k);
      if (position_ + kLine > part_first_ && position_ < part_last_) {
        ask_for(now_.v);
        ask_for(now_.y);
      }
      position_ += kLine;
      if (position_ < row_bytes_) continue;
      position_ = 0;
      --rows_left_;
      now_ = {now_.r + stride_bytes_, now_.k + stride_bytes_, now_.v + stride_bytes_, now_.y + stride_bytes_};
    }
  }

 private:
  static constexpr int64_t kLine = 64;

  int64_t T_, tokens_;
  // One token's.
  struct Rows {
    const std::byte *r, *k, *v, *y;
  };

  void ask_for(const std::byte* row) const { __builtin_prefetch(row + position_, 0, 2); }

  Rows first_{}, now_{};
  int64_t row_bytes_, part_first_, part_last_, stride_bytes_, lines_per_ask_;
  int64_t rows_left_ = 0;
  int64_t position_ = 0;  // in the present rows, bytes
};

}  // namespace wkv::kernels
