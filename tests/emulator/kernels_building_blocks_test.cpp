// CUB's and cooperative groups' building blocks, atomics and asynchronous copies, as nvcc compiles them.
#include <algorithm>
#include <map>
#include <numeric>
#include <random>

#include "tests/emulator/kernels.hpp"

using test::Device;
using test::for_each_architecture;

namespace {

std::vector<float> small_numbers(size_t count) {
  std::mt19937 random(1);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(static_cast<int>(random() % 200) - 100);
  return values;
}
std::vector<int> small_integers(size_t count, int below) {
  std::mt19937 random(2);
  std::vector<int> values(count);
  for (int& value : values) value = static_cast<int>(random() % static_cast<uint32_t>(below));
  return values;
}

}  // namespace

TEST_CASE("kernels: CUB warp reductions and scans") {
  for_each_architecture("cub_primitives", [](const auto& module) {
    const std::vector<float> in = small_numbers(256);
    Device device;
    const uint64_t at = device.put(in), sums = device.room_for<float>(8), scanned = device.room_for<int>(256);
    device.run(module, "warp_reduce_and_scan", 2, 128, at, sums, scanned);
    const auto got_sums = device.get<float>(sums, 8);
    const auto got_scans = device.get<int>(scanned, 256);
    for (size_t warp = 0; warp < 8; ++warp) {
      int before = 0;
      for (size_t lane = 0; lane < 32; ++lane) {
        CHECK(got_scans[warp * 32 + lane] == before);
        before += static_cast<int>(in[warp * 32 + lane]);
      }
      CHECK(got_sums[warp] == static_cast<float>(before));
    }
  });
}

TEST_CASE("kernels: CUB block reductions, scans of pairs and sorts") {
  for_each_architecture("cub_primitives", [](const auto& module) {
    std::vector<float> in = small_numbers(384);
    Device device;
    const uint64_t at = device.put(in), maxima = device.room_for<float>(3), states = device.room_for<float>(384);
    device.run(module, "block_reduce_and_scan", 3, 128, at, maxima, states);
    const auto got = device.get<float>(states, 384);
    for (size_t block = 0; block < 3; ++block) {
      CHECK(device.get<float>(maxima, 3)[block] == *std::max_element(&in[block * 128], &in[block * 128] + 128));
      float state = 0;
      for (size_t i = block * 128; i < block * 128 + 128; ++i) {
        state = 0.5f * state + in[i];
        CHECK(got[i] == Approx(state).epsilon(1e-5).margin(1e-3));
      }
    }
    std::mt19937 random(3);
    std::vector<uint32_t> keys(1024);
    for (uint32_t& key : keys) key = static_cast<uint32_t>(random());
    const uint64_t keys_at = device.put(keys), sorted_at = device.room_for<uint32_t>(1024);
    device.run(module, "block_sort", 2, 128, keys_at, sorted_at);
    std::sort(keys.begin(), keys.begin() + 512);
    std::sort(keys.begin() + 512, keys.end());
    CHECK(device.get<uint32_t>(sorted_at, 1024) == keys);
  });
}

TEST_CASE("kernels: cooperative groups' tiles") {
  for_each_architecture("cooperative_groups", [](const auto& module) {
    const std::vector<int> in = small_integers(128, 50);
    Device device;
    const uint64_t at = device.put(in), sum8 = device.room_for<int>(128), max32 = device.room_for<int>(128),
                   prefix16 = device.room_for<int>(128), fsum4 = device.room_for<float>(128);
    device.run(module, "tile_reductions", 2, 64, at, sum8, max32, prefix16, fsum4);
    const auto sums = device.get<int>(sum8, 128), maxima = device.get<int>(max32, 128);
    const auto prefixes = device.get<int>(prefix16, 128);
    const auto float_sums = device.get<float>(fsum4, 128);
    for (size_t i = 0; i < 128; ++i) {
      const auto tile = [&](size_t width) { return in.begin() + static_cast<ptrdiff_t>(i / width * width); };
      CHECK(sums[i] == std::accumulate(tile(8), tile(8) + 8, 0));
      CHECK(maxima[i] == *std::max_element(tile(32), tile(32) + 32));
      CHECK(prefixes[i] == std::accumulate(tile(16), in.begin() + static_cast<ptrdiff_t>(i), 0));
      CHECK(float_sums[i] == 0.5f * static_cast<float>(std::accumulate(tile(4), tile(4) + 4, 0)));
    }
  });
}

TEST_CASE("kernels: cooperative groups' tiles of several warps") {
  for_each_architecture("cooperative_groups", [](const auto& module) {
    const std::vector<int> in = small_integers(256, 1000);
    Device device;
    const uint64_t at = device.put(in), sum64 = device.room_for<int>(256), max128 = device.room_for<int>(256);
    device.run(module, "wide_tiles", 1, 256, at, sum64, max128);
    const auto sums = device.get<int>(sum64, 256), maxima = device.get<int>(max128, 256);
    for (size_t i = 0; i < 256; ++i) {
      const auto tile = [&](size_t width) { return in.begin() + static_cast<ptrdiff_t>(i / width * width); };
      CHECK(sums[i] == std::accumulate(tile(64), tile(64) + 64, 64 * 2));
      CHECK(maxima[i] == *std::max_element(tile(128), tile(128) + 128));
    }
  });
}

