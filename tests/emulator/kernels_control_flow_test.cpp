// Control flow as nvcc compiles it.
#include <algorithm>
#include <cstring>

#include "tests/emulator/kernels.hpp"

using test::Device;
using test::for_each_architecture;
using namespace wkv::emulator;

TEST_CASE("kernels: switch tables") {
  for_each_architecture("control_flow", [](const Module& module) {
    const int n = 1234;  // 0x4d2
    const std::vector<int> expected = {-1,      10, 411,         2,    5,    4936,       -1234,
                                       1522756, 21, 1234 ^ 0x55, 0x12, 1234, 0x4b200000, -1};  // for -1 to 12
    std::vector<int> which(n);
    for (size_t i = 0; i < n; ++i) which[i] = static_cast<int>(i * 5 % 14) - 1;
    Device device;
    const uint64_t in = device.put(which), out = device.room_for<int>(n);
    CHECK(device.run(module, "switch_table", 10, 128, in, out, n).divergent_branches > 0);
    const auto got = device.get<int>(out, n);
    for (size_t i = 0; i < n; ++i) CHECK(got[i] == expected[static_cast<size_t>(which[i] + 1)]);
  });
}

TEST_CASE("kernels: recursion") {
  for_each_architecture("control_flow", [](const Module& module) {
    Device device;
    const uint64_t out = device.room_for<uint32_t>(64);
    device.run(module, "recursion", 1, 64, out);
    const auto got = device.get<uint32_t>(out, 64);
    for (uint32_t i = 0; i < 64; ++i) CHECK(got[i] == 2 * (i % 5) + 3);  // Ackermann's function of 2
  });
}

TEST_CASE("kernels: function pointers and virtual functions") {
  for_each_architecture("control_flow", [](const Module& module) {
    std::vector<int> which(32);
    for (size_t i = 0; i < 32; ++i) which[i] = static_cast<int>(i * i % 3);
    Device device;
    const uint64_t in = device.put(which), out = device.room_for<float>(32), areas = device.room_for<float>(32);
    device.run(module, "function_pointers", 1, 32, in, out);
    device.run(module, "virtual_functions", 1, 32, areas);
    const auto got = device.get<float>(out, 32), got_areas = device.get<float>(areas, 32);
    for (size_t i = 0; i < 32; ++i) {
      const auto x = static_cast<float>(i);
      CHECK(got[i] == (which[i] == 0 ? x + 3 : which[i] == 1 ? x * 3 : std::max(x, 3.0f)));
      CHECK(got_areas[i] == (i % 2 ? x * x : 3 * x * x));
    }
  });
}

TEST_CASE("kernels: local arrays") {
  for_each_architecture("control_flow", [](const Module& module) {
    constexpr size_t kEach = 20;
    std::vector<int> keys(64 * kEach);
    for (size_t i = 0; i < keys.size(); ++i) keys[i] = static_cast<int>(i * 7919 % 1000);
    Device device;
    const uint64_t in = device.put(keys), out = device.room_for<int>(keys.size());
    const Counters counters = device.run(module, "local_array", 1, 64, in, out, static_cast<int>(kEach));
    CHECK(counters.local_store_bytes > 0);
    for (size_t i = 0; i < 64; ++i) std::sort(keys.begin() + i * kEach, keys.begin() + (i + 1) * kEach);
    CHECK(device.get<int>(out, keys.size()) == keys);
  });
}

TEST_CASE("kernels: a parameter struct that is indexed at run time") {
  for_each_architecture("control_flow", [](const Module& module) {
    std::vector<float> in(32, 2.0f);
    Device device;
    struct {
      int n = 30;
      float scale[8] = {0, 1, 2, 3, 4, 5, 6, 7};
      uint64_t in = 0;
    } parameters;
    parameters.in = device.put(in);
    const uint64_t out = device.put(in);
    std::vector<std::byte> arguments(module.entry("struct_parameter").parameter_bytes);
    REQUIRE(arguments.size() == sizeof parameters + 8);
    std::memcpy(arguments.data(), &parameters, sizeof parameters);
    std::memcpy(arguments.data() + sizeof parameters, &out, 8);
    CHECK(launch(device.memory, module, "struct_parameter", {.block = {32, 1, 1}}, arguments).findings.empty());
    const auto got = device.get<float>(out, 32);
    for (size_t i = 0; i < 32; ++i) CHECK(got[i] == (i < 30 ? 2.0f * static_cast<float>(i % 8) : 2.0f));
  });
}

