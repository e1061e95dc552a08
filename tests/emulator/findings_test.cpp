// A planted bug of each kind is found at its line, block, thread and address; the same kernel without it is clean.
#include "tests/emulator/small_kernel.hpp"

using namespace wkv::emulator;
using test::Device;
using test::line_of;
using test::run_clean;
using test::run_small;
using test::small_kernel;

namespace {

// The kernel's only finding.
Finding only_finding(const std::string& text, uint32_t threads, uint32_t blocks = 1) {
  const Report report = run_small(text, threads, blocks).report;
  for (const Finding& finding : report.findings) UNSCOPED_INFO(finding.message());
  REQUIRE(report.findings.size() == 1);
  const Finding finding = report.findings.front();
  CHECK(finding.kernel == "k");
  CHECK(finding.line == line_of(text, "// BUG"));
  return finding;
}

constexpr std::string_view kShared = ".shared .align 16 .b8 s[1024];\n";

}  // namespace

TEST_CASE("an access past the end of an allocation is found") {
  const std::string text = small_kernel("  st.global.u32 [%d3+8], %r0;  // BUG");
  const Finding finding = only_finding(text, 64);
  CHECK(finding.kind == FindingKind::out_of_bounds);
  CHECK(finding.thread == std::array<uint32_t, 3>{62, 0, 0});
  CHECK(finding.count == 2);
  CHECK(finding.text.find("0 bytes past the end of") != std::string::npos);
  run_clean(small_kernel("  st.global.u32 [%d3], %r0;"), 64);
}

TEST_CASE("an access before an allocation and a null pointer are found; they do nothing") {
  const Finding before = only_finding(small_kernel("  ld.global.u32 %r1, [%d2+-4];  // BUG"), 32);
  CHECK(before.kind == FindingKind::out_of_bounds);
  CHECK(before.thread[0] == 0);
  CHECK(before.text.find("4 bytes before") != std::string::npos);
  const auto run = run_small(small_kernel("  mov.u64 %d4, 0;\n  ld.u32 %r1, [%d4];\n  st.global.u32 [%d3], %r1;"), 32);
  REQUIRE(run.report.findings.size() == 1);
  CHECK(run.report.findings[0].text.find("far from every allocation") != std::string::npos);
  CHECK(run.out == std::vector<uint32_t>(32, 0));
}

TEST_CASE("accesses past shared, local and parameter memory are found") {
  const std::string shared = small_kernel("  mov.u32 %r1, s;\n  st.shared.u32 [%r1+1024], %r0;  // BUG", kShared);
  CHECK(only_finding(shared, 32).kind == FindingKind::out_of_bounds);
  const std::string local =
      small_kernel("  .local .align 8 .b8 depot[16];\n  mov.u64 %d4, depot;\n  st.local.u32 [%d4+16], %r0;  // BUG");
  CHECK(only_finding(local, 32).kind == FindingKind::out_of_bounds);
  const std::string parameter = small_kernel("  ld.param.u32 %r1, [out+8];  // BUG");
  CHECK(only_finding(parameter, 32).kind == FindingKind::out_of_bounds);
}

TEST_CASE("a misaligned access is found") {
  const Finding finding = only_finding(small_kernel("  ld.global.v2.u32 {%r1, %r2}, [%d0+4];  // BUG"), 32);
  CHECK(finding.kind == FindingKind::misaligned);
  CHECK(finding.count == 32);
  CHECK(finding.address % 8 == 4);
  run_clean(small_kernel("  ld.global.v2.u32 {%r1, %r2}, [%d0+8];"), 32);
}

TEST_CASE("reads of never-written memory are found in every space") {
  const Finding shared = only_finding(
      small_kernel("  mov.u32 %r1, s;\n  st.shared.u32 [%r1], 7;\n  ld.shared.u32 %r2, [%r1+4];  // BUG", kShared), 1);
  CHECK(shared.kind == FindingKind::unwritten_read);
  CHECK(shared.address == 4);
  const std::string local = small_kernel(
      "  .local .align 8 .b8 depot[16];\n  mov.u64 %d4, depot;\n  st.local.u32 [%d4], %r0;\n"
      "  ld.local.u64 %d5, [%d4];  // BUG");
  CHECK(only_finding(local, 32).kind == FindingKind::unwritten_read);
  std::string debug = local;  // as nvcc -G writes it, which copies objects with their padding
  debug.insert(debug.find('\n', debug.find(".target")), ", debug");
  run_clean(debug, 32);

  Device device;
  const auto module = Module::parse(small_kernel("  ld.global.u32 %r1, [%d2];\n  st.global.u32 [%d3], %r1;"), "m");
  const uint64_t fresh = device.room_for<uint32_t>(32);
  const Report report = device.launch(module, "k", 1, 32, fresh, fresh);
  REQUIRE(report.findings.size() == 1);
  CHECK(report.findings[0].kind == FindingKind::unwritten_read);
  CHECK(report.findings[0].address == fresh);
  CHECK(device.launch(module, "k", 1, 32, fresh, fresh).findings.empty());  // the kernel wrote it
}

