#include "harness/device/emulated_device.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>

#include "harness/device/fatbin.hpp"

namespace wkv {
namespace {

uint64_t number(const std::byte* address) { return reinterpret_cast<uint64_t>(address); }

// Parsed once for all devices of the program.
const emulator::Module& module_of(const RegisteredKernel& kernel, int architecture) {
  static std::mutex mutex;
  static std::map<std::pair<const std::byte*, int>, emulator::Module> modules;
  const std::scoped_lock lock(mutex);
  const std::pair key(kernel.fatbin, architecture);
  auto found = modules.find(key);
  if (found == modules.end()) {
    found = modules.emplace(key, emulator::Module::parse(ptx_of(kernel.fatbin, architecture), "PTX")).first;
  }
  return found->second;
}

emulator::Dim3 dim3(const Dim3& d) { return {d.x, d.y, d.z}; }

bool same(const Dim3& a, const Dim3& b) { return a.x == b.x && a.y == b.y && a.z == b.z; }

bool same(const LaunchShape& a, const LaunchShape& b) {
  return same(a.grid, b.grid) && same(a.block, b.block) && a.dynamic_shared_bytes == b.dynamic_shared_bytes &&
         a.cooperative == b.cooperative;
}

}  // namespace

DeviceProperties emulated_properties(const EmulatedDeviceOptions& options) {
  const int architecture = options.architecture == 0 ? 90 : options.architecture;
  return {.name = fmt::format("emulated sm_{}", architecture),
          .emulated = true,
          .architecture = architecture,
          .multiprocessors = emulator::kMultiprocessors,
          .shared_bytes = emulator::kMaxShared};
}

EmulatedDevice::EmulatedDevice(EmulatedDeviceOptions options)
    : Device(emulated_properties(options)), options_(options) {}

EmulatedDevice::~EmulatedDevice() { release_all(); }

std::byte* EmulatedDevice::allocate_memory(size_t bytes, const std::string& name) {
  return reinterpret_cast<std::byte*>(memory_.allocate(bytes, name));
}

void EmulatedDevice::free_memory(std::byte* address) noexcept { memory_.free(number(address)); }

void EmulatedDevice::copy_to_device(std::byte* to, std::span<const std::byte> from) {
  memory_.copy_in(number(to), from.data(), from.size());
}

void EmulatedDevice::copy_to_host(std::span<std::byte> to, const std::byte* from) {
  memory_.copy_out(to.data(), number(from), to.size());
}

void EmulatedDevice::copy(std::byte* to, const std::byte* from, size_t bytes) {
  std::vector<std::byte> between(bytes);
  memory_.copy_out(between.data(), number(from), bytes);
  memory_.copy_in(number(to), between.data(), bytes);
}

void EmulatedDevice::fill(std::byte* to, std::byte value, size_t bytes) { memory_.fill(number(to), value, bytes); }

std::optional<double> EmulatedDevice::time(const std::function<void()>& work) {
  work();
  return std::nullopt;
}

void EmulatedDevice::launch_kernel(const RegisteredKernel& kernel, const LaunchShape& shape,
                                   std::span<const Argument> arguments) {
  std::vector<std::byte> packed;
  for (const Argument& argument : arguments) {
    packed.resize((packed.size() + argument.alignment - 1) / argument.alignment * argument.alignment);
    const auto* bytes = static_cast<const std::byte*>(argument.value);
    packed.insert(packed.end(), bytes, bytes + argument.size);
  }
  const emulator::Launch launch{dim3(shape.grid), dim3(shape.block), shape.dynamic_shared_bytes, shape.cooperative};
  emulator::Report report;
  try {
    report = emulator::launch(memory_, module_of(kernel, options_.architecture), kernel.symbol, launch, packed,
                              {.threads = options_.threads});
  } catch (const emulator::Error& error) {
    throw DeviceError(fmt::format("{}: {}", display_name(kernel.symbol), error.what()));
  }
  if (!report.findings.empty()) {
    std::string message;
    for (const emulator::Finding& finding : report.findings) {
      if (!message.empty()) message += '\n';
      message += finding.message();
    }
    throw DeviceError(message);
  }
  count(kernel, shape, report.counters);
}

KernelAttributes EmulatedDevice::attributes_of(const RegisteredKernel& kernel) {
  const auto attributes = compiler_attributes(kernel.symbol);
  if (!attributes) throw DeviceError(fmt::format("no compiler report on {}", display_name(kernel.symbol)));
  return *attributes;
}

void EmulatedDevice::count(const RegisteredKernel& kernel, const LaunchShape& shape,
                           const emulator::Counters& counters) {
  const std::string name = display_name(kernel.symbol);
  auto found = std::find_if(counts_.begin(), counts_.end(), [&](const KernelCounts& counts) {
    return counts.kernel == name && same(counts.shape, shape);
  });
  if (found == counts_.end()) {
    counts_.push_back(
        {.kernel = name, .shape = shape, .attributes = attributes_of(kernel), .launches = 0, .counters = {}});
    found = counts_.end() - 1;
  }
  ++found->launches;
  found->counters += counters;
}

}  // namespace wkv
