// The variants by cuDNN: with a library and a driver that are played by the tests, on machines without one, and what
// cuDNN itself says of the graph for attention, for which it needs no GPU.
#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>

#include "harness/device/cuda_device.hpp"
#include "harness/verify.hpp"
#include "kernels/attention/cudnn_graph.hpp"
#include "kernels/cudnn_recurrent.hpp"
#include "tests/cuda/counts.hpp"
#include "tests/cuda/environment.hpp"

namespace wkv {
namespace {

using kernels::cudnn::WeightPiece;

const Variant& variant_of(const std::string& op) { return variant_named(op, "cuda_cudnn"); }

Problem small_problem(const std::string& op) {
  if (op == "attention") return {.B = 2, .T = 9, .H = 2, .N = 8, .dtype = DType::bf16};
  return {.B = 2, .T = 5, .H = 2, .N = 8};
}

TEST_CASE("cuda_cudnn: needs a GPU and the library") {
  const std::string op = GENERATE("lstm", "gru", "attention");
  const Problem problem = small_problem(op);
  CHECK(unsupported(variant_of(op), problem) == "needs a GPU and cuDNN");
  CudaDevice device(0, WKV_DRIVER_OF_TESTS);
  {
    const Environment missing("WKV_CUDNN", "libcudnn-of-no-machine.so");
    CHECK(unsupported(variant_of(op), problem, &device) ==
          "cannot load cuDNN: libcudnn-of-no-machine.so: cannot open shared object file: No such file or directory");
  }
  const Environment another("WKV_CUDNN", "libm.so.6");
  CHECK(unsupported(variant_of(op), problem, &device) == "cuDNN is too old: it has no cudnnCreate");
}

TEST_CASE("cuda_cudnn: what it does not support") {
  CHECK(unsupported(variant_of("lstm"), {.dtype = DType::bf16}) == "dtype bf16 is not supported");
  CHECK(unsupported(variant_of("attention"), {.dtype = DType::f32}) == "dtype f32 is not supported");
  CHECK(unsupported(variant_of("attention"), {.mode = Mode::decode, .dtype = DType::bf16}) == "decode");
  for (const int64_t N : {12, 264}) {
    CHECK(unsupported(variant_of("attention"), {.N = N, .dtype = DType::f16}) ==
          "a head size other than multiples of 8 up to 256");
  }
}

TEST_CASE("cuda_cudnn: weights that lie behind each other on both sides are copied at once") {
  using kernels::cudnn::joined;
  CHECK(joined({{0, 0, 0, 4}, {1, 0, 8, 4}, {0, 4, 4, 4}, {1, 4, 12, 4}}) ==
        std::vector<WeightPiece>{{0, 0, 0, 8}, {1, 0, 8, 8}});
  CHECK(joined({{0, 4, 0, 4}, {0, 0, 4, 4}}).size() == 2);  // in another order there
  CHECK(joined({{0, 0, 0, 4}, {0, 4, 8, 4}}).size() == 2);  // with a gap there
  CHECK(joined({{0, 0, 0, 4}, {1, 4, 4, 4}}).size() == 2);  // of two tensors
}

#ifdef WKV_CUDNN_OF_TESTS

int count_in_library(const char* function) {
  void* library = dlopen(WKV_CUDNN_OF_TESTS, RTLD_NOW);
  REQUIRE(library != nullptr);
  return reinterpret_cast<int (*)()>(dlsym(library, function))();
}

// The problems one after the other on one device.
void check_verified(const std::string& op, const std::vector<Problem>& problems) {
  {
    Executor executor(1);
    CudaDevice gpu(0, WKV_DRIVER_OF_TESTS);
    for (const Problem& problem : problems) {
      CAPTURE(to_string(problem));
      REQUIRE(unsupported(variant_of(op), problem, &gpu) == std::nullopt);
      Workload workload(operator_named(op), problem, generated_inputs(InputKind::realistic, 5), 2, executor);
      const auto runner = make_runner(variant_of(op), workload, executor, &gpu);
      CHECK(verify(*runner, workload, executor).failure == "");
      CHECK(runner->peak_extra_bytes() >= 4096);               // the workspace
      CHECK(count_in_library("cudnn_of_tests_handles") == 1);  // for all runs on the device
    }
  }
  CHECK(count_in_library("cudnn_of_tests_handles") == 0);
  CHECK(count_in_library("cudnn_of_tests_descriptors") == 0);
}

TEST_CASE("lstm, gru cuda_cudnn: what they ask of the library is the layer") {
  const std::string op = GENERATE("lstm", "gru");
  const bool is_scattered = GENERATE(false, true);
  CAPTURE(op, is_scattered);
  const Environment library("WKV_CUDNN", WKV_CUDNN_OF_TESTS);
  std::optional<Environment> scattered;
  if (is_scattered) scattered.emplace("CUDNN_OF_TESTS_SCATTERED", "1");
  const Problem problem = small_problem(op), decode{.B = 3, .T = 7, .H = 2, .N = 16, .mode = Mode::decode};
  check_verified(op, {problem, decode, problem});
}

TEST_CASE("attention cuda_cudnn: what it asks of the library is causal attention") {
  const DType dtype = GENERATE(DType::bf16, DType::f16);
  CAPTURE(name_of(dtype));
  const Environment library("WKV_CUDNN", WKV_CUDNN_OF_TESTS);
  Problem problem = small_problem("attention");
  problem.dtype = dtype;
  const Problem one_token{.B = 1, .T = 1, .H = 3, .N = 16, .dtype = dtype};
  check_verified("attention", {problem, one_token, problem});
}

void run_once(const std::string& op) {
  Executor executor(1);
  CudaDevice gpu(0, WKV_DRIVER_OF_TESTS);
  Workload workload(operator_named(op), small_problem(op), generated_inputs(InputKind::realistic, 5), 2, executor);
  make_runner(variant_of(op), workload, executor, &gpu)->run(0);
}

TEST_CASE("cuda_cudnn: an error of the library names the call and the reason") {
  const Environment library("WKV_CUDNN", WKV_CUDNN_OF_TESTS);
  const std::string op = GENERATE("lstm", "gru", "attention");
  {
    const Environment fails("CUDNN_OF_TESTS_FAILS", "1");
    CHECK_THROWS_WITH(run_once(op), "cudnnCreate failed: CUDNN_STATUS_NOT_INITIALIZED (1001)");
  }
  const Environment later("CUDNN_OF_TESTS_RUN_FAILS", "1");
  CHECK_THROWS_WITH(run_once(op), (op == "attention" ? "cudnnBackendExecute" : "cudnnRNNForward") +
                                      std::string(" failed: CUDNN_STATUS_BAD_PARAM (2000): as the test wants it"));
}

TEST_CASE("attention cuda_cudnn: a graph that no engine takes is an error") {
  const Environment library("WKV_CUDNN", WKV_CUDNN_OF_TESTS);
  const std::string message = "cuDNN has no engine for attention bf16/prefill/B:2/T:9/H:2/N:8";
  {
    const Environment none("CUDNN_OF_TESTS_ENGINES", "0");
    CHECK_THROWS_WITH(run_once("attention"), message);
  }
  const Environment one_that_fails("CUDNN_OF_TESTS_ENGINES", "1");
  CHECK_THROWS_WITH(run_once("attention"), message + ": CUDNN_STATUS_BAD_PARAM (2000): this engine does not compile");
}

#endif

#ifdef WKV_CUDNN_FOLDER

// What cuDNN asks a device for, as it writes it down: an H100's.
constexpr const char* kH100 = R"({"deviceName": "NVIDIA H100 80GB HBM3", "cudaDeviceId": 0, "pciDeviceId": 0,
  "deviceVer": 900, "driverVer": 13000, "isTccDriver": 0, "supportCoopLaunch": 1, "multiProcessorCount": 132,
  "smClockRateKHz": 1980000, "memClockRateKHz": 2619000, "totalGlobalMem": 85000000000, "l2CacheSize": 52428800,
  "warpSize": 32, "maxThreadsPerBlock": 1024, "maxThreadsPerSM": 2048, "maxCtasPerSM": 32, "regsPerBlock": 65536,
  "maxRegistersPerSM": 65536, "maxSharedMemoryPerBlock": 49152, "maxSharedMemoryPerBlockOptin": 232448,
  "reservedSharedMemoryPerBlock": 1024, "maxGridSize": [2147483647, 65535, 65535], "maxBlockSize": [1024, 1024, 64]})";

