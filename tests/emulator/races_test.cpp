// Races on shared memory, and what is none.
#include <fmt/format.h>

#include "tests/emulator/small_kernel.hpp"

using namespace wkv::emulator;
using test::line_of;
using test::run_clean;
using test::run_small;
using test::small_kernel;

namespace {

// %r2 is the address of the thread's word in s, %r3 that of a neighbour's, whose index differs by xor. All words are
// zero. %p15 holds in the second warp, which is the one that goes on first behind the barrier.
std::string kernel(std::string_view neighbour, std::string_view body) {
  return small_kernel(fmt::format(R"(
  shl.b32 %r1, %r0, 2;
  mov.u32 %r2, s;
  add.u32 %r2, %r2, %r1;
  xor.b32 %r3, %r0, {};
  shl.b32 %r3, %r3, 2;
  mov.u32 %r4, s;
  add.u32 %r3, %r3, %r4;
  setp.ge.u32 %p15, %r0, 32;
  st.shared.u32 [%r2], 0;
  bar.sync 0;
{})",
                                  neighbour, body),
                      ".shared .align 16 .b8 s[4096];\n.shared .align 8 .b8 flag[8];\n");
}

Finding only_race(const std::string& text, uint32_t threads) {
  const Report report = run_small(text, threads).report;
  for (const Finding& finding : report.findings) UNSCOPED_INFO(finding.message());
  REQUIRE(report.findings.size() == 1);
  CHECK(report.findings[0].kind == FindingKind::shared_race);
  CHECK(report.findings[0].line == line_of(text, "// BUG"));
  return report.findings[0];
}

}  // namespace

TEST_CASE("reading what another warp wrote needs a barrier") {
  const std::string write = "  @%p15 st.shared.u32 [%r2], %r0;\n",
                    read = "  @!%p15 ld.shared.u32 %r5, [%r3];  // BUG\n";
  const Finding finding = only_race(kernel("32", write + read), 64);
  CHECK(finding.thread[0] == 0);
  CHECK(finding.count == 32);
  CHECK(finding.address == 128);
  CHECK(finding.text.find("thread (32, 0, 0) wrote") != std::string::npos);
  const auto out = run_clean(kernel("32", write + "  bar.sync 0;\n" + read + "  @!%p15 st.global.u32 [%d3], %r5;"), 64);
  CHECK(out[3] == 35);
}

TEST_CASE("overwriting what another warp still reads needs a barrier") {
  const std::string read = "  @%p15 ld.shared.u32 %r5, [%r3];\n", write = "  @!%p15 st.shared.u32 [%r2], 7;  // BUG";
  const Finding finding = only_race(kernel("32", read + write), 64);
  CHECK(finding.text.find("thread (32, 0, 0) read") != std::string::npos);
  run_clean(kernel("32", read + "  bar.sync 0;\n" + write), 64);
}

TEST_CASE("two warps that write different values to one place race; the same value does no harm") {
  only_race(kernel("0", "  shr.u32 %r6, %r0, 5;\n  mov.u32 %r7, s;\n  st.shared.u32 [%r7], %r6;  // BUG"), 64);
  run_clean(kernel("0", "  mov.u32 %r7, s;\n  st.shared.u32 [%r7], 1;"), 64);
}

TEST_CASE("lanes of a warp need bar.warp.sync between them, and a shuffle is none") {
  const std::string start = "  st.shared.u32 [%r2], %r0;\n";
  const std::string read = "  ld.shared.u32 %r5, [%r3];  // BUG\n  st.global.u32 [%d3], %r5;";
  only_race(kernel("1", start + read), 32);
  only_race(kernel("1", start + "  shfl.sync.bfly.b32 %r6, %r0, 1, 31, 0xffffffff;\n" + read), 32);
  CHECK(run_clean(kernel("1", start + "  bar.warp.sync 0xffffffff;\n" + read), 32)[6] == 7);
}

TEST_CASE("an exchange between all lanes of a warp orders its reads before a later write, between some does not") {
  const std::string read = "  ld.shared.u32 %r5, [%r3];\n", write = "  st.shared.u32 [%r2], 7;";
  only_race(kernel("1", read + write + "  // BUG"), 32);
  run_clean(kernel("1", read + "  shfl.sync.idx.b32 %r6, %r5, 0, 31, -1;\n" + write), 32);
  run_clean(kernel("1", read + "  redux.sync.add.u32 %r6, %r5, -1;\n" + write), 64);
  only_race(kernel("1", "  shfl.sync.idx.b32 %r6, %r0, 0, 31, -1;\n" + read + write + "  // BUG"), 32);
  const std::string some = "  setp.lt.u32 %p14, %r0, 16;\n  @%p14 shfl.sync.idx.b32 %r6, %r5, 0, 31, 0xffff;\n";
  only_race(kernel("1", read + some + write + "  // BUG"), 32);
}

TEST_CASE("a barrier of a tile of lanes orders that tile only") {
  const std::string sync = R"(
  and.b32 %r6, %r0, 16;
  mov.u32 %r7, 0xffff;
  shl.b32 %r7, %r7, %r6;
  st.shared.u32 [%r2], %r0;
  bar.warp.sync %r7;
  ld.shared.u32 %r5, [%r3];  // BUG
  st.global.u32 [%d3], %r5;)";
  CHECK(run_clean(kernel("15", sync), 32)[20] == 27);
  only_race(kernel("16", sync), 32);
}

