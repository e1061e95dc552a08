// A library that plays cuBLAS on the GPU of driver_of_tests.cpp, so that the code that loads and calls it runs in every
// test run. Its functions are the prototypes of NVIDIA's own header; the products are plain loops on the host.
#include <cublas_v2.h>
#include <cuda.h>

#include <cstdlib>
#include <cstring>
#include <vector>

struct cublasContext {
  void* workspace = nullptr;
  size_t workspace_bytes = 0;
};

namespace {

int handles = 0;

// A matrix by columns, as fp32; bf16 only besides.
std::vector<float> matrix(const void* from, int rows, int columns, cudaDataType type, int leading) {
  const size_t element = type == CUDA_R_32F ? 4 : 2, stride = static_cast<size_t>(leading) * element;
  std::vector<std::byte> bytes(stride * static_cast<size_t>(columns));
  cuMemcpyDtoH(bytes.data(), reinterpret_cast<CUdeviceptr>(from), bytes.size());
  std::vector<float> values;
  for (int column = 0; column < columns; ++column) {
    for (int row = 0; row < rows; ++row) {
      const std::byte* at = &bytes[static_cast<size_t>(column) * stride + static_cast<size_t>(row) * element];
      unsigned bits = 0;
      std::memcpy(&bits, at, element);
      if (type == CUDA_R_16BF) bits <<= 16;
      float value;
      std::memcpy(&value, &bits, sizeof(value));
      values.push_back(value);
    }
  }
  return values;
}

void put(float value, cudaDataType type, CUdeviceptr to) {
  unsigned bits;
  std::memcpy(&bits, &value, sizeof(bits));
  if (type == CUDA_R_16BF) {
    bits += 0x7fff + (bits >> 16 & 1);  // to nearest even
    bits >>= 16;
  }
  cuMemcpyHtoD(to, &bits, type == CUDA_R_32F ? 4 : 2);
}

}  // namespace

extern "C" {

// CUBLAS_OF_TESTS_FAILS=1 makes it a library that cannot start.
cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  if (std::getenv("CUBLAS_OF_TESTS_FAILS") != nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  *handle = new cublasContext;
  ++handles;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  delete handle;
  --handles;
  return CUBLAS_STATUS_SUCCESS;
}

const char* cublasGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_NOT_INITIALIZED ? "the library was not initialized" : "an unsupported value";
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void* workspace, size_t bytes) {
  *handle = {workspace, bytes};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, int m, int n,
                            int k, const void* alpha, const void* A, cudaDataType a_type, int lda, const void* B,
                            cudaDataType b_type, int ldb, const void* beta, void* C, cudaDataType c_type, int ldc,
                            cublasComputeType_t compute, cublasGemmAlgo_t algorithm) {
  const bool typed = compute == CUBLAS_COMPUTE_32F && algorithm == CUBLAS_GEMM_DEFAULT && a_type == b_type &&
                     a_type == c_type && (a_type == CUDA_R_32F || a_type == CUDA_R_16BF);
  if (!typed || handle->workspace == nullptr || handle->workspace_bytes == 0) return CUBLAS_STATUS_INVALID_VALUE;
  const bool ta = transa == CUBLAS_OP_T, tb = transb == CUBLAS_OP_T;
  const auto a = matrix(A, ta ? k : m, ta ? m : k, a_type, lda), b = matrix(B, tb ? n : k, tb ? k : n, b_type, ldb);
  const auto at = [](const std::vector<float>& values, int rows, int row, int column) {
    return double{values[static_cast<size_t>(column) * static_cast<size_t>(rows) + static_cast<size_t>(row)]};
  };
  for (int column = 0; column < n; ++column) {
    for (int row = 0; row < m; ++row) {
      double sum = 0;
      for (int i = 0; i < k; ++i) {
        sum += (ta ? at(a, k, i, row) : at(a, m, row, i)) * (tb ? at(b, n, column, i) : at(b, k, i, column));
      }
      const size_t element = c_type == CUDA_R_32F ? 4 : 2;
      const size_t offset =
          (static_cast<size_t>(column) * static_cast<size_t>(ldc) + static_cast<size_t>(row)) * element;
      if (*static_cast<const float*>(beta) != 0) return CUBLAS_STATUS_NOT_SUPPORTED;
      put(static_cast<float>(sum * *static_cast<const float*>(alpha)), c_type,
          reinterpret_cast<CUdeviceptr>(C) + offset);
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

int cublas_of_tests_handles() { return handles; }

}  // extern "C"
