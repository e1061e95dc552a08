// What cuda_serial does, counted by the emulated device, against what its design says, worked out by hand.
#include <bit>

#include "tests/cuda/wkv5_counts.hpp"

namespace wkv {
namespace {

TEST_CASE("wkv5 cuda_serial: counters are those of its design") {
  const DType dtype = GENERATE(DType::f32, DType::bf16, DType::f16);
  const int64_t N = GENERATE(32, 64, 128);
  const int64_t B = GENERATE(1, 2);
  const Problem problem{.B = B, .T = 64, .H = 3, .N = N, .dtype = dtype};  // two, four, eight whole tiles
  CAPTURE(to_string(problem));
  const KernelCounts run = counts_of_launch("cuda_serial", problem);
  const emulator::Counters& counters = run.counters;
  check_minimum_traffic(problem, counters);
  check_no_conflicts(counters);

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

  check_no_spills(run.attributes);
}

TEST_CASE("wkv5 cuda_serial: no byte moves twice where the last tile is not full") {
  const DType dtype = GENERATE(DType::f32, DType::bf16, DType::f16);
  const int64_t N = GENERATE(32, 64, 128);
  const int64_t T = GENERATE(1, 3, 37);
  const Problem problem{.B = 1, .T = T, .H = 2, .N = N, .dtype = dtype};
  CAPTURE(to_string(problem));
  const emulator::Counters counters = counts_of_launch("cuda_serial", problem).counters;
  check_minimum_traffic(problem, counters);
  check_no_conflicts(counters);
}

}  // namespace
}  // namespace wkv
