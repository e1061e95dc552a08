// wkv5 cpu_bf16_dot with its dot product of pairs computed in software, bit for bit but for subnormals (which the
// instruction takes for zero): for tests of everything else in it, on CPUs that lack the instruction.
#pragma once

#include <cstddef>

#include "harness/executor.hpp"
#include "harness/problem.hpp"
#include "kernels/wkv5/wkv5.hpp"

namespace wkv::kernels {

void run_bf16_dot_in_software(const Problem& problem, const Wkv5Tensors& tensors, Executor& executor);
size_t bf16_dot_extra_bytes(const Problem& problem, int threads);

}  // namespace wkv::kernels
