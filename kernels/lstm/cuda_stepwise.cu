// lstm cuda_stepwise: the input's products for all tokens at once, then a launch a token: h's products and the cell.
// A block owns 64 tokens x 64 rows of w_ih; then eight channels with all their gates, a warp one each (recurrent.cuh,
//   stepwise.cuh).
// Moves x once for every 64 rows and w_ih once for every 64 tokens; the sums, 16 C bytes a token, out and in again;
//   w_hh once a token for every four batch entries, from L2 where it fits; h through L2.
// Limit: the latency of a launch, or L2's bandwidth where w_hh is large; the FP32 rate at large B.
// Supports hidden sizes that are multiples of 32.
#include "harness/variant.hpp"
#include "kernels/lstm/cell.cuh"
#include "kernels/stepwise.cuh"

namespace wkv::kernels {
namespace {

const Registered<Lstm> variant{{.name = "cuda_stepwise",
                                .device = DeviceKind::cuda,
                                .dtypes = {DType::f32, DType::bf16, DType::f16},
                                .unsupported = unsupported_by_steps,
                                .launch = launch_stepwise<Lstm, LstmCell>}};

}  // namespace
}  // namespace wkv::kernels
