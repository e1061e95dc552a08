#include "harness/ceilings.hpp"

#include <catch2/catch.hpp>
#include <chrono>

#include "harness/ceiling_loops.hpp"

namespace wkv {
namespace {

Ceilings example() {
  return {.copy = {{.working_set_bytes = 1000, .bytes_per_second = 400},
                   {.working_set_bytes = 4000, .bytes_per_second = 100}},
          .fma_flops_per_second = 50,
          .bf16_dot_flops_per_second = 200};
}

TEST_CASE("ceilings: the bandwidth of a working set is that of the smallest measured one that is not smaller") {
  const Ceilings ceilings = example();
  CHECK(ceilings.bandwidth(1) == 400);
  CHECK(ceilings.bandwidth(1000) == 400);
  CHECK(ceilings.bandwidth(1001) == 100);
  CHECK(ceilings.bandwidth(1 << 30) == 100);
}

TEST_CASE("ceilings: the floor is the larger of the time for the bytes and the time for the FLOPs") {
  const Ceilings ceilings = example();
  CHECK(floor_seconds(ceilings, {.flops = 50, .bytes = 800}, DType::f32, 1000) == 2);   // 800 / 400, not 50 / 50
  CHECK(floor_seconds(ceilings, {.flops = 150, .bytes = 800}, DType::f32, 1000) == 3);  // 150 / 50
  CHECK(floor_seconds(ceilings, {.flops = 50, .bytes = 800}, DType::f32, 2000) == 8);   // 800 / 100
  CHECK(floor_seconds(ceilings, {.flops = 600, .bytes = 8}, DType::bf16, 1000) == 3);   // 600 / 200
}

TEST_CASE("ceilings: without a bf16 dot product the FMA rate bounds bf16 products") {
  Ceilings ceilings = example();
  ceilings.bf16_dot_flops_per_second = 0;
  CHECK(ceilings.flops_per_second(DType::bf16) == 50);
}

#if defined(__x86_64__) && defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__)
// By a chain of additions, of which a core does one a cycle.
double cycles_per_second() {
  double best = 0;
  for (int trial = 0; trial < 20; ++trial) {
    constexpr int kAdditions = 400000;
    uint64_t value = 1;
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kAdditions / 4; ++i) {
      asm volatile("add %0, %0\n add %0, %0\n add %0, %0\n add %0, %0" : "+r"(value));
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, kAdditions / seconds.count());
  }
  return best;
}

TEST_CASE("ceilings: the FMA rate is what two vector units do, no less than half and no more") {
  Executor executor(1);
  const double lanes = fma_rounds(0) == 0 ? fma_rounds(1) / (12 * 2) : 0;
  const double fmas_a_cycle = measure_ceilings(executor).fma_flops_per_second / (2 * lanes) / cycles_per_second();
  CAPTURE(lanes, simd_target());
  CHECK(fmas_a_cycle > 0.5);
  CHECK(fmas_a_cycle < 2.3);  // a loop that the compiler saw through would be far above; the clock may vary a little
}
#endif

TEST_CASE("ceilings: working sets ascend from what an L1 cache holds to beyond the last cache, all with a rate") {
  Executor executor(2);
  const Ceilings ceilings = measure_ceilings(executor);
  REQUIRE(ceilings.copy.size() > 8);
  CHECK(ceilings.copy.front().working_set_bytes <= 2 * 32768);
  CHECK(ceilings.copy.back().working_set_bytes > size_t{64} << 20);
  for (size_t i = 1; i < ceilings.copy.size(); ++i) {
    CHECK(ceilings.copy[i].working_set_bytes > ceilings.copy[i - 1].working_set_bytes);
  }
  CHECK(ceilings.copy.back().bytes_per_second > 1e8);
  CHECK(ceilings.copy.front().bytes_per_second > ceilings.copy.back().bytes_per_second);
  CHECK(ceilings.fma_flops_per_second > 1e9);
}

}  // namespace
}  // namespace wkv
