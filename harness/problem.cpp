#include "harness/problem.hpp"

#include <fmt/format.h>

namespace wkv {

std::string to_string(const Problem& problem) {
  const std::string outputs = problem.outputs == 0 ? "" : fmt::format("/M:{}", problem.outputs);
  const std::string window = problem.window ? fmt::format("/W:{}", *problem.window) : "";
  return fmt::format("{}/{}/B:{}/T:{}/H:{}/N:{}{}{}", name_of(problem.dtype), name_of(problem.mode), problem.B,
                     problem.T, problem.H, problem.N, outputs, window);
}

}  // namespace wkv
