// What the CUDA variants of WKV4 do, counted by the emulated device, against what their design says, worked out by
// hand.
#include "tests/cuda/counts.hpp"

namespace wkv {
namespace {

// k, v and the state in, y and the state out, and w and u for each batch entry: every byte once, in whole sectors.
void check_minimum_traffic(const Problem& problem, const emulator::Counters& counters) {
  const auto B = static_cast<uint64_t>(problem.B), C = static_cast<uint64_t>(problem.channels()), state = 3 * C * 4,
             sequence = static_cast<uint64_t>(problem.T) * C * size_of(problem.dtype);
  CHECK(counters.global_load_bytes == B * (2 * sequence + state + 2 * C * 4));
  CHECK(counters.global_store_bytes == B * (sequence + state));
  check_whole_sectors(counters);
  CHECK(counters.global_atomic_bytes == 0);
}

TEST_CASE("wkv4 cuda_serial and cuda_scan: no byte moves twice, and nothing meets in the banks") {
  const DType dtype = GENERATE(DType::f32, DType::bf16, DType::f16);
  const bool scans = GENERATE(false, true);
  const int64_t T = GENERATE(1, 37, 300);
  const Problem problem{.B = 2, .T = T, .H = 2, .N = 32, .dtype = dtype};
  CAPTURE(to_string(problem), scans);
  const auto kernels = counts_of_run(variant_named("wkv4", scans ? "cuda_scan" : "cuda_serial"), problem);
  REQUIRE(kernels.size() == 1);
  const emulator::Counters& counters = kernels[0].counters;
  check_minimum_traffic(problem, counters);
  check_no_conflicts(counters);
  check_no_spills(kernels[0].attributes);

  // Serial: a warp for 32 channels. Scan: a block of 128 threads for 32 bytes of channels.
  const auto C = static_cast<uint64_t>(problem.channels());
  CHECK(counters.blocks == 2 * (scans ? C * size_of(dtype) / 32 : C / 32));
  if (!scans) CHECK(counters.shared_load_wavefronts + counters.shared_store_wavefronts == 0);
}

}  // namespace
}  // namespace wkv