// Of the engines that the heuristics propose for it.
size_t engines_on_h100(const Problem& problem) {
  using namespace kernels::cudnn;
  // By path, so that the loader has them when cuDNN asks for them by name.
  for (const char* file : {"/stubs/libcuda.so", "/libnvrtc.so.13"}) {
    dlopen((std::string(WKV_CUDNN_FOLDER) + file).c_str(), RTLD_NOW | RTLD_GLOBAL);
  }
  setenv("WKV_CUDNN", (std::string(WKV_CUDNN_FOLDER) + "/libcudnn.so.9").c_str(), 1);
  constexpr int kDeviceProperties = 38, kDeviceAsJson = 2702, kCharType = 24;
  Backend h100(functions(), kDeviceProperties);
  h100.set(kDeviceAsJson, kCharType, std::vector<char>(kH100, kH100 + std::strlen(kH100) + 1)).finalize();
  const AttentionGraph graph(functions(), nullptr, problem);
  return engine_configs(functions(), graph, kBestFirst, h100).size();
}

// In a process of its own, which alone has the libraries: the engines, or -1 and a message of what went wrong.
int engines_in_child(const Problem& problem) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    try {
      _exit(static_cast<int>(engines_on_h100(problem)));
    } catch (const std::exception& error) {
      fmt::print(stderr, "{}\n", error.what());
      _exit(255);
    }
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) != 255 ? WEXITSTATUS(status) : -1;
}

TEST_CASE("attention cuda_cudnn: cuDNN itself has engines for the graph on an H100") {
  for (const DType dtype : {DType::bf16, DType::f16}) {
    for (const int64_t N : {8, 64, 128, 256}) {
      CAPTURE(name_of(dtype), N);
      CHECK(engines_in_child({.B = 2, .T = 1000, .H = 3, .N = N, .dtype = dtype}) > 0);
    }
  }
  CHECK(engines_in_child({.T = 1, .dtype = DType::bf16}) > 0);
  CHECK(engines_in_child({.T = 1000, .N = 12, .dtype = DType::bf16}) == 0);
}

#endif

}  // namespace
}  // namespace wkv
