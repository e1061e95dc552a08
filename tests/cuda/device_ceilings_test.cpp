// The kernels that measure a GPU do what they say, on the emulated device; and the measuring itself runs on a driver
// whose clock ticks a millisecond with every kernel.
#include "harness/device/device_ceilings.hpp"

#include <catch2/catch.hpp>
#include <numeric>
#include <vector>

#include "harness/device/cuda_device.hpp"
#include "harness/device/emulated_device.hpp"
#include "harness/device/measuring_kernels.hpp"

namespace wkv {
namespace {

template <class Element>
std::vector<Element> download(Device& device, const DeviceMemory& memory) {
  std::vector<Element> values(memory.size() / sizeof(Element));
  device.copy_to_host(std::as_writable_bytes(std::span(values)), memory.address());
  return values;
}

template <class Element>
Element* pointer(const DeviceMemory& memory) {
  return reinterpret_cast<Element*>(memory.address());
}

TEST_CASE("measuring kernels: copy copies all, in whole sectors, and nothing beyond") {
  EmulatedDevice device;
  const int64_t floats = GENERATE(4, 1000, 4096, 3 * 4096 + 8);
  std::vector<float> values(static_cast<size_t>(floats));
  std::iota(values.begin(), values.end(), 1.0f);
  const DeviceMemory from = device.allocate(values.size() * sizeof(float), "from"),
                     to = device.allocate(values.size() * sizeof(float), "to");
  device.copy_to_device(from.address(), std::as_bytes(std::span(values)));
  device.launch(measuring_kernels().copy, {.grid = {4}, .block = {kMeasuringThreads}}, pointer<float>(from),
                pointer<float>(to), floats);
  CHECK(download<float>(device, to) == values);
  const auto& counters = device.counts().at(0).counters;
  CHECK(counters.global_load_bytes == values.size() * sizeof(float));
  CHECK(counters.global_load_sectors == (values.size() * sizeof(float) + 31) / 32);
  CHECK(counters.global_store_sectors == counters.global_load_sectors);
}

TEST_CASE("measuring kernels: fma does the multiply-adds that are counted for it") {
  EmulatedDevice device;
  const int rounds = 3;
  const DeviceMemory sums = device.allocate(kMeasuringThreads * sizeof(float), "sums");
  device.launch(measuring_kernels().fma, {.block = {kMeasuringThreads}}, rounds, 1.0f, 2.0f, pointer<float>(sums));
  // Sixteen chains begin with 0 to 15, and every multiply-add by 1 adds 2.
  const float expected = 15 * 16 / 2 + 2.0f * rounds * MeasuringKernels::kFmas;
  CHECK(download<float>(device, sums) == std::vector<float>(kMeasuringThreads, expected));
  const auto& counters = device.counts().at(0).counters;
  const auto flops = static_cast<double>(counters.flops);
  CHECK(flops >= 2.0 * rounds * MeasuringKernels::kFmas * kMeasuringThreads);
  CHECK(flops < 1.1 * 2.0 * rounds * MeasuringKernels::kFmas * kMeasuringThreads);
}

TEST_CASE("measuring kernels: mma does the matrix products that are counted for it") {
  EmulatedDevice device;
  const int rounds = 2, warps = kMeasuringThreads / 32;
  const DeviceMemory sums = device.allocate(kMeasuringThreads * sizeof(float), "sums");
  device.launch(measuring_kernels().mma, {.block = {kMeasuringThreads}}, rounds, pointer<float>(sums));
  // Eight tiles begin with 0 to 7; a thread has four elements of each, and every product adds 1 to all of one tile.
  const float expected = 4 * (7 * 8 / 2 + static_cast<float>(rounds) * MeasuringKernels::kMmas);
  CHECK(download<float>(device, sums) == std::vector<float>(kMeasuringThreads, expected));
  const auto& counters = device.counts().at(0).counters;
  const auto products = static_cast<uint64_t>(MeasuringKernels::kMmas * rounds * warps);
  CHECK(counters.matrix_instructions == products);
  CHECK(static_cast<double>(counters.flops) >= MeasuringKernels::kMmaFlops * static_cast<double>(products));
}

TEST_CASE("measuring kernels: spin waits for as many cycles as asked for and tells how many it were") {
  EmulatedDevice device;
  const DeviceMemory spun = device.allocate(sizeof(int64_t), "spun");
  device.launch(measuring_kernels().spin, {}, 1000, pointer<int64_t>(spun));
  const int64_t cycles = download<int64_t>(device, spun).at(0);
  CHECK(cycles >= 1000);
  CHECK(cycles < 1100);
}

TEST_CASE("device ceilings: rates are work by the device's clock, of which the tests' driver has one tick a kernel") {
  CudaDevice device(0, WKV_DRIVER_OF_TESTS);
  const Ceilings ceilings = measure_ceilings(device);
  constexpr double kSeconds = 1e-3, kBlocks = 2 * 2048 / kMeasuringThreads;
  CHECK(ceilings.fma_flops_per_second ==
        Approx(2.0 * MeasuringKernels::kFmas * kMeasuringThreads * kBlocks / kSeconds));
  CHECK(ceilings.bf16_dot_flops_per_second ==
        Approx(MeasuringKernels::kMmaFlops * MeasuringKernels::kMmas * kMeasuringThreads / 32 * kBlocks / kSeconds));
  REQUIRE(ceilings.copy.size() == 1);
  CHECK(ceilings.copy[0].working_set_bytes == 2 * 16 * device.properties().l2_bytes);
  CHECK(ceilings.copy[0].bytes_per_second ==
        Approx(static_cast<double>(ceilings.copy[0].working_set_bytes) / kSeconds));
  CHECK(ceilings.bandwidth(1) == ceilings.bandwidth(size_t{1} << 40));  // runs begin with a cold cache
  CHECK(measure_clock(device) == Approx(200000 / kSeconds).epsilon(0.01));
}

TEST_CASE("device ceilings: the emulated device has none") {
  EmulatedDevice device;
  CHECK_THROWS_AS(measure_ceilings(device), std::logic_error);
  CHECK_THROWS_AS(measure_clock(device), std::logic_error);
}

}  // namespace
}  // namespace wkv
