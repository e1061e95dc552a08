// What the CUDA variants of WKV5 that cut a sequence in time move, counted by the emulated device.
#include "tests/cuda/wkv5_counts.hpp"

namespace wkv {
namespace {

TEST_CASE("wkv5 in segments: heads that fill the device are done in one pass") {
  const auto variant = GENERATE("cuda_chunked", "cuda_tensor_core");
  CAPTURE(variant);
  const auto passes = [&](int64_t heads) {
    const Problem problem{.B = 1, .T = 4096, .H = heads, .N = 64, .dtype = DType::bf16};
    return extra_bytes(wkv5_variant(variant), problem, 1) == 0 ? 1 : 2;
  };
  CHECK(passes(263) == 2);  // 526 warps for the 528 schedulers of 132 multiprocessors
  CHECK(passes(264) == 1);
}

void check_sectors(const emulator::Counters& counters, uint64_t load_bytes, uint64_t store_bytes) {
  CHECK(counters.global_load_bytes == load_bytes);
  CHECK(counters.global_load_sectors == load_bytes / 32);
  CHECK(counters.global_store_bytes == store_bytes);
  CHECK(counters.global_store_sectors == store_bytes / 32);
}

TEST_CASE("wkv5 in segments: k and v move twice, r and y once, and a segment's state four times") {
  const auto variant = GENERATE("cuda_chunked", "cuda_tensor_core");
  const DType dtype = GENERATE(DType::f32, DType::bf16, DType::f16);
  const int64_t N = GENERATE(32, 64, 128);
  const int64_t heads = 2, shortest = std::max<int64_t>(N, 64);
  const Problem problem{.B = 1, .T = 4 * shortest + 5, .H = heads, .N = N, .dtype = dtype};
  CAPTURE(variant, to_string(problem));
  const auto kernels = counts_of_run(variant, problem);
  REQUIRE(kernels.size() == 3);

  const auto T = static_cast<uint64_t>(problem.T), n = static_cast<uint64_t>(N), state = n * n * 4,
             segment = static_cast<uint64_t>(shortest) + 16;  // four: three and the rest
  const uint64_t row = n * size_of(problem.dtype), parameter = n * 4, starts = 3 * state;
  const emulator::Counters& local = kernels[0].counters;
  check_sectors(local, heads * 3 * (2 * segment * row + parameter), heads * starts);
  CHECK(local.blocks == heads * 3);
  check_no_conflicts(local);

  // The chain: a lane for four elements; beside the states the decay, a word for each lane in one sector for each warp.
  const emulator::Counters& chain = kernels[1].counters;
  const uint64_t warps = heads * n * n / 128;
  CHECK(chain.warps == warps);
  CHECK(chain.global_load_bytes == heads * (state + starts) + warps * 128);
  CHECK(chain.global_load_sectors == heads * (state + starts) / 32 + warps);
  CHECK(chain.global_store_bytes == heads * starts);
  CHECK(chain.global_store_sectors == heads * starts / 32);

  const emulator::Counters& outputs = kernels[2].counters;
  check_sectors(outputs, heads * (3 * T * row + 4 * 2 * parameter + state + starts), heads * (T * row + state));
  CHECK(outputs.blocks == heads * 4);
  check_no_conflicts(outputs);
  for (const KernelCounts& kernel : kernels) check_no_spills(kernel.attributes);
  CHECK(extra_bytes(wkv5_variant(variant), problem, 1) == heads * starts);
}

}  // namespace
}  // namespace wkv
