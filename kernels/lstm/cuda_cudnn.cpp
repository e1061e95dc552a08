// lstm cuda_cudnn: NVIDIA's cuDNN, what a user would otherwise call, loaded at run time; cudnnRNNForward for inference
//   with its standard algorithm, in fp32 without TF32.
// Parallel as the library sees fit, on the device's one stream.
// Moves what the library moves, and before that the weights into the library's weight space, in every run, as every run
//   may get others: with cuDNN 9.19's layout 4 copies, 32 C^2 bytes in and as many out. At T = 1 that is most of the
//   run; a user who runs one layer many times does it once. Weight space and workspace count as extra memory; how much
//   only the library can tell.
// Limit: at T = 1 the bandwidth that holds the weights, three times over; else the FMA rate, or a token's latency.
// Supports f32, on a GPU with cuDNN 9 beside it; the emulated device runs PTX, not libraries.
#include "harness/variant.hpp"
#include "kernels/cudnn_recurrent.hpp"
#include "kernels/lstm/lstm.hpp"

namespace wkv::kernels {
namespace {

const Registered<Lstm> variant{{.name = "cuda_cudnn",
                                .device = DeviceKind::cuda,
                                .dtypes = {DType::f32},
                                .unsupported_on = cudnn::unsupported_on,
                                .launch = cudnn::launch_recurrent<Lstm>}};

}  // namespace
}  // namespace wkv::kernels
