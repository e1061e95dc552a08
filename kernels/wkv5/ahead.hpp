// Rows of r, k, v and y that will be needed soon, asked for a few cache lines at a time while something else is
// computed. One head's lie H N elements apart, where there are many heads each in a page of memory of its own, whose
// address takes long to translate: so neighbouring heads take turns through time, and what the next turn needs of all
// of them is asked for in the order in which it lies in memory. Asked for all at once the rows would fill the miss
// buffers and stall what is computed, or be dropped. They go to L2, as L1 is full of the state and the present tokens.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "harness/problem.hpp"
#include "kernels/wkv5/wkv5.hpp"

namespace wkv::kernels {

// What several threads write lies in pages of their own: where it would be side by side, a core's prefetcher, which
// runs ahead within a page, would take lines from the other.
constexpr size_t whole_pages(size_t bytes) {
  constexpr size_t kPage = 4096;
  return (bytes + kPage - 1) / kPage * kPage;
}

// Columns of v, y and a state: [first, last).
struct Columns {
  int64_t first, last;
  int64_t count() const { return last - first; }
};

// Elements before the row of a head's token t in r, k, v and y.
inline int64_t row_offset(const Problem& p, int64_t head, int64_t t) {
  return ((head / p.H * p.new_tokens() + t) * p.H + head % p.H) * p.N;
}

// Heads [first, last), all of one batch entry.
struct Heads {
  int64_t first, last;
  int64_t count() const { return last - first; }
};

// Which neighbouring heads a thread takes in turns: as many as fill a page's part of a row, if there are enough for all
// threads.
class TurnPlan {
 public:
  TurnPlan(const Problem& p, int64_t threads) : B_(p.B), H_(p.H) {
    constexpr int64_t kPage = 4096;
    const int64_t most = std::max<int64_t>(1, kPage / (p.N * static_cast<int64_t>(size_of(p.dtype))));
    groups_ = (H_ + most - 1) / most;
    // More and smaller ones until the threads have the same number, or so many that it does not matter.
    while (groups_ < H_ && tasks() % threads != 0 && tasks() < 4 * threads) ++groups_;
  }

  int64_t tasks() const { return B_ * groups_; }
  Heads heads(int64_t task) const {
    const int64_t entry = task / groups_ * H_, group = task % groups_;
    return {.first = entry + H_ * group / groups_, .last = entry + H_ * (group + 1) / groups_};
  }
  int64_t most_heads() const { return (H_ + groups_ - 1) / groups_; }

 private:
  int64_t B_, H_;
  int64_t groups_;  // of each batch entry's heads
};

// Whether rows of y are written past the caches: if the whole of it is more than a core's hold, that spares reading the
// lines from memory first. Rows must be whole lines, and of fp32, as vectors of which they are made.
inline bool bypasses_caches(const Problem& p, const std::byte* y) {
  constexpr int64_t kLine = 64, kCached = int64_t{8} << 20;
  const int64_t row = p.N * static_cast<int64_t>(size_of(p.dtype));
  return p.dtype == DType::f32 && p.B * p.new_tokens() * p.H * row >= kCached && row % kLine == 0 &&
         reinterpret_cast<uintptr_t>(y) % kLine == 0;
}

class Ahead {
 public:
  // Asks for the rows of `tokens` tokens in `asks` calls of ask, those of y if `outputs`. Of one head's v and y only
  // the columns: to ask for those that another thread writes would take them from it.
  Ahead(const Problem& p, const Wkv5Tensors& tensors, Heads heads, Columns columns, bool outputs, int64_t tokens,
        int64_t asks)
      : T_(p.new_tokens()), tokens_(tokens) {
    const auto size = static_cast<int64_t>(size_of(p.dtype));
    stride_ = p.H * p.N * size;
    const int64_t at = row_offset(p, heads.first, 0) * size;
    int64_t part_at = at, bytes = heads.count() * p.N * size, part_bytes = bytes;
    if (heads.count() == 1) {
      part_at += columns.first * size;
      part_bytes = std::max<int64_t>(std::min(columns.last, p.N) - columns.first, 0) * size;
    }
    tensors_ = {Rows{tensors.r + at, bytes}, Rows{tensors.k + at, bytes}, Rows{tensors.v + part_at, part_bytes},
                Rows{tensors.y + part_at, outputs ? part_bytes : 0}};
    int64_t lines = 0;
    for (const Rows& rows : tensors_) lines += tokens * ((rows.bytes + kLine - 1) / kLine);
    lines_per_ask_ = (lines + asks - 1) / asks;
  }
  Ahead(const Ahead&) = delete;
  Ahead& operator=(const Ahead&) = delete;

  // From now on the rows from this token on, as far as they exist.
  void start(int64_t token) {
    token_ = token;
    tensor_ = token < T_ ? tensors_.begin() : tensors_.end();
    rows_left_ = 0;
    line_ = end_ = nullptr;
  }

  void ask() {
    const std::byte* line = line_;
    for (int64_t left = lines_per_ask_; left > 0; --left, line += kLine) {
      while (line == end_) {
        if (!next_row()) {
          line_ = line;
          return;
        }
        line = line_;
      }
      __builtin_prefetch(line, 0, 2);
    }
    line_ = line;
  }

 private:
  static constexpr int64_t kLine = 64;

  struct Rows {
    const std::byte* first;  // token's
    int64_t bytes;           // of a token
  };

  bool next_row() {
    if (rows_left_ == 0) {
      if (tensor_ == tensors_.end()) return false;
      row_ = tensor_->first + token_ * stride_;
      row_bytes_ = tensor_->bytes;
      rows_left_ = std::min(T_ - token_, tokens_);
      ++tensor_;
    }
    line_ = row_;
    end_ = row_ + (row_bytes_ + kLine - 1) / kLine * kLine;
    row_ += stride_;
    --rows_left_;
    return true;
  }

  int64_t T_, tokens_, stride_, lines_per_ask_;
  std::array<Rows, 4> tensors_{};
  const Rows* tensor_ = tensors_.end();  // the next
  int64_t token_ = 0, rows_left_ = 0, row_bytes_ = 0;
  const std::byte *row_ = nullptr, *line_ = nullptr, *end_ = nullptr;
};

}  // namespace wkv::kernels
