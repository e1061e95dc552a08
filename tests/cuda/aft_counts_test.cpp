// What aft cuda_tiled does, counted by the emulated device, against what its design says, worked out by hand.
#include "tests/cuda/counts.hpp"

namespace wkv {
namespace {

TEST_CASE("aft cuda_tiled: counters are those of its design") {
  const DType dtype = GENERATE(DType::f32, DType::bf16, DType::f16);
  const Problem problem{.B = 2, .T = 192, .H = 2, .N = 64, .dtype = dtype};
  CAPTURE(to_string(problem));
  const auto kernels = counts_of_run(variant_named("aft", "cuda_tiled"), problem);
  REQUIRE(kernels.size() == 1);
  const emulator::Counters& counters = kernels[0].counters;
  check_no_spills(kernels[0].attributes);
  check_no_conflicts(counters);

  // Three tiles of 64 queries see 64, 128 and 192 keys; each in two blocks of 64 channels and for two batch entries.
  const uint64_t tiles = 2 * 2, row = 64 * size_of(dtype), keys = 64 + 128 + 192, queries = 192;
  CHECK(counters.blocks == tiles * 3);
  // q and y; k and v; the biases up to each query, whose last sector is not whole.
  const uint64_t sequences = queries * row + 2 * keys * row, biases = queries * (queries + 1) / 2 * 4,
                 bias_sectors = 8 * (queries / 8) * (queries / 8 + 1) / 2;
  CHECK(counters.global_load_bytes == tiles * (sequences + biases));
  CHECK(counters.global_load_sectors == tiles * (sequences / 32 + bias_sectors));
  CHECK(counters.global_store_bytes == tiles * queries * row);
  CHECK(counters.global_store_sectors == tiles * queries * row / 32);
  CHECK(counters.barriers == tiles * 2 * keys / 32);
  // Two FMAs a query, key and channel, the masked half of the last keys included.
  CHECK(counters.flops >= tiles * 64 * 64 * keys * 4);
  CHECK(counters.flops < tiles * 64 * 64 * keys * 5);
}

TEST_CASE("aft cuda_tiled: without biases, and for one query, k and v pass by in chunks") {
  const bool decodes = GENERATE(false, true);
  Problem problem{.B = 1, .T = 256, .H = 1, .N = 64};
  if (decodes) {
    problem.mode = Mode::decode;
  } else {
    problem.window = 0;
  }
  CAPTURE(to_string(problem));
  const auto kernels = counts_of_run(variant_named("aft", "cuda_tiled"), problem);
  REQUIRE(kernels.size() == (decodes ? 2 : 3));
  const uint64_t row = 64 * 4, sums = 4 * 3 * row;  // of four chunks
  // A bias is there for all channels; the lanes of a warp read the same one.
  CHECK(kernels[0].counters.global_load_sectors == (2 * 256 * row + (decodes ? 256 * 2 * 32 : 0)) / 32);
  CHECK(kernels[0].counters.global_store_bytes == sums);
  CHECK(kernels[1].counters.global_load_bytes == sums + (decodes ? row : 0));
  CHECK(kernels[1].counters.global_store_bytes == (decodes ? row : sums));
}

}  // namespace
}  // namespace wkv