TEST_CASE("a named barrier orders the warps that take part") {
  const std::string text = R"(
  setp.ge.u32 %p0, %r0, 64;
  @%p0 bra OTHERS;
  st.shared.u32 [%r2], %r0;
  bar.sync 1, 64;
  ld.shared.u32 %r5, [%r3];
  st.global.u32 [%d3], %r5;
  bra DONE;
OTHERS:
  bar.sync 2, 64;
DONE:)";
  CHECK(run_clean(kernel("32", text), 128)[40] == 8);
  const std::string unordered = R"(
  setp.ge.u32 %p0, %r0, 64;
  st.shared.u32 [%r2], %r0;
  @!%p0 bar.sync 1, 64;
  @%p0 bar.sync 2, 64;
  @%p0 ld.shared.u32 %r5, [%r3];  // BUG)";
  run_clean(kernel("32", unordered), 128);
  only_race(kernel("64", unordered), 128);
}

TEST_CASE("a producer's arrival orders it before consumers that wait") {
  const std::string text = R"(
  setp.ge.u32 %p0, %r0, 32;
  @%p0 bra CONSUMER;
  st.shared.u32 [%r2], %r0;
  bar.arrive 3, 64;
  bra DONE;
CONSUMER:
  bar.sync 3, 64;
  ld.shared.u32 %r5, [%r3];
  st.global.u32 [%d3], %r5;
DONE:)";
  CHECK(run_clean(kernel("32", text), 64)[33] == 1);
}

TEST_CASE("every warp that has read is remembered, also at different times") {
  // Warp 2, which has gone on a clock, and warp 0 read; warp 1 writes when it has met warp 2 only.
  constexpr std::string_view kText = R"(
  setp.lt.u32 %p1, %r0, 32;
  setp.ge.u32 %p2, %r0, 64;
  mov.u32 %r6, s;
  @%p1 ld.shared.u32 %r5, [%r6];
  {}
  @%p2 bar.warp.sync 0xffffffff;
  @%p2 ld.shared.u32 %r5, [%r6];
  bar.sync {};
  @!%p2 st.shared.u32 [%r6], 7;  // BUG
DONE:)";
  const Finding finding = only_race(kernel("0", fmt::format(kText, "@%p1 bra DONE;", "1, 64")), 96);
  CHECK(finding.thread[0] == 32);
  CHECK(finding.text.find("thread (0, 0, 0) read") != std::string::npos);
  run_clean(kernel("0", fmt::format(kText, "", "0")), 96);
}

TEST_CASE("neighbouring bytes do not race") {
  const std::string text = R"(
  mov.u32 %r5, s;
  add.u32 %r5, %r5, %r0;
  cvt.u16.u32 %h0, %r0;
  st.shared.u8 [%r5], %h0;
  bar.sync 0;
  mov.u32 %r6, s;
  ld.shared.u32 %r7, [%r6+60];
  st.global.u32 [%d3], %r7;)";
  CHECK(run_clean(kernel("0", text), 64)[0] == 0x3f3e3d3c);
}

TEST_CASE("atomics do not race with each other, but with plain accesses") {
  const std::string start =
      "  mov.u32 %r5, flag;\n  setp.eq.u32 %p0, %r0, 0;\n  @%p0 st.shared.u32 [%r5], 0;\n"
      "  bar.sync 0;\n  atom.shared.add.u32 %r6, [%r5], 1;\n";
  const std::string read = "  @%p15 ld.shared.u32 %r7, [%r5];  // BUG\n  st.global.u32 [%d3], %r7;";
  only_race(kernel("0", start + read), 64);
  CHECK(run_clean(kernel("0", start + "  bar.sync 0;\n" + read), 64)[39] == 64);
}

TEST_CASE("a volatile flag hands over what was written before it") {
  const std::string text = R"(
  setp.eq.u32 %p0, %r0, 0;
  mov.u32 %r5, flag;
  @%p0 st.shared.u32 [%r5], 0;
  bar.sync 0;
  setp.ge.u32 %p1, %r0, 32;
  @%p1 bra CONSUMER;
  st.shared.u32 [%r2], %r0;
  bar.warp.sync 0xffffffff;
  @%p0 st.volatile.shared.u32 [%r5], 1;
  bra DONE;
CONSUMER:
  ld.volatile.shared.u32 %r6, [%r5];
  setp.eq.u32 %p2, %r6, 0;
  @%p2 bra CONSUMER;
  ld.shared.u32 %r7, [%r3];
  st.global.u32 [%d3], %r7;
DONE:)";
  CHECK(run_clean(kernel("32", text), 64)[50] == 18);
}

TEST_CASE("copies that arrive at one thread's wait need a barrier before others read them") {
  const std::string start = "  cp.async.ca.shared.global [%r2], [%d2], 4;\n  cp.async.wait_all;\n";
  const std::string read = "  ld.shared.u32 %r5, [%r3];  // BUG\n  st.global.u32 [%d3], %r5;";
  CHECK(run_small(kernel("32", start + read), 64).report.findings.size() >= 1);
  CHECK(run_clean(kernel("32", start + "  bar.sync 0;\n" + read), 64)[1] == 33);
}
