// What the CUDA variants of attention do, counted by the emulated device, against what their design says, worked out by
// hand.
#include "tests/cuda/counts.hpp"

namespace wkv {
namespace {

TEST_CASE("attention cuda_flash: counters are those of its design") {
  const DType dtype = GENERATE(DType::f32, DType::bf16, DType::f16);
  const int64_t N = GENERATE(32, 64, 128);
  const int64_t T = GENERATE(17, 192, 200);
  const Problem problem{.B = 2, .T = T, .H = 3, .N = N, .dtype = dtype};
  CAPTURE(to_string(problem));
  const auto kernels = counts_of_run(variant_named("attention", "cuda_flash"), problem);
  REQUIRE(kernels.size() == 1);
  const emulator::Counters& counters = kernels[0].counters;
  check_no_spills(kernels[0].attributes);
  check_no_conflicts(counters);
  check_whole_sectors(counters);

  // A block of 64 queries sees the keys up to its last one, in blocks of 64 (f32, N=128: 32), of which it reads all
  // that exist.
  const auto n = static_cast<uint64_t>(N), tokens = static_cast<uint64_t>(T), heads = uint64_t{6},
             row = n * size_of(dtype);
  const uint64_t block = dtype == DType::f32 && N == 128 ? 32 : 64;
  uint64_t keys_read = 0, key_blocks = 0, blocks = 0;
  for (uint64_t first = 0; first < tokens; first += 64, ++blocks) {
    const uint64_t seen = (std::min(first + 64, tokens) + block - 1) / block;
    key_blocks += seen;
    keys_read += std::min(seen * block, tokens);
  }
  CHECK(counters.blocks == heads * blocks);
  CHECK(counters.global_load_bytes == heads * (tokens + 2 * keys_read) * row);
  CHECK(counters.global_store_bytes == heads * tokens * row);
  CHECK(counters.barriers == heads * 2 * key_blocks);
  // A warp: 16 queries by 8 keys by 16 channels for scores, 16 by 8 channels by 16 keys for y; f32: six mma of half the
  // depth for one.
  const uint64_t products = 2 * block / 8 * n / 16;
  CHECK(counters.matrix_instructions == heads * key_blocks * 4 * products * (dtype == DType::f32 ? 6 : 1));
}

TEST_CASE("attention cuda_decode: the cache is read once, in pieces") {
  const DType dtype = GENERATE(DType::f32, DType::bf16, DType::f16);
  const int64_t N = GENERATE(32, 64, 128);
  const int64_t T = GENERATE(200, 700);
  const Problem problem{.B = 2, .T = T, .H = 3, .N = N, .mode = Mode::decode, .dtype = dtype};
  CAPTURE(to_string(problem));
  const auto kernels = counts_of_run(variant_named("attention", "cuda_decode"), problem);
  const auto n = static_cast<uint64_t>(N), tokens = static_cast<uint64_t>(T), heads = uint64_t{6},
             row = n * size_of(dtype), pieces = (tokens + 255) / 256;
  REQUIRE(kernels.size() == (pieces == 1 ? 1 : 2));
  const emulator::Counters& counters = kernels[0].counters;
  check_no_spills(kernels[0].attributes);
  check_no_conflicts(counters);
  CHECK(counters.blocks == heads * pieces);

  // q: every warp of a block has it, rows of lanes side by side the same one.
  const uint64_t q = heads * pieces * 4 * (128 / n) * row;
  CHECK(counters.global_load_bytes == heads * 2 * tokens * row + q);
  CHECK(counters.global_load_sectors == heads * (2 * tokens * row + pieces * 4 * row) / 32);
  if (pieces == 1) {
    CHECK(counters.global_store_bytes == heads * row);
    return;
  }
  CHECK(counters.global_store_bytes == heads * pieces * (n * 4 + 8));
  // The second kernel: every lane has the sums of a piece.
  const emulator::Counters& join = kernels[1].counters;
  CHECK(join.global_load_bytes == heads * pieces * (n * 4 + n / 4 * 8));
  CHECK(join.global_store_bytes == heads * row);
}

}  // namespace
}  // namespace wkv
