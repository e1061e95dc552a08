#include "harness/emulator/warp_exchange.hpp"

#include <catch2/catch.hpp>

using namespace wkv::emulator;

namespace {

constexpr LaneMask kAll = 0xffffffffu;

Words lanes(const auto& value) {
  Words words;
  for (uint32_t lane = 0; lane < kWarpSize; ++lane) words[lane] = static_cast<uint32_t>(value(lane));
  return words;
}
Words constant(uint32_t value) {
  return lanes([value](uint32_t) { return value; });
}

}  // namespace

TEST_CASE("shfl: the four modes over a whole warp") {
  const Words a = lanes([](uint32_t lane) { return 100 + lane; });
  Words d{};
  // __shfl_up_sync passes clamp 0, the others 31.
  ShuffleResult result = shuffle(ShuffleMode::up, d, a, constant(3), constant(0), kAll);
  CHECK(d == lanes([](uint32_t lane) { return 100 + (lane >= 3 ? lane - 3 : lane); }));
  CHECK(result.in_range == 0xfffffff8u);
  result = shuffle(ShuffleMode::down, d, a, constant(3), constant(31), kAll);
  CHECK(d == lanes([](uint32_t lane) { return 100 + (lane < 29 ? lane + 3 : lane); }));
  CHECK(result.in_range == 0x1fffffffu);
  result = shuffle(ShuffleMode::bfly, d, a, constant(16), constant(31), kAll);
  CHECK(d == lanes([](uint32_t lane) { return 100 + (lane ^ 16); }));
  CHECK(result.in_range == kAll);
  result = shuffle(ShuffleMode::idx, d, a, lanes([](uint32_t lane) { return 2 * lane; }), constant(31), kAll);
  CHECK(d == lanes([](uint32_t lane) { return 100 + 2 * lane % 32; }));
  CHECK(result.undefined == 0);
}

TEST_CASE("shfl: segments of 8 lanes") {
  const Words a = lanes([](uint32_t lane) { return lane; });
  Words d{};
  const uint32_t segment = (32 - 8) << 8;  // as __shfl_*_sync builds it from width 8
  shuffle(ShuffleMode::idx, d, a, constant(9), constant(segment | 31), kAll);
  CHECK(d == lanes([](uint32_t lane) { return (lane & 24) + 1; }));
  const ShuffleResult up = shuffle(ShuffleMode::up, d, a, constant(1), constant(segment), kAll);
  CHECK(d == lanes([](uint32_t lane) { return lane % 8 ? lane - 1 : lane; }));
  CHECK(up.in_range == 0xfefefefeu);
  const ShuffleResult down = shuffle(ShuffleMode::down, d, a, constant(1), constant(segment | 31), kAll);
  CHECK(d == lanes([](uint32_t lane) { return lane % 8 < 7 ? lane + 1 : lane; }));
  CHECK(down.in_range == 0x7f7f7f7fu);
}

TEST_CASE("shfl: only active lanes are written, and reading an inactive one is told") {
  Words d = constant(7);
  const Words a = lanes([](uint32_t lane) { return lane; });
  const ShuffleResult result = shuffle(ShuffleMode::bfly, d, a, constant(1), constant(31), 0x00000007);
  CHECK(result.undefined == 0x00000004);
  CHECK(d[0] == 1);
  CHECK(d[1] == 0);
  CHECK(d[3] == 7);
}

TEST_CASE("match, vote, elect") {
  const Words a = lanes([](uint32_t lane) { return lane % 3; });
  const Words any = match_any(a, 0x0000ffff);
  CHECK(any[0] == 0x9249);
  CHECK(any[4] == 0x2492);
  CHECK(any[20] == 0);
  CHECK(match_all(a, 0x9249) == 0x9249);
  CHECK(match_all(a, 0x924b) == 0);
  std::array<uint64_t, 32> wide{};
  wide[5] = uint64_t{1} << 40;
  CHECK(match_any(wide, kAll)[5] == 1u << 5);
  CHECK(match_all(wide, 0x1f) == 0x1f);
  CHECK(vote_all(0xf0, 0x70));
  CHECK_FALSE(vote_all(0xf0, 0x78));
  CHECK(vote_any(0xf0, 0x18));
  CHECK_FALSE(vote_any(0xf0, 0x0f));
  CHECK(vote_uni(0xf0, 0x0f));
  CHECK_FALSE(vote_uni(0xf0, 0x18));
  CHECK(vote_ballot(0xf0, 0x18) == 0x10);
  CHECK(elect(0xf0) == 4);
}

TEST_CASE("redux: over the active lanes only") {
  const Words a = lanes([](uint32_t lane) { return lane == 3 ? 0x80000000u : lane; });
  CHECK(reduce(Reduction::add, a, kAll) == 0x80000000u + 496 - 3);
  CHECK(reduce(Reduction::add, a, 0x6) == 3);
  CHECK(reduce(Reduction::min_signed, a, kAll) == 0x80000000u);
  CHECK(reduce(Reduction::max_signed, a, kAll) == 31);
  CHECK(reduce(Reduction::min_unsigned, a, 0xfffffff0u) == 4);
  CHECK(reduce(Reduction::max_unsigned, a, kAll) == 0x80000000u);
  CHECK(reduce(Reduction::bit_and, a, 0x60) == 4);
  CHECK(reduce(Reduction::bit_or, a, 0x60) == 7);
  CHECK(reduce(Reduction::bit_xor, a, 0x60) == 3);
}
