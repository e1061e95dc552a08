// One problem: which shape of an operator is run, in which mode and dtype.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "harness/dtype.hpp"

namespace wkv {

enum class Mode {
  prefill,  // T tokens at once
  decode,   // one new token after a context of T (state or KV cache given)
};

constexpr std::string_view name_of(Mode mode) { return mode == Mode::prefill ? "prefill" : "decode"; }

struct Problem {
  int64_t B = 1;   // batch
  int64_t T = 1;   // sequence length; in decode the length of the context, the new token included
  int64_t H = 32;  // heads
  int64_t N = 64;  // head size
  Mode mode = Mode::prefill;
  DType dtype = DType::f32;         // of the sequence tensors; states and parameters are fp32
  int64_t outputs = 0;              // channels that gemm projects to; 0: as many as it takes
  std::optional<int64_t> window{};  // of the operators that have one (AFT); none: no limit

  int64_t new_tokens() const { return mode == Mode::decode ? 1 : T; }
  int64_t channels() const { return H * N; }
  bool operator==(const Problem&) const = default;
};

// "f32/prefill/B:1/T:1024/H:32/N:64": part of a cell's name, stable, without spaces; outputs add "/M:128", a window
// "/W:128".
std::string to_string(const Problem& problem);

}  // namespace wkv