TEST_CASE("writes to constants and parameters are found") {
  const std::string constant =
      small_kernel("  mov.u64 %d4, c;\n  st.global.u32 [%d4], %r0;  // BUG", ".const .align 4 .u32 c[2] = {1, 2};\n");
  CHECK(only_finding(constant, 1).kind == FindingKind::read_only_write);
  const std::string parameter =
      small_kernel("  mov.u64 %d4, in;\n  cvta.param.u64 %d5, %d4;\n  st.u32 [%d5], %r0;  // BUG");
  CHECK(only_finding(parameter, 1).kind == FindingKind::read_only_write);
}

TEST_CASE("a barrier that a part of a warp reaches is found") {
  const std::string text = small_kernel(R"(
  setp.lt.u32 %p0, %r0, 16;
  @!%p0 bra SKIP;
  bar.sync 0;  // BUG
SKIP:
  st.global.u32 [%d3], %r0;)");
  const Finding finding = only_finding(text, 64);
  CHECK(finding.kind == FindingKind::divergent_barrier);
  CHECK(finding.thread[0] == 0);
  // A whole warp that goes another way and ends does not count as divergence.
  run_clean(small_kernel("  setp.ge.u32 %p0, %r0, 32;\n  @%p0 exit;\n  bar.sync 0;"), 64);
}

TEST_CASE("warps that wait for ever are found") {
  const std::string text = small_kernel(R"(
  setp.lt.u32 %p0, %r0, 32;
  @%p0 bar.sync 1, 64;  // BUG
  @!%p0 bar.sync 2, 64;)");
  const Finding finding = only_finding(text, 64);
  CHECK(finding.kind == FindingKind::deadlock);
}

TEST_CASE("a copy that is not waited for is found, read or overwritten") {
  const std::string copy =
      "  mov.u32 %r1, s;\n  shl.b32 %r2, %r0, 2;\n  add.u32 %r1, %r1, %r2;\n"
      "  cp.async.ca.shared.global [%r1], [%d2], 4;\n  cp.async.commit_group;\n";
  const std::string read = small_kernel(copy + "  ld.shared.u32 %r3, [%r1];  // BUG", kShared);
  CHECK(only_finding(read, 32).kind == FindingKind::missing_wait);
  const std::string write = small_kernel(copy + "  st.shared.u32 [%r1], %r0;  // BUG", kShared);
  CHECK(only_finding(write, 32).kind == FindingKind::missing_wait);
  // Waiting for all but the latest group is not enough; waiting for it is.
  const std::string later =
      small_kernel(copy + "  cp.async.wait_group 1;\n  ld.shared.u32 %r3, [%r1];  // BUG", kShared);
  CHECK(only_finding(later, 32).kind == FindingKind::missing_wait);
  const auto out = run_clean(
      small_kernel(copy + "  cp.async.wait_group 0;\n  ld.shared.u32 %r3, [%r1];\n  st.global.u32 [%d3], %r3;",
                   kShared),
      32);
  CHECK(out[5] == 5);
}

TEST_CASE("member masks that do not fit the lanes are found") {
  const std::string outside = small_kernel("  shfl.sync.idx.b32 %r1, %r0, 0, 31, 0x0000ffff;  // BUG");
  CHECK(only_finding(outside, 32).kind == FindingKind::warp_sync);
  const std::string absent = small_kernel(R"(
  setp.lt.u32 %p0, %r0, 16;
  @!%p0 bra SKIP;
  vote.sync.ballot.b32 %r1, %p0, 0xffffffff;  // BUG
SKIP:
  st.global.u32 [%d3], %r0;)");
  CHECK(only_finding(absent, 32).kind == FindingKind::warp_sync);
}

TEST_CASE("trap ends the launch with a finding") {
  const std::string text =
      small_kernel("  setp.eq.u32 %p0, %r0, 5;\n  @%p0 trap;  // BUG\n  st.global.u32 [%d3], %r0;");
  CHECK(run_small(text, 32).out == std::vector<uint32_t>(32, 0xdead));
  const Finding finding = only_finding(text, 32, 3);
  CHECK(finding.kind == FindingKind::trap);
  CHECK(finding.thread[0] == 5);
  CHECK(finding.block[0] == 0);
}

