// The variant by cuBLAS: with a library and a driver that are played by the tests, and on machines without one.
#include <dlfcn.h>

#include <catch2/catch.hpp>

#include "harness/device/cuda_device.hpp"
#include "harness/verify.hpp"
#include "tests/cuda/counts.hpp"
#include "tests/cuda/environment.hpp"

namespace wkv {
namespace {

// With room for cuBLAS's workspace.
struct Gpu {
  const Environment memory{"DRIVER_OF_TESTS_MIB", "64"};
  CudaDevice device{0, WKV_DRIVER_OF_TESTS};
};

const Variant& cublas_variant() { return variant_named("gemm", "cuda_cublas"); }

TEST_CASE("gemm cuda_cublas: needs a GPU and the library") {
  CHECK(unsupported(cublas_variant(), {}) == "needs a GPU and cuBLAS");
  CudaDevice device(0, WKV_DRIVER_OF_TESTS);
  {
    const Environment missing("WKV_CUBLAS", "libcublas-of-no-machine.so");
    CHECK(unsupported(cublas_variant(), {}, &device) ==
          "cannot load cuBLAS: libcublas-of-no-machine.so: cannot open shared object file: No such file or directory");
  }
  const Environment another("WKV_CUBLAS", "libm.so.6");
  CHECK(unsupported(cublas_variant(), {}, &device) == "cuBLAS is too old: it has no cublasCreate_v2");
}

#ifdef WKV_CUBLAS_OF_TESTS

int live_handles() {
  void* library = dlopen(WKV_CUBLAS_OF_TESTS, RTLD_NOW);
  REQUIRE(library != nullptr);
  return reinterpret_cast<int (*)()>(dlsym(library, "cublas_of_tests_handles"))();
}

TEST_CASE("gemm cuda_cublas: what it asks of the library is the product") {
  const DType dtype = GENERATE(DType::f32, DType::bf16);
  const Environment library("WKV_CUBLAS", WKV_CUBLAS_OF_TESTS);
  {
    Executor executor(1);
    Gpu gpu;
    const Problem problem{.B = 2, .T = 3, .H = 1, .N = 16, .dtype = dtype};
    REQUIRE(unsupported(cublas_variant(), problem, &gpu.device) == std::nullopt);
    Workload workload(operator_named("gemm"), problem, generated_inputs(InputKind::realistic, 5), 2, executor);
    const auto runner = make_runner(cublas_variant(), workload, executor, &gpu.device);
    CHECK(verify(*runner, workload, executor).failure == "");
    CHECK(live_handles() == 1);  // for all runs on the device
  }
  CHECK(live_handles() == 0);
}

TEST_CASE("gemm cuda_cublas: an error of the library names the call") {
  const Environment library("WKV_CUBLAS", WKV_CUBLAS_OF_TESTS);
  Executor executor(1);
  Gpu gpu;
  const auto run = [&](DType dtype) {
    Workload workload(operator_named("gemm"), {.H = 1, .N = 16, .dtype = dtype},
                      generated_inputs(InputKind::realistic, 5), 2, executor);
    make_runner(cublas_variant(), workload, executor, &gpu.device)->run(0);
  };
  {
    const Environment fails("CUBLAS_OF_TESTS_FAILS", "1");
    CHECK_THROWS_WITH(run(DType::f32), "cublasCreate_v2 failed: the library was not initialized (1)");
  }
  CHECK_THROWS_WITH(run(DType::f16), "cublasGemmEx failed: an unsupported value (7)");  // which the tests' own has not
}

#endif

}  // namespace
}  // namespace wkv
