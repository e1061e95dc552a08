#include "harness/problem.hpp"

#include <fmt/format.h>

namespace wkv {

std::string to_string(const Problem& problem) {
  return fmt::format("{}/{}/B:{}/T:{}/H:{}/N:{}{}", name_of(problem.dtype), name_of(problem.mode), problem.B, problem.T,
                     problem.H, problem.N, problem.window ? fmt::format("/W:{}", *problem.window) : "");
}

}  // namespace wkv
