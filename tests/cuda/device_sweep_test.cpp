// A sweep over a GPU, which the tests' driver plays: what is recorded, and what happens when a kernel makes it fail.
#include <algorithm>
#include <catch2/catch.hpp>

#include "harness/device/cuda_device.hpp"
#include "harness/device/device_ceilings.hpp"
#include "harness/sweep.hpp"
#include "tests/cuda/device_test_kernels.hpp"

namespace wkv {
namespace {

class Recorder final : public SweepObserver {
 public:
  std::optional<CellResult> known(const CellResult&) override { return std::nullopt; }
  void begun(const CellResult&, const SweepProgress&) override {}
  void ended(const CellResult& result, const SweepProgress&) override { results.push_back(result); }

  std::vector<CellResult> results;
};

const Variant& serial() {
  const auto variants = variants_of("wkv5");
  return **std::find_if(variants.begin(), variants.end(), [](const Variant* v) { return v->name == "cuda_serial"; });
}

std::vector<CellResult> swept(std::vector<const Variant*> variants, Device& device) {
  SweepSettings settings{.repetitions = 3, .repetition_seconds = 0.005, .device = &device};
  settings.ceilings.emplace(1, measure_ceilings(device));
  const Group group{&operator_named("wkv5"),
                    {.T = 5, .H = 1, .N = 32},
                    generated_inputs(InputKind::realistic, 3),
                    std::move(variants)};
  Recorder recorder;
  run_sweep({group}, settings, recorder);
  return recorder.results;
}

TEST_CASE("sweep on a GPU: times are those of its clock, and the clock is recorded with them") {
  CudaDevice device(0, WKV_DRIVER_OF_TESTS);
  const auto results = swept({&serial()}, device);
  REQUIRE(results.size() == 1);
  CHECK(results[0].status == "timed");
  CHECK(results[0].device == "cuda");
  CHECK(results[0].median_ns() == Approx(1e6));  // one kernel, one tick; the flush before it is not timed
  CHECK(results[0].clock_hz == Approx(200000 / 1e-3).epsilon(0.01));
  CHECK(results[0].floor_ns > 0);
}

TEST_CASE("sweep on a GPU: a kernel that makes it fail ends the sweep, and only that variant has failed") {
  CudaDevice device(0, WKV_DRIVER_OF_TESTS);
  Variant faulty = serial();
  faulty.name = "faulty";
  faulty.launch = [](const TensorAddresses& tensors, const Problem&, Device& on) {
    on.launch(indices, {.grid = {1 << 16}}, reinterpret_cast<int*>(tensors.data("y")));
  };
  const auto results = swept({&serial(), &faulty, &serial()}, device);
  REQUIRE(results.size() == 3);
  CHECK(results[0].status == "timed");
  CHECK(results[1].status == "failed");
  CHECK_THAT(results[1].reason, Catch::Contains("CUDA_ERROR_ILLEGAL_ADDRESS"));
  CHECK(results[2].status == "skipped");
  CHECK(results[2].reason.starts_with(kDeviceLost));
}

}  // namespace
}  // namespace wkv
