// Rows of r, k, v and y that will be needed soon, asked for one at a time while something else is computed. They lie H
// N elements apart, so that the hardware does not foresee them. Asked for all at once they would fill its miss buffers
// and stall what is computed, or be dropped. They go to L2, as L1 is full of the state and the present tokens.
#pragma once

#include <algorithm>
#include <array>
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
  // Of a head, `tokens` at a time in `asks` calls of ask. Of v and y only the columns: to ask for those that another
  // thread writes would take them from it.
  Ahead(const Problem& p, const Wkv5Tensors& tensors, int64_t head, Columns columns, int64_t tokens, int64_t asks)
      : T_(p.new_tokens()),
        tokens_(tokens),
        rows_per_ask_(4.0 * static_cast<double>(tokens) / static_cast<double>(asks)) {
    const auto size = static_cast<int64_t>(size_of(p.dtype));
    const int64_t at = (head / p.H * T_ * p.H + head % p.H) * p.N * size, bytes = p.N * size;
    const int64_t part_at = at + columns.first * size,
                  part_bytes = std::min(columns.count(), p.N - columns.first) * size;
    tensors_ = {Rows{tensors.r + at, bytes}, Rows{tensors.k + at, bytes}, Rows{tensors.v + part_at, part_bytes},
                Rows{tensors.y + part_at, part_bytes}};
    stride_ = p.H * p.N * size;
  }

  // From now on the rows of this token and the next, as far as they exist.
  void start(int64_t token) {
    token_ = token;
    tensor_ = tensors_.begin();
    rows_left_ = 0;
    due_ = 0;
    if (token >= T_) tensor_ = tensors_.end();
  }

  void ask() {
    for (due_ += rows_per_ask_; due_ >= 1; due_ -= 1) {
      if (rows_left_ == 0) {
        if (tensor_ == tensors_.end()) return;
        row_ = tensor_->first + token_ * stride_;
        bytes_ = tensor_->bytes;
        rows_left_ = std::min(T_ - token_, tokens_);
        ++tensor_;
      }
      for (const std::byte *line = row_, *end = row_ + bytes_; line < end; line += kLine) {
        __builtin_prefetch(line, 0, 2);
      }
      row_ += stride_;
      --rows_left_;
    }
  }

 private:
  static constexpr int64_t kLine = 64;

  struct Rows {
    const std::byte* first;  // token's
    int64_t bytes;           // of a token
  };

  int64_t T_, tokens_, stride_;
  double rows_per_ask_, due_ = 0;
  std::array<Rows, 4> tensors_{};
  const Rows* tensor_ = tensors_.end();  // the next
  int64_t token_ = 0, rows_left_ = 0, bytes_ = 0;
  const std::byte* row_ = nullptr;
};

}  // namespace wkv::kernels
