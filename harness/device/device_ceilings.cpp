#include "harness/device/device_ceilings.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <stdexcept>

#include "harness/device/measuring_kernels.hpp"

namespace wkv {
namespace {

const MeasuringKernels* registered = nullptr;

constexpr double kTrialSeconds = 5e-4;  // hundreds of times what a launch and two events take
constexpr std::chrono::milliseconds kWarmUp{200};

// A short untimed launch comes first: while it runs the timed ones are queued.
double seconds_of(Device& device, int64_t launches, const std::function<void()>& launch) {
  launch();
  const auto seconds = device.time([&] {
    for (int64_t i = 0; i < launches; ++i) launch();
  });
  if (!seconds) throw std::logic_error("the emulated device gives no time");
  return *seconds;
}

uint32_t arithmetic_blocks(const Device& device) {
  constexpr int kThreadsOfMultiprocessor = 2048;
  return static_cast<uint32_t>(device.properties().multiprocessors * kThreadsOfMultiprocessor / kMeasuringThreads);
}

// By launches of a kernel that takes the number of its rounds; `work` is what a round of a block does.
template <class Launch>
double arithmetic_rate(Device& device, double work, const Launch& launch) {
  const uint32_t blocks = arithmetic_blocks(device);
  const DeviceMemory sums = device.allocate(blocks * kMeasuringThreads * sizeof(float), "sums");
  return best_rate(kTrialSeconds, [&](int64_t rounds) {
    const double seconds = seconds_of(
        device, 1, [&] { launch(blocks, static_cast<int>(rounds), reinterpret_cast<float*>(sums.address())); });
    return Trial{work * blocks * static_cast<double>(rounds), seconds};
  });
}

double fma_rate(Device& device) {
  return arithmetic_rate(device, 2.0 * MeasuringKernels::kFmas * kMeasuringThreads,
                         [&](uint32_t blocks, int rounds, float* sums) {
                           device.launch(measuring_kernels().fma, {.grid = {blocks}, .block = {kMeasuringThreads}},
                                         rounds, 0.5f, 1.0f, sums);
                         });
}

double mma_rate(Device& device) {
  constexpr int kWarps = kMeasuringThreads / 32;
  return arithmetic_rate(device, MeasuringKernels::kMmaFlops * MeasuringKernels::kMmas * kWarps,
                         [&](uint32_t blocks, int rounds, float* sums) {
                           device.launch(measuring_kernels().mma, {.grid = {blocks}, .block = {kMeasuringThreads}},
                                         rounds, sums);
                         });
}

// Sixteen times what the L2 cache holds, each way, so that next to nothing of it comes from there.
Bandwidth copy_bandwidth(Device& device) {
  constexpr size_t kFloatsOfBlock = size_t{kMeasuringThreads} * MeasuringKernels::kCopyFloats;
  const size_t wanted = std::min(16 * device.properties().l2_bytes, device.properties().memory_bytes / 8);
  const size_t blocks = std::max<size_t>(1, wanted / sizeof(float) / kFloatsOfBlock);
  const size_t floats = blocks * kFloatsOfBlock, bytes = floats * sizeof(float);
  const DeviceMemory from = device.allocate(bytes, "copied"), to = device.allocate(bytes, "copy");
  device.fill(from.address(), std::byte{1}, bytes);
  const auto copy = [&] {
    device.launch(measuring_kernels().copy, {.grid = {static_cast<uint32_t>(blocks)}, .block = {kMeasuringThreads}},
                  reinterpret_cast<const float*>(from.address()), reinterpret_cast<float*>(to.address()),
                  static_cast<int64_t>(floats));
  };
  const double rate = best_rate(kTrialSeconds, [&](int64_t rounds) {
    const double seconds = seconds_of(device, rounds, copy);
    return Trial{2.0 * static_cast<double>(bytes) * static_cast<double>(rounds), seconds};
  });
  return {2 * bytes, rate};
}

}  // namespace

const MeasuringKernels& measuring_kernels() {
  if (registered == nullptr) throw DeviceError("this program was built without nvcc");
  return *registered;
}

void register_measuring_kernels(const MeasuringKernels& kernels) { registered = &kernels; }

Ceilings measure_ceilings(Device& device) {
  if (device.properties().emulated) throw std::logic_error("the emulated device gives no time");
  const auto start = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - start < kWarmUp) fma_rate(device);
  return {.copy = {copy_bandwidth(device)},
          .fma_flops_per_second = fma_rate(device),
          .bf16_dot_flops_per_second = mma_rate(device)};
}

double measure_clock(Device& device) {
  constexpr int64_t kCycles = 200000;  // a hundred microseconds: two events and a launch are a percent of it
  const DeviceMemory spun = device.allocate(sizeof(int64_t), "spun");
  const double seconds = seconds_of(device, 1, [&] {
    device.launch(measuring_kernels().spin, {}, kCycles, reinterpret_cast<int64_t*>(spun.address()));
  });
  int64_t cycles = 0;
  device.copy_to_host(std::as_writable_bytes(std::span(&cycles, 1)), spun.address());
  return static_cast<double>(cycles) / seconds;
}

}  // namespace wkv
