// What cuda_chunked does, counted by the emulated device, against what its design says, worked out by hand.
#include "harness/verify.hpp"
#include "tests/cuda/wkv5_counts.hpp"

namespace wkv {
namespace {

struct Size {
  uint64_t n, element, tile_tokens, squares, score_exchanges;
  bool widens;

  explicit Size(const Problem& p)
      : n(static_cast<uint64_t>(p.N)),
        element(size_of(p.dtype)),
        tile_tokens(n == 128 ? 8 : 16),
        squares(tile_tokens / 2),  // four for each chunk of eight
        score_exchanges(n == 32   ? 12
                        : n == 64 ? 14
                                  : 16),  // 16 sums over 4, 8, 32 lanes
        widens(p.dtype != DType::f32) {}
  uint64_t warps() const { return n / 32; }  // of a block
  uint64_t quad_rows() const { return n / 32; }
  uint64_t steps() const { return squares / 4; }  // four channels each, of a lane at a square
  uint64_t state_bytes() const { return n * n * 4; }
};

// Of a warp. A token: eight values of A v, r S in N elements, seven sums over lanes, k v in N elements. A chunk: the
// decay of N elements. A tile: r' and k' of four elements for every four tokens, and A: factor times k, times r, sums.
uint64_t fp32_instructions(const Size& size, uint64_t tokens) {
  const uint64_t token = 8 + size.n + 7 + size.n, chunk = size.n;
  const uint64_t tile = size.tile_tokens / 4 * 8 + size.steps() * 128 + size.score_exchanges;
  return tokens * token + tokens / 8 * chunk + tokens / size.tile_tokens * tile;
}

// Of a warp, in wavefronts of 128 bytes. Accesses of 16 bytes a lane take four, of 8 bytes two.
uint64_t load_wavefronts(const Size& size, uint64_t tokens) {
  const uint64_t arrived = size.widens ? 2 : 4;
  const uint64_t token = 4 * size.quad_rows() + 1 + 8 + 4 * size.quad_rows();  // r', A, v, k'
  const uint64_t chunk = 8 + 8 * size.quad_rows();                             // a row of v, the decay
  const uint64_t rows = (size.widens ? 3 : 2) * arrived + 8;                   // r, k, perhaps v, two powers
  const uint64_t scores = size.steps() * (8 * arrived + 7 * 4);                // rows of r and k, factors
  return tokens * token + tokens / 8 * chunk + tokens / size.tile_tokens * (size.tile_tokens / 4 * rows + scores);
}

uint64_t store_wavefronts(const Size& size, uint64_t tokens) {
  const uint64_t copies = 3 * 4 * size.tile_tokens * size.element / 16;  // asynchronous ones count too
  const uint64_t rows = size.widens ? 12 : 8, scores = size.n == 32 ? 4 : size.n == 64 ? 2 : 1;
  const uint64_t tile = copies + size.tile_tokens / 4 * rows + scores;
  return 14 + tokens / size.tile_tokens * tile;  // 12 factors and the decay, once
}

TEST_CASE("wkv5 cuda_chunked: counters of one pass are those of its design") {
  const DType dtype = GENERATE(DType::f32, DType::bf16, DType::f16);
  const int64_t N = GENERATE(32, 64, 128);
  const int64_t B = GENERATE(1, 2);
  const Problem problem{.B = B, .T = 64, .H = 3, .N = N, .dtype = dtype};
  CAPTURE(to_string(problem));
  const KernelCounts run = counts_of_launch("cuda_chunked", problem);
  const emulator::Counters& counters = run.counters;
  check_minimum_traffic(problem, counters);
  check_no_conflicts(counters);
  check_no_spills(run.attributes);

  const Size size(problem);
  const auto blocks = static_cast<uint64_t>(B * problem.H), T = static_cast<uint64_t>(problem.T);
  const uint64_t warps = blocks * size.warps(), tiles = T / size.tile_tokens;
  CHECK(counters.blocks == blocks);
  CHECK(counters.warps == warps);
  CHECK(counters.barriers == blocks * 2 * tiles);
  CHECK(instructions(counters, InstructionClass::fp32) == warps * fp32_instructions(size, T));
  CHECK(instructions(counters, InstructionClass::shuffle) == warps * (7 * T + tiles * size.score_exchanges));
  CHECK(counters.shared_load_wavefronts == warps * load_wavefronts(size, T));
  CHECK(counters.shared_store_wavefronts == warps * store_wavefronts(size, T));
}

TEST_CASE("wkv5 cuda_chunked: no byte moves twice in one pass where the last chunk is not full") {
  const DType dtype = GENERATE(DType::f32, DType::bf16, DType::f16);
  const int64_t N = GENERATE(32, 64, 128);
  const int64_t T = GENERATE(1, 3, 37);
  const Problem problem{.B = 1, .T = T, .H = 2, .N = N, .dtype = dtype};
  CAPTURE(to_string(problem));
  const emulator::Counters counters = counts_of_launch("cuda_chunked", problem).counters;
  check_minimum_traffic(problem, counters);
  check_no_conflicts(counters);
}

TEST_CASE("wkv5 cuda_chunked: hundreds of segments are scanned, in turns where they outnumber the threads") {
  const int64_t segments = GENERATE(130, 256, 257, 300);
  const Problem problem{.B = 1, .T = 64 * segments, .H = 1, .N = 32};
  REQUIRE(extra_bytes(wkv5_variant("cuda_chunked"), problem, 1) == static_cast<size_t>(segments - 1) * 32 * 32 * 4);
  const auto kernels = counts_of_run("cuda_chunked", problem);
  REQUIRE(kernels.size() == 3);

  // A block for eight elements; a link for each segment, of 32 bytes, and the decay, one word for all lanes.
  const emulator::Counters& scan = kernels[1].counters;
  const auto links = static_cast<uint64_t>(segments);
  CHECK(scan.blocks == 32 * 32 / 8);
  CHECK(scan.warps == scan.blocks * 8);
  CHECK(scan.global_load_bytes == scan.blocks * links * 32 + scan.warps * 128);
  CHECK(scan.global_load_sectors == scan.blocks * links + scan.warps);
  CHECK(scan.global_store_bytes == scan.blocks * (links - 1) * 32);
  CHECK(scan.global_store_sectors == scan.blocks * (links - 1));
  CHECK(scan.shared_load_conflicts + scan.shared_store_conflicts <=
        (scan.shared_load_wavefronts + scan.shared_store_wavefronts) / 20);
  check_no_spills(kernels[1].attributes);

  Executor executor(2);
  Workload workload(operator_named("wkv5"), problem, generated_inputs(InputKind::realistic, 5), 2, executor);
  const auto runner = make_runner(wkv5_variant("cuda_chunked"), workload, executor);
  CHECK(verify(*runner, workload, executor).failure == "");
}

}  // namespace
}  // namespace wkv