TEST_CASE("an endless loop is found") {
  Device device;
  const auto module = Module::parse(small_kernel("LOOP:\n  bra LOOP;"), "m");
  std::vector<std::byte> arguments(16);
  const Report report = launch(device.memory, module, "k", {}, arguments, {.instruction_limit = 100000});
  REQUIRE(report.findings.size() == 1);
  CHECK(report.findings[0].kind == FindingKind::endless_loop);
}

TEST_CASE("what a launch must not ask for is found, and nothing runs") {
  Device device;
  const std::string text = small_kernel("  st.global.u32 [%d3], %r0;");
  const auto module = Module::parse(text, "m");
  std::vector<std::byte> arguments(16);
  const auto refused = [&](const Launch& launch, size_t argument_bytes) {
    arguments.resize(argument_bytes);
    const Report report = wkv::emulator::launch(device.memory, module, "k", launch, arguments);
    REQUIRE(report.findings.size() == 1);
    CHECK(report.counters == Counters());
    return report.findings[0];
  };
  CHECK(refused({}, 12).kind == FindingKind::argument_size);
  CHECK(refused({}, 12).text.find("12 bytes of arguments were given; its 2 parameters take 16") != std::string::npos);
  CHECK(refused({.block = {1025, 1, 1}}, 16).kind == FindingKind::launch_limit);
  CHECK(refused({.block = {32, 32, 2}}, 16).kind == FindingKind::launch_limit);
  CHECK(refused({.block = {1, 1, 65}}, 16).kind == FindingKind::launch_limit);
  CHECK(refused({.block = {0, 1, 1}}, 16).kind == FindingKind::launch_limit);
  CHECK(refused({.grid = {1, 65536, 1}}, 16).kind == FindingKind::launch_limit);
  CHECK(refused({.dynamic_shared_bytes = 227 * 1024 + 1}, 16).kind == FindingKind::launch_limit);
}

TEST_CASE("a kernel's own limits on its block are held") {
  Device device;
  const auto module = Module::parse(test::ptx_module(".visible .entry a() .maxntid 64, 1, 1 { ret; }\n"
                                                     ".visible .entry b() .reqntid 32, 2 { ret; }\n"),
                                    "m");
  const auto findings = [&](std::string_view entry, Dim3 block) {
    return launch(device.memory, module, entry, {.block = block}, {}).findings.size();
  };
  CHECK(findings("a", {64, 1, 1}) == 0);
  CHECK(findings("a", {65, 1, 1}) == 1);
  CHECK(findings("b", {32, 2, 1}) == 0);
  CHECK(findings("b", {64, 1, 1}) == 1);
}

TEST_CASE("findings name the source line, the first block and the number of lanes, in any order of blocks") {
  const std::string text = small_kernel(R"(
  .loc 1 42 7
  mov.u32 %r1, %ctaid.x;
  setp.ge.u32 %p0, %r1, 3;
  .loc 1 43 7
  @%p0 st.global.u32 [%d1+-4], %r0;  // BUG
)",
                                        ".file 1 \"kernel.cu\"\n");
  for (int i = 0; i < 5; ++i) {
    const Finding finding = only_finding(text, 32, 50);
    CHECK(finding.source == "kernel.cu:43");
    CHECK(finding.block == std::array<uint32_t, 3>{3, 0, 0});
    CHECK(finding.count == 47 * 32);
    CHECK(finding.message().find("kernel.cu:43") != std::string::npos);
  }
}

TEST_CASE("no more findings than asked for are kept") {
  Device device;
  std::string body;
  for (int i = 0; i < 40; ++i) body += "  st.global.u32 [%d1+-4], %r0;\n";
  const auto module = Module::parse(small_kernel(body), "m");
  CHECK(device.launch(module, "k", 1, 1, uint64_t{0}, uint64_t{0}).findings.size() == 16);
}

TEST_CASE("without checks only what the host could not bear is found") {
  Device device;
  const auto module = Module::parse(small_kernel("  mov.u32 %r1, s;\n  ld.shared.u32 %r2, [%r1];\n"
                                                 "  st.shared.u32 [%r1], %r0;\n  ld.global.u32 %r3, [%d0+2];\n"
                                                 "  ld.global.u32 %r3, [%d0+256];",
                                                 kShared),
                                    "m");
  const uint64_t in = device.room_for<uint32_t>(32);
  std::vector<std::byte> arguments(16);
  std::memcpy(arguments.data(), &in, 8);
  const Report report = launch(device.memory, module, "k", {.block = {64, 1, 1}}, arguments, {.check = false});
  REQUIRE(report.findings.size() == 1);
  CHECK(report.findings[0].kind == FindingKind::out_of_bounds);
}
