// A variant bound to the input sets of a workload: what verification and timing call, the same for every device.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>

#include "harness/variant.hpp"
#include "harness/workload.hpp"

namespace wkv {

class Runner {
 public:
  virtual ~Runner() = default;

  virtual const Variant& variant() const = 0;

  // Brings a whole set (inputs, poisoned outputs, guards) to the device. Nothing to do on a CPU.
  virtual void upload(int set) = 0;
  virtual void upload_outputs(int set) = 0;  // likewise, the outputs alone
  // One run on a set; everything that it does is over when it returns.
  virtual void run(int set) = 0;
  // As run, with the seconds by the device's own clock; nothing where the caller's clock is as good (a CPU). On a GPU
  // the cache is cold: nothing of the set is left in L2 when the clock starts. The emulated device throws
  // std::logic_error.
  virtual std::optional<double> timed_run(int set) = 0;
  // Brings a whole set back: outputs, and inputs and guards to see whether they changed. Nothing to do on a CPU.
  virtual void download(int set) = 0;
  virtual void download_outputs(int set) = 0;
  // Largest scratch memory of the runs so far.
  virtual size_t peak_extra_bytes() const = 0;
};

// A CUDA variant runs on the device, or where none is given on an emulated one of its own. Everything that is given
// must outlive the runner.
std::unique_ptr<Runner> make_runner(const Variant& variant, const Workload& workload, Executor& executor,
                                    Device* device = nullptr);

}  // namespace wkv
