// What cuda_decode does, counted by the emulated device, against what its design says, worked out by hand.
#include <bit>

#include "tests/cuda/wkv5_counts.hpp"

namespace wkv {
namespace {

TEST_CASE("wkv5 cuda_decode: counters are those of its design") {
  const DType dtype = GENERATE(DType::f32, DType::bf16, DType::f16);
  const int64_t N = GENERATE(32, 64, 128);
  const int64_t B = GENERATE(1, 3);
  const Problem problem{.B = B, .T = 1000, .H = 2, .N = N, .mode = Mode::decode, .dtype = dtype};
  CAPTURE(to_string(problem));
  const KernelCounts run = counts_of_launch("cuda_decode", problem);
  const emulator::Counters& counters = run.counters;
  check_minimum_traffic(problem, counters);
  check_no_conflicts(counters);
  check_no_spills(run.attributes);

  const auto blocks = static_cast<uint64_t>(B * problem.H), n = static_cast<uint64_t>(N);
  const uint64_t threads = n == 128 ? 512 : n * n / 16, warps = threads / 32, quads = n * n / 4 / threads;
  CHECK(counters.blocks == blocks);
  CHECK(counters.warps == blocks * warps);
  CHECK(counters.barriers == 2 * blocks);

  // The state's loads and stores are of 16 bytes a lane.
  const uint64_t channel_warps = n / 32;  // those that load the token, add up and store y
  CHECK(counters.global_load_requests == blocks * (warps * quads + 5 * channel_warps));
  CHECK(counters.global_store_requests == blocks * (warps * quads + channel_warps));

  // An element: k v, s + u k v, y + r (...), w s + k v. Then four sums over the rows that meet in a warp, and over
  // warps.
  const auto exchanges = static_cast<uint64_t>(std::bit_width(128 / n) - 1);
  CHECK(instructions(counters, InstructionClass::fp32) ==
        blocks * (warps * (16 * quads + 4 * exchanges) + channel_warps * warps));
  CHECK(instructions(counters, InstructionClass::shuffle) == blocks * warps * 4 * exchanges);

  // In wavefronts: v, and r, k, w and u of every four rows, 16 bytes a lane; the sums of each warp.
  CHECK(counters.shared_load_wavefronts == blocks * (warps * 4 * (1 + quads) + channel_warps * warps));
  CHECK(counters.shared_store_wavefronts == blocks * (5 * channel_warps + warps * n / 32));
}

TEST_CASE("wkv5 cuda_decode: takes a sequence of one token, and says that it takes no longer one") {
  const Variant& variant = wkv5_variant("cuda_decode");
  CHECK(unsupported(variant, {.T = 1, .N = 64}) == std::nullopt);
  CHECK(unsupported(variant, {.T = 2, .N = 64}) == "more than one token");
  CHECK(unsupported(variant, {.T = 2, .N = 64, .mode = Mode::decode}) == std::nullopt);
  CHECK(unsupported(variant, {.T = 1, .N = 48}) == "a head size other than 32, 64 and 128");
}

}  // namespace
}  // namespace wkv
