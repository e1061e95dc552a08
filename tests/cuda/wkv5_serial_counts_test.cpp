// What cuda_serial does, counted by the emulated device, against what its design says, worked out by hand.
#include <algorithm>
#include <bit>
#include <catch2/catch.hpp>

#include "harness/device/emulated_device.hpp"
#include "harness/runner.hpp"

namespace wkv {
namespace {

using emulator::InstructionClass;

const Variant& cuda_serial() {
  for (const Variant* variant : variants_of("wkv5")) {
    if (variant->name == "cuda_serial") return *variant;
  }
  throw std::logic_error("cuda_serial is not registered");
}

// Of one run, which is one launch.
KernelCounts counts_of(const Problem& problem) {
  Executor executor(1);
  Workload workload(operator_named("wkv5"), problem, generated_inputs(InputKind::realistic, 5), 2, executor);
  EmulatedDevice device;
  const auto runner = make_runner(cuda_serial(), workload, executor, &device);
  runner->upload(0);
  runner->run(0);
  REQUIRE(device.counts().size() == 1);
  CHECK(device.counts()[0].launches == 1);
  return device.counts()[0];
}

uint64_t instructions(const emulator::Counters& counters, InstructionClass which) {
  return counters.warp_instructions[static_cast<size_t>(which)];
}

// Every byte moves once, in whole sectors: r, k, v and the state in, y and the state out for each (b, h), and w and u
// for each block, since every batch entry has its own.
void check_traffic(const Problem& problem, const emulator::Counters& counters) {
  const auto heads = static_cast<uint64_t>(problem.B * problem.H), T = static_cast<uint64_t>(problem.T),
             N = static_cast<uint64_t>(problem.N), state = N * N * 4, sequence = T * N * size_of(problem.dtype);
  CHECK(counters.global_load_bytes == heads * (3 * sequence + state + 2 * N * 4));
  CHECK(counters.global_store_bytes == heads * (sequence + state));
  CHECK(counters.global_load_sectors == counters.global_load_bytes / 32);
  CHECK(counters.global_store_sectors == counters.global_store_bytes / 32);
  CHECK(counters.global_atomic_bytes == 0);
  CHECK(counters.local_load_bytes + counters.local_store_bytes == 0);
  CHECK(counters.shared_load_conflicts == 0);
  CHECK(counters.shared_store_conflicts == 0);
  if (problem.B == 1) {
    const double moved = static_cast<double>(counters.global_load_bytes + counters.global_store_bytes);
    CHECK(moved == operator_named("wkv5").cost(problem).bytes);
  }
}

TEST_CASE("wkv5 cuda_serial: counters are those of its design") {
  const DType dtype = GENERATE(DType::f32, DType::bf16, DType::f16);
  const int64_t N = GENERATE(32, 64, 128);
  const int64_t B = GENERATE(1, 2);
  const Problem problem{.B = B, .T = 64, .H = 3, .N = N, .dtype = dtype};  // two, four, eight whole tiles
  CAPTURE(to_string(problem));
  const KernelCounts run = counts_of(problem);
  const emulator::Counters& counters = run.counters;
  check_traffic(problem, counters);

  const auto blocks = static_cast<uint64_t>(B * problem.H), T = static_cast<uint64_t>(problem.T),
             n = static_cast<uint64_t>(N), warps = blocks * 2 * n / 32, lanes = 32 * warps;
  CHECK(counters.blocks == blocks);
  CHECK(counters.warps == warps);
  const uint64_t tiles = T * n / 1024, rounds = tiles * 1024 / (4 * 2 * n);  // a round: a thread prepares four elements
  CHECK(counters.barriers == blocks * (1 + 2 * tiles));

  // A token takes 4 products for the bonus and, for each of N/8 x 4 state values, one product and two FMAs; 14 (N=128:
  // 7) exchanges with an addition each sum up y for 4 (2) tokens. Preparing four elements takes 5 products, 3 FMAs and
  // an exchange for each doubling from 32 channels to N.
  const auto exchanges = static_cast<uint64_t>(std::bit_width(n / 32) - 1);
  CHECK(instructions(counters, InstructionClass::shuffle) == warps * (T * 7 / 2 + rounds * exchanges));
  CHECK(instructions(counters, InstructionClass::fp32) ==
        warps * (T * (4 + 3 * n / 2) + T * 7 / 2 + rounds * (8 + exchanges)));
  CHECK(counters.flops == lanes * (T * (4 + 5 * n / 2) + T * 7 / 2 + rounds * (11 + exchanges)));
  CHECK(counters.matrix_instructions == 0);

  // In 128-byte wavefronts. A token: the bonus, four for v, four each for r and k of every 32 channels. A round: r and
  // k (16-bit: r, k and v) of four elements a lane. Once: w and u.
  const bool widens = dtype != DType::f32;
  CHECK(counters.shared_load_wavefronts ==
        warps * (T * (1 + 4 + 2 * 4 * n / 32) + rounds * (widens ? 3 * 2 : 2 * 4) + 4 * n / 32 + 4));

  CHECK(run.attributes.registers <= 255);
  CHECK(run.attributes.spills->store_bytes == 0);
  CHECK(run.attributes.spills->load_bytes == 0);
  CHECK(run.attributes.local_bytes == 0);
}

TEST_CASE("wkv5 cuda_serial: no byte moves twice where the last tile is not full") {
  const DType dtype = GENERATE(DType::f32, DType::bf16, DType::f16);
  const int64_t N = GENERATE(32, 64, 128);
  const int64_t T = GENERATE(1, 3, 37);
  const Problem problem{.B = 1, .T = T, .H = 2, .N = N, .dtype = dtype};
  CAPTURE(to_string(problem));
  check_traffic(problem, counts_of(problem).counters);
}

}  // namespace
}  // namespace wkv
