// The parts of the device interface that need neither a kernel nor a GPU.
#include <catch2/catch.hpp>

#include "harness/device/cuda_device.hpp"
#include "harness/device/fatbin.hpp"
#include "harness/device/kernel_registry.hpp"

namespace wkv {

TEST_CASE("device: a machine without NVIDIA's driver has no GPU, said in one line") {
  CHECK_THROWS_WITH(
      CudaDevice(0, "libcuda-of-no-machine.so.1"),
      "no GPU: cannot load NVIDIA's driver: libcuda-of-no-machine.so.1: cannot open shared object file: No such "
      "file or directory");
}

TEST_CASE("device: a library that is no driver is told from one") {
  CHECK_THROWS_WITH(CudaDevice(0, "libm.so.6"), "no GPU: NVIDIA's driver is too old: it has no cuInit");
}

TEST_CASE("device: a kernel is shown by its name and template arguments") {
  CHECK(display_name("_ZN3wkv7kernels12_GLOBAL__N_111wkv5_serialIfLi64EEEvNS0_11Wkv5TensorsEi") ==
        "wkv5_serial<float, 64>");
  CHECK(display_name("_Z4copyPfPKf") == "copy");
  CHECK(display_name("extern_c_kernel") == "extern_c_kernel");
}

TEST_CASE("device: registers, spills and shared memory are read from what ptxas says") {
  const CompilerReport report(R"(
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'report_test_caller' for 'sm_90a'
ptxas info    : Function properties for report_test_callee
    96 bytes stack frame, 4 bytes spill stores, 8 bytes spill loads
ptxas info    : Function properties for report_test_caller
    64 bytes stack frame, 12 bytes spill stores, 16 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 64 bytes cumulative stack size, 2048 bytes smem
ptxas info    : Compile time = 9.7 ms
ptxas info    : Compiling entry function 'report_test_leaf' for 'sm_90a'
ptxas info    : Function properties for report_test_leaf
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 8 registers
)");
  const auto caller = compiler_attributes("report_test_caller"), leaf = compiler_attributes("report_test_leaf");
  REQUIRE(caller.has_value());
  CHECK(caller->registers == 40);
  CHECK(caller->local_bytes == 64);
  CHECK(caller->static_shared_bytes == 2048);
  CHECK(caller->spills->store_bytes == 12);
  CHECK(caller->spills->load_bytes == 16);
  REQUIRE(leaf.has_value());
  CHECK(leaf->registers == 8);
  CHECK(leaf->static_shared_bytes == 0);
  CHECK(leaf->spills->store_bytes == 0);
  CHECK_FALSE(compiler_attributes("report_test_callee").has_value());
}

TEST_CASE("device: what is no fat binary is not taken for one") {
  const std::byte zeros[64] = {};
  CHECK_THROWS_WITH(ptx_of(zeros), "unknown fat binary: magic 0x0, version 0");
}

}  // namespace wkv
