// gemm cuda_cublas: NVIDIA's cuBLAS, what a user would otherwise call, loaded at run time; cublasGemmEx with sums in
// fp32. Parallel as the library sees fit, on the device's one stream. Moves what the library moves; its workspace of 32
// MiB, what NVIDIA advises for Hopper, counts as extra memory. Limit: the rate of the matrix units, for f32 of FMA
// (TF32 stays off); at few tokens the bandwidth of the weights. Supports every shape, on a GPU with cuBLAS 12 or 13
// beside it; the emulated device runs PTX, not libraries.
#include "harness/device/library.hpp"
#include "harness/variant.hpp"
#include "kernels/gemm/gemm.hpp"

namespace wkv::kernels {
namespace {

// Names and types after CUDA 13.0's cublas_api.h and library_types.h.
using Handle = struct CublasContext*;
constexpr int kTransposed = 1, kAsItLies = 0;            // cublasOperation_t
constexpr int kF32 = 0, kF16 = 2, kBf16 = 14;            // cudaDataType
constexpr int kComputeF32 = 68, kDefaultAlgorithm = -1;  // cublasComputeType_t, cublasGemmAlgo_t
constexpr size_t kWorkspaceBytes = size_t{32} << 20;

std::string status_text(const Library& library, int status) {
  const auto text = reinterpret_cast<const char* (*)(int)>(library.symbol("cublasGetStatusString"));
  return std::string(text(status)) + " (" + std::to_string(status) + ")";
}

template <class... Parameters>
using Call = LibraryCall<status_text, Parameters...>;

struct Cublas {
  explicit Cublas(const std::vector<std::string>& files) : library(files, "cuBLAS") {}

  Library library;
  Call<Handle*> create{library, "cublasCreate_v2"};
  Call<Handle> destroy{library, "cublasDestroy_v2"};
  Call<Handle, void*, size_t> set_workspace{library, "cublasSetWorkspace_v2"};
  // Handle, operations on A and B, m, n, k, alpha, A with type and leading dimension, B, beta, C, computation,
  // algorithm.
  Call<Handle, int, int, int, int, int, const void*, const void*, int, int, const void*, int, int, const void*, void*,
       int, int, int, int>
      gemm{library, "cublasGemmEx"};
};

// Some hundred megabytes. Throws DeviceError.
const Cublas& cublas() { return loaded_once<Cublas>("WKV_CUBLAS", {"libcublas.so.13", "libcublas.so.12"}); }

// Of a device: in the context that was current when it was made.
struct CublasHandle {
  const Cublas& library = cublas();
  LibraryObject<Handle, Call<Handle*>, Call<Handle>> handle{library.create, library.destroy};
};

std::optional<std::string> unsupported_on(const Problem&, const DeviceProperties& device) {
  return library_unsupported_on(device, "cuBLAS", cublas);
}

// cuBLAS counts by columns: what lies there as (tokens, C) is to it the transposed matrix, C x tokens. So it makes
// y^T = w x^T of w as it is stored, transposed, and x^T.
void launch(const Problem& p, const GemmTensors& tensors, Device& device) {
  const int C = static_cast<int>(p.channels()), tokens = static_cast<int>(p.B * p.new_tokens());
  const int type = p.dtype == DType::f32 ? kF32 : p.dtype == DType::bf16 ? kBf16 : kF16;
  const float one = 1, zero = 0;
  const auto& [library, handle] = device.state<CublasHandle>();
  library.set_workspace(handle, device.scratch(kWorkspaceBytes), kWorkspaceBytes);
  library.gemm(handle, kTransposed, kAsItLies, C, tokens, C, &one, tensors.w, type, C, tensors.x, type, C, &zero,
               tensors.y, type, C, kComputeF32, kDefaultAlgorithm);
}

const Registered<Gemm> variant{{.name = "cuda_cublas",
                                .device = DeviceKind::cuda,
                                .dtypes = {DType::f32, DType::bf16, DType::f16},
                                .unsupported_on = unsupported_on,
                                .launch = launch}};

}  // namespace
}  // namespace wkv::kernels
