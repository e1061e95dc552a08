#include "harness/runner.hpp"

#include <stdexcept>
#include <utility>
#include <vector>

#include "harness/device/emulated_device.hpp"

namespace wkv {
namespace {

class CpuRunner final : public Runner {
 public:
  CpuRunner(const Variant& variant, const Workload& workload, Executor& executor)
      : variant_(variant), workload_(workload), executor_(executor) {
    executor_.release_scratch();
  }

  const Variant& variant() const override { return variant_; }
  void upload(int) override {}
  void upload_outputs(int) override {}
  void run(int set) override { variant_.run(workload_.set(set).addresses(), workload_.problem(), executor_); }
  std::optional<double> timed_run(int set) override {
    run(set);
    return std::nullopt;
  }
  void download(int) override {}
  void download_outputs(int) override {}
  size_t peak_extra_bytes() const override { return executor_.peak_scratch_bytes(); }

 private:
  const Variant& variant_;
  const Workload& workload_;
  Executor& executor_;
};

// Keeps a copy of every set in device memory. On a GPU the copies have the guards of the host's; the emulated device
// finds accesses beyond a tensor by itself and gets the tensors only.
class DeviceRunner final : public Runner {
 public:
  DeviceRunner(const Variant& variant, const Workload& workload, Device& device, std::unique_ptr<Device> owned_device)
      : variant_(variant),
        workload_(workload),
        owned_device_(std::move(owned_device)),
        device_(device),
        guard_bytes_(device.properties().emulated ? 0 : TensorSet::kGuardBytes) {
    device_.release_scratch();
    for (int set = 0; set < workload.sets(); ++set) {
      DeviceSet& copy = sets_.emplace_back();
      for (const TensorSpec& spec : workload.set(set).specs()) {
        copy.memory.push_back(device_.allocate(host_bytes(set, spec).size(), spec.name));
        copy.addresses.add(spec.name, copy.memory.back().address() + guard_bytes_);
      }
    }
  }

  const Variant& variant() const override { return variant_; }

  void upload(int set) override {
    for (const Role role : {Role::input, Role::output}) copy_to_device(set, role);
  }
  void upload_outputs(int set) override { copy_to_device(set, Role::output); }

  void run(int set) override {
    launch(set);
    device_.synchronize();
  }

  std::optional<double> timed_run(int set) override {
    if (device_.properties().emulated) throw std::logic_error("the emulated device gives no time");
    // The flush keeps the device busy while the work is queued behind it, so that no launch latency is timed. What it
    // wrote is still to be written back while the clock runs, which is what others who clear the L2 by writing time
    // too.
    device_.flush_l2();
    const auto seconds = device_.time([&] { launch(set); });
    device_.synchronize();
    return seconds;
  }

  void download(int set) override {
    for (const Role role : {Role::input, Role::output}) copy_to_host(set, role);
  }
  void download_outputs(int set) override { copy_to_host(set, Role::output); }

  size_t peak_extra_bytes() const override { return device_.peak_scratch_bytes(); }

 private:
  struct DeviceSet {
    std::vector<DeviceMemory> memory;
    TensorAddresses addresses;
  };

  std::span<std::byte> host_bytes(int set, const TensorSpec& spec) const {
    return guard_bytes_ == 0 ? workload_.set(set).bytes(spec) : workload_.set(set).allocation(spec);
  }

  void copy_to_device(int set, Role role) {
    for_each_tensor(set, role,
                    [&](std::byte* there, std::span<std::byte> here) { device_.copy_to_device(there, here); });
  }
  void copy_to_host(int set, Role role) {
    for_each_tensor(set, role, [&](std::byte* there, std::span<std::byte> here) { device_.copy_to_host(here, there); });
  }

  template <class Copy>
  void for_each_tensor(int set, Role role, const Copy& copy) {
    const auto specs = workload_.set(set).specs();
    for (size_t i = 0; i < specs.size(); ++i) {
      if (specs[i].role != role) continue;
      copy(sets_[static_cast<size_t>(set)].memory[i].address(), host_bytes(set, specs[i]));
    }
  }

  void launch(int set) { variant_.launch(sets_[static_cast<size_t>(set)].addresses, workload_.problem(), device_); }

  const Variant& variant_;
  const Workload& workload_;
  std::unique_ptr<Device> owned_device_;
  Device& device_;
  size_t guard_bytes_;
  std::vector<DeviceSet> sets_;
};

}  // namespace

std::unique_ptr<Runner> make_runner(const Variant& variant, const Workload& workload, Executor& executor,
                                    Device* device) {
  if (variant.device == DeviceKind::cpu) return std::make_unique<CpuRunner>(variant, workload, executor);
  if (device != nullptr) return std::make_unique<DeviceRunner>(variant, workload, *device, nullptr);
  auto emulated = std::make_unique<EmulatedDevice>(EmulatedDeviceOptions{.threads = executor.threads()});
  Device& its_device = *emulated;
  return std::make_unique<DeviceRunner>(variant, workload, its_device, std::move(emulated));
}

}  // namespace wkv
