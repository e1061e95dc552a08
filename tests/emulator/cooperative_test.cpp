// Launches whose blocks wait for each other.
#include <array>

#include "tests/emulator/small_kernel.hpp"

using namespace wkv::emulator;
using test::Device;
using test::small_kernel;

namespace {

// Each thread tells that it is there and waits until all are; then it stores for its block how many it has seen.
constexpr const char* kMeeting = R"(
  mov.u32 %r1, %ctaid.x;
  mov.u32 %r2, %nctaid.x;
  mov.u32 %r5, %ntid.x;
  mul.lo.u32 %r2, %r2, %r5;
  red.release.gpu.global.add.u32 [%d0], 1;
WAIT:
  nanosleep.u32 20;
  ld.acquire.gpu.global.u32 %r4, [%d0];
  setp.lt.u32 %p0, %r4, %r2;
  @%p0 bra WAIT;
  mad.wide.u32 %d4, %r1, 4, %d1;
  st.global.u32 [%d4], %r4;
)";

Report meet(Device& device, const Launch& launch, uint64_t& out, const std::string& before = "") {
  const Module module = Module::parse(small_kernel(before + kMeeting), "meeting.ptx");
  const uint64_t count = device.put(std::vector<uint32_t>{0});
  out = device.room_for<uint32_t>(launch.grid.x);
  const std::array<uint64_t, 2> arguments{count, out};
  return wkv::emulator::launch(device.memory, module, "k", launch, std::as_bytes(std::span(arguments)));
}

}  // namespace

TEST_CASE("blocks of a cooperative launch run in turns and may wait for each other; the counts are always the same") {
  constexpr uint32_t kBlocks = 9;
  Device device;
  Counters counters;
  for (int run = 0; run < 2; ++run) {
    uint64_t out = 0;
    const Report report = meet(device, {.grid = {kBlocks}, .block = {1}, .cooperative = true}, out);
    CHECK(report.findings.empty());
    CHECK(report.counters.blocks == kBlocks);
    CHECK(device.get<uint32_t>(out, kBlocks) == std::vector<uint32_t>(kBlocks, kBlocks));
    if (run > 0) CHECK(report.counters == counters);
    counters = report.counters;
  }
}

TEST_CASE("a cooperative launch ends when one of its blocks cannot go on, though the others wait for it") {
  // In block 1 each of two warps waits for the other, at barriers of their own, or gives up.
  const std::string in_block_1 = R"(
  mov.u32 %r6, %ctaid.x;
  setp.eq.u32 %p1, %r6, 1;
  shr.u32 %r7, %r0, 5;
  add.u32 %r7, %r7, 1;
)";
  const auto [before, kind] = GENERATE(std::pair("  @%p1 barrier.sync %r7, 64;\n", FindingKind::deadlock),
                                       std::pair("  @%p1 trap;\n", FindingKind::trap));
  Device device;
  uint64_t out = 0;
  const Report report = meet(device, {.grid = {3}, .block = {64}, .cooperative = true}, out, in_block_1 + before);
  REQUIRE(report.findings.size() == 1);
  CHECK(report.findings[0].kind == kind);
  CHECK(report.findings[0].block[0] == 1);
}

TEST_CASE("a cooperative launch of more blocks than a GPU has room for is refused") {
  Device device;
  uint64_t out = 0;
  const Report threads = meet(device, {.grid = {132 * 2 + 1}, .block = {1024}, .cooperative = true}, out);
  REQUIRE(threads.findings.size() == 1);
  CHECK(threads.findings[0].kind == FindingKind::launch_limit);
  CHECK(threads.findings[0].text == "265 blocks that wait for each other; there is room for 264");
  const Report shared =
      meet(device, {.grid = {133}, .block = {32}, .dynamic_shared_bytes = 200 << 10, .cooperative = true}, out);
  REQUIRE(shared.findings.size() == 1);
  CHECK(shared.findings[0].text == "133 blocks that wait for each other; there is room for 132");
}
