// gru cuda_persistent: the input's products for all tokens at once, then one cooperative launch for all tokens, in
// which
//   w_hh stays in shared memory (persistent.cuh).
// A block owns eight channels with all their gates, a warp one of them (recurrent.cuh); the blocks wait for each other
//   once a token, at a counter in global memory.
// Moves x once for every 64 rows and w_ih once for every 64 tokens; w_hh once, 96 C bytes a block; a token's h, C
//   floats for each batch entry and block, through L2; the input's products out and in again.
// Limit: a token's latency: h to L2 and from it, the counter twice, a pass over the block's weights in shared memory.
// Supports hidden sizes that are multiples of 32 of which each eight channels have a multiprocessor: up to 1056 on 132.
#include "harness/variant.hpp"
#include "kernels/gru/cell.cuh"
#include "kernels/persistent.cuh"

namespace wkv::kernels {
namespace {

std::optional<std::string> unsupported_on(const Problem& p, const DeviceProperties& device) {
  return unsupported_by_size(persistent_shape(p, Gru::kGates), device);
}

const Registered<Gru> variant{{.name = "cuda_persistent",
                               .device = DeviceKind::cuda,
                               .dtypes = {DType::f32, DType::bf16, DType::f16},
                               .unsupported = unsupported_by_steps,
                               .unsupported_on = unsupported_on,
                               .launch = launch_persistent<Gru, GruCell>}};

}  // namespace
}  // namespace wkv::kernels