TEST_CASE("kernels: loops of different length come together again") {
  for_each_architecture("control_flow", [](const Module& module) {
    Device device;
    const uint64_t out = device.room_for<int>(64);
    CHECK(device.run(module, "diverging_loops", 1, 64, out).divergent_branches > 0);
    const auto got = device.get<int>(out, 64);
    for (size_t i = 0; i < 64; ++i) {
      int steps = 0;
      for (long long x = static_cast<long long>(i) + 1; x != 1; ++steps) x = x % 2 ? 3 * x + 1 : x / 2;
      CHECK(got[i] == steps);
    }
  });
}

TEST_CASE("kernels: a failed assert is a finding with its text and its line") {
  for_each_architecture("control_flow", [](const Module& module) {
    Device device;
    const uint64_t in = device.put(std::vector<int>{1, 2, 3, 4, 5, 6, 7, 8});
    device.run(module, "asserts", 1, 8, in, 9);
    const Report report = device.launch(module, "asserts", 1, 8, in, 6);
    REQUIRE(report.findings.size() == 1);
    CHECK(report.findings[0].kind == FindingKind::trap);
    CHECK(report.findings[0].thread[0] == 5);
    CHECK(report.findings[0].text.find("assertion \"value < limit\" failed") != std::string::npos);
    CHECK(report.findings[0].source.find("control_flow.cu:") != std::string::npos);
  });
}

TEST_CASE("kernels: printf") {
  for_each_architecture("control_flow", [](const Module& module) {
    Device device;
    const uint64_t text = device.put(std::vector<char>{'h', 'e', 'y', 0});
    const Report report = device.launch(module, "prints", 2, 32, 7, 2.5f, text);
    CHECK(report.findings.empty());
    const std::string block =
        "hey: thread 0 has 7 and 2.50, 1099511627776%\nhey: thread 1 has 7 and 2.50, 1099511627776%\n";
    CHECK(report.printed == block + block);
  });
}

TEST_CASE("kernels: printf with widths from arguments, sizes, strings in local memory, and what is no conversion") {
  for_each_architecture("control_flow", [](const Module& module) {
    Device device;
    const Report report = device.launch(module, "prints_in_many_ways", 1, 1, 42);
    CHECK(report.findings.empty());
    CHECK(report.printed == "    42|42  |3.14|00042|+42|0x2a|8589934592|-2|xy| loc2|A|1.234550e+04\n70, %y %");
  });
}

TEST_CASE("kernels: 128-bit products and dynamic shared memory of a device function") {
  for_each_architecture("control_flow", [](const Module& module) {
    std::vector<uint64_t> a(64);
    for (size_t i = 0; i < 64; ++i) a[i] = 0x9e3779b97f4a7c15u * (i + 1);
    Device device;
    const uint64_t in = device.put(a), out = device.room_for<uint64_t>(64);
    std::vector<std::byte> arguments(16);
    std::memcpy(arguments.data(), &in, 8);
    std::memcpy(arguments.data() + 8, &out, 8);
    const Launch shape{.block = {64, 1, 1}, .dynamic_shared_bytes = 512};
    CHECK(launch(device.memory, module, "wide_products", shape, arguments).findings.empty());
    std::vector<uint64_t> pool(64);
    for (size_t i = 0; i < 64; ++i) {
      const unsigned __int128 product = static_cast<unsigned __int128>(a[i]) * a[i] + a[0];
      pool[i] = static_cast<uint64_t>(product >> 64) ^ static_cast<uint64_t>(product);
    }
    const auto got = device.get<uint64_t>(out, 64);
    for (size_t i = 0; i < 64; ++i) CHECK(got[i] == pool[63 - i] / (a[i] | 1) + pool[i] % 1000003);
  });
}
