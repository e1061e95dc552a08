// What cuda_tensor_core does, counted by the emulated device, against what its design says, worked out by hand.
#include "tests/cuda/wkv5_counts.hpp"

namespace wkv {
namespace {

struct Design {
  uint64_t n, element, tiles, products, mma, diagonals;
  bool wide, as_tf32;

  explicit Design(const Problem& p)
      : n(static_cast<uint64_t>(p.N)),
        element(size_of(p.dtype)),
        tiles(n / 16),            // of 16 channels
        products(6 * tiles + 2),  // by 8 columns: A 2 a tile, A v 2, r' S 2 a tile, v^T k' 2 a tile
        mma(p.dtype == DType::bf16  ? 1
            : p.dtype == DType::f16 ? 2
                                    : 6),  // a product
        diagonals(n == 128 ? 2 : 1),
        wide(p.dtype == DType::f32),
        as_tf32(p.dtype != DType::bf16) {}

  uint64_t warps() const { return tiles; }
  // Ten sums over 16 or 32 lanes, those that are not there left out in pairs.
  uint64_t exchanges() const { return n == 32 ? 5 + 3 + 2 + 1 : 5 + 3 + 2 + 1 + 1; }

  // Of a warp and chunk. Quarters of A: ten dots of two channels, u k, three decayed pairs; their sums; levels of r and
  // of k, r', k', one level decayed more; the state's decay. In fp32 what is left of each factor of eight a lane, and
  // the sum of a product added to what it is for, of A half of it.
  uint64_t fp32() const {
    const uint64_t quarters = 10 * 2 + 4 * 2 + 3 * 2 + exchanges();
    const uint64_t factors = 6 + 6 + 8 + 8 + 8, decay = n / 2;
    const uint64_t split = wide ? 8 * (5 * tiles + 2) + 4 * (products - tiles) : 0;
    return quarters + factors + decay + split + 2 * 2 * (diagonals - 1);
  }

  // In wavefronts of 128 bytes: r and k of two channels by four tokens; tiles: r and k of levels, r', k' and v (a tile
  // of 16-bit factors is four matrices, of fp32 factors 1 KiB, of f16 values eight loads); quarters of A; decay; y.
  uint64_t loads() const {
    const uint64_t arrived = wide ? 16 : 8, tile = as_tf32 ? 8 : 4;
    return arrived + tile * (4 * tiles + 1) + 4 * diagonals + (wide ? 2 : 1) * n / 4 + (wide ? 8 : 4);
  }
  // Copies, r', k' and two levels by four tokens, quarters of A, y.
  uint64_t stores() const {
    const uint64_t copies = 3 * 16 * n * element / 128 / warps(), factors = 16 * (as_tf32 ? 2 : 1);
    return copies + factors + 1 + (wide ? 8 : 4);
  }
};

TEST_CASE("wkv5 cuda_tensor_core: counters of one pass are those of its design") {
  const DType dtype = GENERATE(DType::f32, DType::bf16, DType::f16);
  const int64_t N = GENERATE(32, 64, 128);
  const int64_t B = GENERATE(1, 2);
  const Problem problem{.B = B, .T = 64, .H = 3, .N = N, .dtype = dtype};
  CAPTURE(to_string(problem));
  const KernelCounts run = counts_of_launch("cuda_tensor_core", problem);
  const emulator::Counters& counters = run.counters;
  check_minimum_traffic(problem, counters);
  check_no_conflicts(counters);
  check_no_spills(run.attributes);

  const Design design(problem);
  const auto blocks = static_cast<uint64_t>(B * problem.H), chunks = static_cast<uint64_t>(problem.T) / 16;
  const uint64_t warps = blocks * design.warps();
  CHECK(counters.blocks == blocks);
  CHECK(counters.warps == warps);
  CHECK(counters.barriers == blocks * (2 + 1 + chunks));
  CHECK(counters.matrix_instructions == warps * chunks * design.products * design.mma);
  CHECK(instructions(counters, InstructionClass::shuffle) == warps * chunks * design.exchanges());
  // Once: in 16 bits the decay over a chunk as a factor.
  CHECK(instructions(counters, InstructionClass::fp32) == warps * (chunks * design.fp32() + (design.wide ? 0 : 1)));
  // Once: w and u handed around; decays, and A's zeros above the diagonal, of 32 words in two buffers a warp or twice
  // it.
  CHECK(counters.shared_load_wavefronts == warps * (chunks * design.loads() + 5));
  CHECK(counters.shared_store_wavefronts == warps * (chunks * design.stores() + (N == 32 ? 5 : 4)));
}

TEST_CASE("wkv5 cuda_tensor_core: no byte moves twice where the last chunk is not full") {
  const DType dtype = GENERATE(DType::f32, DType::bf16, DType::f16);
  const int64_t N = GENERATE(32, 64, 128);
  const int64_t T = GENERATE(1, 3, 37);
  const Problem problem{.B = 1, .T = T, .H = 2, .N = N, .dtype = dtype};
  CAPTURE(to_string(problem));
  const emulator::Counters counters = counts_of_launch("cuda_tensor_core", problem).counters;
  check_minimum_traffic(problem, counters);
  check_no_conflicts(counters);
}

}  // namespace
}  // namespace wkv
