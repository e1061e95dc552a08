#include "harness/problem.hpp"

#include <fmt/format.h>

namespace wkv {

std::string to_string(const Problem& problem) {
  const std::string outputs = problem.outputs == 0 ? "" : fmt::format("/M:{}", problem.outputs);
  return fmt::format("{}/{}/B:{}/T:{}/H:{}/N:{}{}", name_of(problem.dtype), name_of(problem.mode), problem.B, problem.T,
                     problem.H, problem.N, outputs);
}

}  // namespace wkv