TEST_CASE("kernels: coalesced groups, shuffled sums and votes") {
  for_each_architecture("cooperative_groups", [](const auto& module) {
    const std::vector<int> in = small_integers(250, 7);
    Device device;
    const uint64_t at = device.put(in), counts = device.put(std::vector<int>(7));
    device.run(module, "labelled_histogram", 4, 64, at, counts, int{250});
    for (int key = 0; key < 7; ++key) {
      CHECK(device.get<int>(counts, 7)[static_cast<size_t>(key)] == std::count(in.begin(), in.end(), key));
    }
    std::vector<double> numbers(512);
    std::iota(numbers.begin(), numbers.end(), 0.5);
    const uint64_t numbers_at = device.put(numbers), sums = device.room_for<double>(2);
    device.run(module, "shuffle_sum", 2, 256, numbers_at, sums);
    CHECK(device.get<double>(sums, 2) == std::vector<double>{32768.0, 98304.0});

    const std::vector<int> few = small_integers(32, 100);
    const uint64_t few_at = device.put(few), out = device.room_for<uint32_t>(32);
    device.run(module, "votes", 1, 32, few_at, out);
    uint32_t ballot = 0, exclusive = 0;
    bool same = true, any3 = false;
    for (size_t lane = 0; lane < 32; ++lane) {
      ballot |= static_cast<uint32_t>(few[lane] & 1) << lane;
      exclusive ^= static_cast<uint32_t>(few[lane]);
      same = same && few[lane] / 64 == few[0] / 64;
      any3 = any3 || few[lane] == 3;
    }
    for (size_t lane = 0; lane < 32; ++lane) {
      uint32_t matching = 0;
      for (size_t other = 0; other < 32; ++other) matching |= uint32_t{few[other] % 4 == few[lane] % 4} << other;
      const uint32_t expected =
          (ballot ^ (any3 ? 0x10000 : 0) ^ 0x20000 ^ matching ^ (same ? ~0u : 0)) + same + exclusive + ~0u;
      CHECK(device.get<uint32_t>(out, 32)[lane] == expected);
    }
  });
}

TEST_CASE("kernels: atomics of all kinds") {
  for_each_architecture("atomics", [](const auto& module) {
    struct Results {
      int add, subtract, minimum, maximum;
      uint32_t and_, or_, xor_, increment, decrement, exchange_sum, compare_and_swap;
      float float_add;
      double double_add;
      uint64_t wide_add, wide_max;
      uint32_t half2_add, bfloat162_add;
      int shared_add, scoped_add;
    };
    Device device;
    Results start{};
    start.and_ = ~0u;
    const uint64_t at = device.put(std::vector<Results>{start});
    device.run(module, "all_atomics", 2, 64, at);
    const Results results = device.get<Results>(at, 1)[0];
    const int sum = 127 * 128 / 2;
    CHECK(results.add == sum);
    CHECK(results.subtract == -sum);
    CHECK(results.minimum == -100);
    CHECK(results.maximum == 27);
    CHECK(results.and_ == 0xffffff00u);
    CHECK(results.or_ == 0xff);
    CHECK(results.xor_ == 0);
    CHECK(results.increment == 128 % 10);
    CHECK(results.decrement == (1280 - 128) % 10);
    CHECK(results.exchange_sum == static_cast<uint32_t>(sum));
    CHECK(results.float_add == 64);
    CHECK(results.double_add == 32);
    CHECK(results.wide_add == uint64_t{128} << 33);
    CHECK(results.wide_max == uint64_t{127} << 32);
    CHECK(results.half2_add == 0x5c005800);
    CHECK(results.bfloat162_add == 0xc3004300u);
    CHECK(results.shared_add == sum);
    CHECK(results.scoped_add == 128);
  });
}

TEST_CASE("kernels: asynchronous copies in stages") {
  for_each_architecture("async_copies", [](const auto& module) {
    Device device;
    std::vector<float> tiles = small_numbers(10 * 64 * 4);
    const uint64_t in = device.put(tiles), out = device.room_for<float>(256);
    device.run(module, "staged_sum", 1, 64, in, out);
    for (size_t i = 0; i < 256; ++i) {
      float sum = 0;
      for (size_t step = 0; step < 10; ++step) sum += tiles[step * 256 + (63 - i / 4) * 4 + i % 4];
      CHECK(device.get<float>(out, 256)[i] == sum);
    }
    const std::vector<float> partial = small_numbers(100);
    const uint64_t partial_at = device.put(partial), filled = device.room_for<float>(128);
    device.run(module, "zero_filled", 2, 64, partial_at, filled, int{100});
    for (size_t i = 0; i < 128; ++i) CHECK(device.get<float>(filled, 128)[i] == ((i ^ 1) < 100 ? partial[i ^ 1] : 0));
  });
}

TEST_CASE("kernels: cuda::pipeline and cuda::barrier") {
  for_each_architecture("async_copies", [](const auto& module) {
    const std::vector<int> in = small_integers(640, 1000);
    Device device;
    const uint64_t at = device.put(in), out = device.room_for<int>(64);
    device.run(module, "block_pipeline", 1, 64, at, out);
    const auto piped = device.get<int>(out, 64);
    const uint64_t handed = device.room_for<int>(64);
    device.run(module, "producer_consumer", 1, 128, at, handed);
    for (size_t t = 0; t < 64; ++t) {
      int neighbour = 0, mirrored = 0;
      for (size_t step = 0; step < 10; ++step) {
        neighbour += in[step * 64 + (t + 1) % 64];
        mirrored += in[step * 64 + 63 - t];
      }
      CHECK(piped[t] == neighbour);
      CHECK(device.get<int>(handed, 64)[t] == mirrored);
    }
  });
}
