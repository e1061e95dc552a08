// What gemm's cuda_mma does, counted by the emulated device, against what its design says, worked out by hand.
#include "tests/cuda/counts.hpp"

namespace wkv {
namespace {

TEST_CASE("gemm cuda_mma: counters are those of its design") {
  const DType dtype = GENERATE(DType::bf16, DType::f16);
  const int64_t T = GENERATE(1, 130);
  const int64_t H = GENERATE(2, 3);
  const Problem problem{.B = 1, .T = T, .H = H, .N = 64, .dtype = dtype};
  CAPTURE(to_string(problem));
  const auto kernels = counts_of_run(variant_named("gemm", "cuda_mma"), problem);
  REQUIRE(kernels.size() == 1);
  const emulator::Counters& counters = kernels[0].counters;

  const auto tokens = static_cast<uint64_t>(T), C = static_cast<uint64_t>(problem.channels());
  const uint64_t row_tiles = (C + 127) / 128, token_tiles = (tokens + 127) / 128, blocks = row_tiles * token_tiles;
  CHECK(counters.blocks == blocks);
  // A warp: 64 tokens x 32 outputs, 16 products of 16 x 8 x 16, for every 16 channels; six loads of four matrices.
  CHECK(counters.matrix_instructions == blocks * 8 * 16 * C / 16);
  CHECK(instructions(counters, InstructionClass::matrix) == blocks * 8 * (16 + 6) * C / 16);
  CHECK(counters.barriers == blocks * C / 32);
  CHECK(counters.global_load_bytes == (row_tiles * tokens * C + token_tiles * C * C) * 2);
  CHECK(counters.global_load_sectors == counters.global_load_bytes / 32);
  CHECK(counters.global_store_bytes == tokens * C * 2);
  check_no_conflicts(counters);
  check_no_spills(kernels[0].attributes);
}

}  // namespace
}  // namespace wkv
