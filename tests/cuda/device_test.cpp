// Kernels through the device interface: on the emulated device with either PTX, and on a real one through a driver that
// is played by the emulator.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <memory>
#include <vector>

#include "harness/device/cuda_device.hpp"
#include "harness/device/emulated_device.hpp"
#include "tests/cuda/device_test_kernels.hpp"

namespace wkv {
namespace {

constexpr const char* kDriverOfTests = WKV_DRIVER_OF_TESTS;  // built from driver_of_tests.cpp

template <class Element>
std::span<const std::byte> bytes_of(const std::vector<Element>& values) {
  return std::as_bytes(std::span(values));
}

template <class Element>
std::vector<Element> download(Device& device, const DeviceMemory& memory) {
  std::vector<Element> values(memory.size() / sizeof(Element));
  device.copy_to_host(std::as_writable_bytes(std::span(values)), memory.address());
  return values;
}

template <class Element>
DeviceMemory upload(Device& device, const std::vector<Element>& values, const std::string& name) {
  DeviceMemory memory = device.allocate(values.size() * sizeof(Element), name);
  device.copy_to_device(memory.address(), bytes_of(values));
  return memory;
}

template <class Element>
Element* pointer(const DeviceMemory& memory) {
  return reinterpret_cast<Element*>(memory.address());
}

std::unique_ptr<Device> device_named(const std::string& name) {
  if (name == "emulated sm_90") return std::make_unique<EmulatedDevice>();
  if (name == "emulated sm_80") return std::make_unique<EmulatedDevice>(EmulatedDeviceOptions{.architecture = 80});
  return std::make_unique<CudaDevice>(0, kDriverOfTests);
}

// Of the tests' driver, while the object lives.
struct CudaVersion {
  explicit CudaVersion(const char* version) { setenv("DRIVER_OF_TESTS_CUDA", version, 1); }
  ~CudaVersion() { unsetenv("DRIVER_OF_TESTS_CUDA"); }
};

TEST_CASE("device: kernels get their arguments, memory and results come and go") {
  const std::string name = GENERATE("emulated sm_90", "emulated sm_80", "driver", "driver of CUDA 12");
  CAPTURE(name);
  const CudaVersion version(name == "driver of CUDA 12" ? "12000" : "13000");
  const auto device = device_named(name);

  SECTION("arguments of every size") {
    const DeviceMemory x = upload(*device, std::vector<double>{1, 2, 3, 4, 5}, "x");
    const DeviceMemory y = upload(*device, std::vector<double>(6, -1), "y");
    device->launch(axpy_f64, {.grid = {3}, .block = {2}}, 5, 0.5, 100, pointer<double>(x), 0.25f, pointer<double>(y));
    device->synchronize();
    CHECK(download<double>(*device, y) == std::vector<double>{100.75, 101.25, 101.75, 102.25, 102.75, -1});
  }
  SECTION("kernels of one file are told apart") {
    const DeviceMemory x = upload(*device, std::vector<float>{1, 2}, "x"),
                       y = upload(*device, std::vector<float>(2), "y");
    device->launch(axpy_f32, {.block = {32}}, 2, 2.0, 0, pointer<float>(x), 1.0f, pointer<float>(y));
    CHECK(download<float>(*device, y) == std::vector<float>{3, 5});
  }
  SECTION("dynamic shared memory, more than 48 KiB of it") {
    const int n = 20000;
    std::vector<int> values(n), reversed(n);
    for (int i = 0; i < n; ++i) values[i] = i, reversed[i] = n - 1 - i;
    const DeviceMemory memory = upload(*device, values, "values");
    const LaunchShape shape{.block = {256}, .dynamic_shared_bytes = n * sizeof(int)};
    device->launch(reverse, shape, n, pointer<int>(memory));
    CHECK(download<int>(*device, memory) == reversed);
  }
  SECTION("grids of two dimensions") {
    const DeviceMemory memory = device->allocate(6 * sizeof(int), "values");
    device->launch(indices, {.grid = {3, 2}}, pointer<int>(memory));
    CHECK(download<int>(*device, memory) == std::vector<int>{0, 1, 2, 10, 11, 12});
  }
  SECTION("blocks that wait for each other") {
    const DeviceMemory arrived = upload(*device, std::vector<unsigned>{0}, "arrived");
    device->launch(meet, {.grid = {4}, .cooperative = true}, pointer<unsigned>(arrived));
    CHECK(download<unsigned>(*device, arrived) == std::vector<unsigned>{4});
  }
  SECTION("a kernel without arguments") {
    device->launch(do_nothing, {.grid = {2}, .block = {32}});
    device->synchronize();
  }
  SECTION("fill, and memory that moves from object to object") {
    DeviceMemory memory = device->allocate(8, "first");
    device->fill(memory.address(), std::byte{7}, 8);
    DeviceMemory other = device->allocate(4, "second");
    std::swap(memory, other);
    CHECK(other.size() == 8);
    CHECK(download<char>(*device, other) == std::vector<char>(8, 7));
  }
  SECTION("copies within the device") {
    const DeviceMemory from = upload(*device, std::vector<int>{1, 2, 3, 4}, "from");
    const DeviceMemory to = upload(*device, std::vector<int>{5, 6, 7, 8}, "to");
    device->copy(to.address() + sizeof(int), from.address(), 2 * sizeof(int));
    CHECK(download<int>(*device, to) == std::vector<int>{5, 1, 2, 8});
  }
  SECTION("attributes") {
    const KernelAttributes attributes = device->attributes(reverse);
    CHECK(attributes.registers > 0);
    CHECK(attributes.local_bytes == 0);
    CHECK(attributes.static_shared_bytes == 0);
    CHECK(attributes.spills.has_value() == (name != "driver of CUDA 12"));  // which compiled it itself
    if (attributes.spills) CHECK(attributes.spills->store_bytes == 0);
  }
  SECTION("scratch memory is kept and its peak known") {
    CHECK(device->peak_scratch_bytes() == 0);
    device->scratch(1000);
    device->scratch(10);
    CHECK(device->peak_scratch_bytes() == 1000);
    device->release_scratch();
    CHECK(device->peak_scratch_bytes() == 0);
  }
  SECTION("a launch beyond the limits names the kernel") {
    CHECK_THROWS_WITH(device->launch(do_nothing, {.block = {2048}}), Catch::Contains("do_nothing"));
  }
}

TEST_CASE("device: only a __global__ function can be launched") {
  EmulatedDevice device;
  CHECK_THROWS_AS(device.launch(
                      +[](int) {}, {}, 1),
                  DeviceError);
}

TEST_CASE("device: a real device has time and properties, the emulated one has no time") {
  CudaDevice device(0, kDriverOfTests);
  CHECK(device.properties().name == "emulated GPU of the tests");
  CHECK(device.properties().architecture == 90);
  CHECK(device.properties().multiprocessors == 2);
  CHECK(device.properties().l2_bytes == 4096);
  CHECK(device.properties().memory_bytes == size_t{16} << 20);
  CHECK(device.properties().clock_hz == 1.5e9);
  CHECK(device.properties().driver == std::string("CUDA 13.0, ") + kDriverOfTests);
  CHECK_FALSE(device.properties().emulated);
  // Its clock ticks a millisecond with every kernel and ten with every fill.
  device.flush_l2();
  CHECK(*device.time([&] {
    device.launch(do_nothing, {});
    device.launch(do_nothing, {});
  }) == Approx(2e-3));
  CHECK(*device.time([&] { device.flush_l2(); }) == Approx(10e-3));

  EmulatedDevice emulated;
  CHECK_FALSE(emulated.time([&] { emulated.launch(do_nothing, {}); }).has_value());
  CHECK(emulated.counts().at(0).launches == 1);
}

TEST_CASE("device: errors of the driver name the call") {
  CHECK_THROWS_WITH(CudaDevice(1, kDriverOfTests), "no GPU number 1: NVIDIA's driver knows 1");
  {
    const CudaVersion old("11080");
    CHECK_THROWS_WITH(CudaDevice(0, kDriverOfTests),
                      "NVIDIA's driver is too old: it knows CUDA 11.8, and 12.0 is needed");
  }
  CudaDevice device(0, kDriverOfTests);
  CHECK_THROWS_AS(device.allocate(size_t{17} << 20, "too much"), std::bad_alloc);
  CHECK_THROWS_WITH(device.fill(reinterpret_cast<std::byte*>(64), std::byte{0}, 1),
                    "cuMemsetD8_v2 failed: CUDA_ERROR_INVALID_VALUE (1): invalid argument");
  const DeviceMemory memory = device.allocate(4, "values");
  device.launch(indices, {.grid = {100}}, pointer<int>(memory));
  CHECK_THROWS_WITH(device.synchronize(), Catch::Contains("cuCtxSynchronize failed: CUDA_ERROR_ILLEGAL_ADDRESS (700)"));
}

TEST_CASE("device: what a kernel does wrong is told with kernel, source line and allocation") {
  EmulatedDevice device;
  const DeviceMemory values = device.allocate(4, "values");
  std::string message;
  try {
    device.launch(indices, {.grid = {2}}, pointer<int>(values));
  } catch (const DeviceError& error) {
    message = error.what();
  }
  CHECK_THAT(message, Catch::Contains("indices"));
  CHECK_THAT(message, Catch::Contains("device_test_kernels.cu"));
  CHECK_THAT(message, Catch::Contains("values"));
  CHECK(device.counts().empty());
}

TEST_CASE("device: scratch memory does not keep what an earlier launch left in it") {
  EmulatedDevice device;
  const auto scratch = [&] { return reinterpret_cast<int*>(device.scratch(8 * sizeof(int))); };
  device.launch(indices, {.grid = {8}}, scratch());
  CHECK_THROWS_AS(device.launch(reverse, {.block = {8}, .dynamic_shared_bytes = 32}, 8, scratch()), DeviceError);
}

TEST_CASE("device: launches are counted by kernel and shape") {
  EmulatedDevice device;
  const DeviceMemory values = device.allocate(4, "values");
  for (int i = 0; i < 3; ++i) device.launch(indices, {}, pointer<int>(values));
  device.launch(do_nothing, {.grid = {4}});
  device.launch(do_nothing, {.grid = {5}});
  REQUIRE(device.counts().size() == 3);
  CHECK(device.counts()[0].kernel == "indices");
  CHECK(device.counts()[0].launches == 3);
  CHECK(device.counts()[0].counters.global_store_bytes == 3 * sizeof(int));
  CHECK(device.counts()[0].attributes.registers > 0);
  CHECK(device.counts()[1].shape.grid.x == 4);
  CHECK(device.counts()[2].counters.blocks == 5);
  device.clear_counts();
  CHECK(device.counts().empty());
}

}  // namespace
}  // namespace wkv
