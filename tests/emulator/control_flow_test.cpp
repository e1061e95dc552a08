// Divergence and where ways meet again, loops, calls, branches by table, threads of a warp that wait for each other.
#include "tests/emulator/small_kernel.hpp"

using namespace wkv::emulator;
using test::Device;
using test::run_clean;
using test::run_small;
using test::small_kernel;

namespace {

constexpr uint32_t kFull = 0xffffffff;

std::string store(std::string_view value) { return "  st.global.u32 [%d3], " + std::string(value) + ";"; }

}  // namespace

TEST_CASE("lanes that part at a branch meet at its post-dominator") {
  const auto out = run_clean(small_kernel(R"(
  setp.lt.u32 %p0, %r0, 10;
  @%p0 bra SMALL;
  activemask.b32 %r1;
  bra JOIN;
SMALL:
  activemask.b32 %r1;
JOIN:
  activemask.b32 %r2;
  and.b32 %r3, %r0, 1;
  setp.eq.u32 %p1, %r3, 0;
  selp.b32 %r4, %r1, %r2, %p1;
)" + store("%r4")),
                             32);
  CHECK(out[0] == 0x3ff);
  CHECK(out[12] == (kFull & ~0x3ffu));
  CHECK(out[13] == kFull);
}

TEST_CASE("nested branches and loops of different length meet again") {
  // Lane i runs the outer loop i % 4 + 1 times and in each round the inner one i % 3 times.
  const auto out = run_clean(small_kernel(R"(
  rem.u32 %r1, %r0, 4;
  rem.u32 %r2, %r0, 3;
  mov.u32 %r3, 0;
  mov.u32 %r4, 0;
OUTER:
  mov.u32 %r5, 0;
INNER:
  setp.ge.u32 %p0, %r5, %r2;
  @%p0 bra INNER_END;
  add.u32 %r4, %r4, 1;
  add.u32 %r5, %r5, 1;
  bra INNER;
INNER_END:
  add.u32 %r3, %r3, 1;
  setp.le.u32 %p1, %r3, %r1;
  @%p1 bra OUTER;
  activemask.b32 %r6;
  setp.ne.u32 %p2, %r6, 0xffffffff;
  @%p2 mov.u32 %r4, 1000;
)" + store("%r4")),
                             32);
  for (uint32_t i = 0; i < 32; ++i) CHECK(out[i] == (i % 4 + 1) * (i % 3));
}

TEST_CASE("a break out of a loop waits for the others behind it") {
  const auto out = run_clean(small_kernel(R"(
  mov.u32 %r1, 0;
LOOP:
  setp.eq.u32 %p0, %r1, %r0;
  @%p0 bra FOUND;
  add.u32 %r1, %r1, 1;
  setp.lt.u32 %p1, %r1, 20;
  @%p1 bra LOOP;
  mov.u32 %r1, 99;
FOUND:
  vote.sync.ballot.b32 %r2, %p0, 0xffffffff;
  shl.b32 %r2, %r2, 8;
  or.b32 %r1, %r1, %r2;
)" + store("%r1")),
                             32);
  CHECK(out[7] == (0x0fffff00u | 7));
  CHECK(out[25] == (0x0fffff00u | 99));
}

TEST_CASE("threads that end early do not hold up the others, nor count as diverged") {
  const auto out = run_clean(small_kernel(R"(
  setp.lt.u32 %p0, %r0, 40;
  @!%p0 bra LATE;
  setp.lt.u32 %p1, %r0, 8;
  @!%p1 bra MIDDLE;
  exit;
MIDDLE:
  mov.u32 %r1, 1;
  bra JOIN;
LATE:
  mov.u32 %r1, 2;
JOIN:
  bar.sync 0;
  activemask.b32 %r2;
)" + store("%r2")),
                             64);
  CHECK(out[3] == 0xdead);
  CHECK(out[9] == 0xffffff00);
  CHECK(out[50] == kFull);
}

TEST_CASE("a predicate switches single instructions off") {
  const auto out = run_clean(small_kernel("  setp.gt.u32 %p0, %r0, 3;\n  mov.u32 %r1, 1;\n  @%p0 mov.u32 %r1, 2;\n"
                                          "  @!%p0 add.u32 %r1, %r1, %r0;\n" +
                                          store("%r1")),
                             8);
  CHECK(out == std::vector<uint32_t>{1, 2, 3, 4, 2, 2, 2, 2});
}

TEST_CASE("branches by table go where each lane's index says") {
  const auto out = run_clean(small_kernel(R"(
  and.b32 %r1, %r0, 3;
TABLE: .branchtargets A, B, A, C;
  brx.idx %r1, TABLE;
A:
  mov.u32 %r2, 10;
  bra DONE;
B:
  mov.u32 %r2, 20;
  bra DONE;
C:
  mov.u32 %r2, 30;
DONE:
  activemask.b32 %r3;
  setp.ne.u32 %p0, %r3, 0xffffffff;
  @%p0 mov.u32 %r2, 0;
)" + store("%r2")),
                             32);
  CHECK(std::vector(out.begin(), out.begin() + 4) == std::vector<uint32_t>{10, 20, 10, 30});
  const auto bad = run_small(small_kernel("TABLE: .branchtargets A;\n  brx.idx %r0, TABLE;\nA:\n"), 4);
  REQUIRE(bad.report.findings.size() == 1);
  CHECK(bad.report.findings[0].kind == FindingKind::invalid_operation);
}

TEST_CASE("functions take and give values, also from diverged and predicated calls") {
  const std::string function = R"(
.func (.param .b32 result) half(.param .b32 x) {
  .reg .b32 %r<3>;
  .reg .pred %p;
  ld.param.u32 %r0, [x];
  setp.eq.u32 %p, %r0, 6;
  @%p bra SIX;
  shr.u32 %r1, %r0, 1;
  st.param.b32 [result], %r1;
  ret;
SIX:
  mov.u32 %r2, 66;
  st.param.b32 [result], %r2;
  ret;
}
)";
  const std::string call = R"({
  .param .b32 a;
  .param .b32 b;
  st.param.b32 [a], %r0;
  GUARD call (b), half, (a);
  GUARD ld.param.b32 %r1, [b];
  }
  activemask.b32 %r2;
  setp.ne.u32 %p1, %r2, 0xffffffff;
  @%p1 mov.u32 %r1, 1000;
)";
  const auto with_guard = [&](std::string guard) {
    std::string text = call;
    for (size_t at; (at = text.find("GUARD")) != std::string::npos;) text.replace(at, 5, guard);
    return text;
  };
  const auto plain = run_clean(small_kernel(with_guard("") + store("%r1"), function), 32);
  const auto odd = run_clean(small_kernel("  and.b32 %r5, %r0, 1;\n  setp.eq.u32 %p0, %r5, 1;\n  mov.u32 %r1, 7;\n" +
                                              with_guard("@%p0") + store("%r1"),
                                          function),
                             32);
  for (uint32_t i = 0; i < 32; ++i) {
    CHECK(plain[i] == (i == 6 ? 66 : i / 2));
    CHECK(odd[i] == (i % 2 ? i / 2 : 7));
  }
}

TEST_CASE("recursion works, and is ended where it does not end") {
  const auto factorial = [](std::string_view stop) {
    return R"(
.func (.param .b32 result) factorial(.param .b32 n) {
  .reg .b32 %r<4>;
  .reg .pred %p;
  ld.param.u32 %r0, [n];
  mov.u32 %r1, 1;
  setp.)" + std::string(stop) +
           R"(.u32 %p, %r0, 1;
  @%p bra DONE;
  sub.u32 %r2, %r0, 1;
  {
  .param .b32 a;
  .param .b32 b;
  st.param.b32 [a], %r2;
  call.uni (b), factorial, (a);
  ld.param.b32 %r3, [b];
  }
  mul.lo.u32 %r1, %r0, %r3;
DONE:
  st.param.b32 [result], %r1;
  ret;
}
)";
  };
  const std::string body =
      "{\n  .param .b32 a;\n  .param .b32 b;\n  rem.u32 %r1, %r0, 8;\n  st.param.b32 [a], %r1;\n"
      "  call (b), factorial, (a);\n  ld.param.b32 %r1, [b];\n  }\n" +
      store("%r1");
  const auto out = run_clean(small_kernel(body, factorial("le")), 32);
  const std::vector<uint32_t> expected = {1, 1, 2, 6, 24, 120, 720, 5040};
  CHECK(std::vector(out.begin() + 8, out.begin() + 16) == expected);
  const auto endless = run_small(small_kernel(body, factorial("eq")), 4).report;
  REQUIRE(endless.findings.size() == 1);
  CHECK(endless.findings[0].kind == FindingKind::invalid_operation);
}

TEST_CASE("calls through pointers go to each lane's function") {
  const std::string functions = R"(
.func (.param .b32 r) one(.param .b32 x) { .reg .b32 %r; ld.param.u32 %r, [x]; add.u32 %r, %r, 1; st.param.b32 [r], %r; ret; }
.func (.param .b32 r) two(.param .b32 x) { .reg .b32 %r; ld.param.u32 %r, [x]; add.u32 %r, %r, 2; st.param.b32 [r], %r; ret; }
.global .align 8 .u64 table[2] = {one, two};
)";
  const auto body = [](std::string_view address) {
    return "  and.b32 %r1, %r0, 1;\n  mul.wide.u32 %d4, %r1, 8;\n  mov.u64 %d5, table;\n  add.u64 %d4, %d4, %d5;\n"
           "  ld.global.u64 %d6, [%d4];\n  {\n  .param .b32 a;\n  .param .b32 b;\n  st.param.b32 [a], %r0;\n"
           "P: .callprototype (.param .b32 _) _ (.param .b32 _);\n  call (b), " +
           std::string(address) + ", (a), P;\n  ld.param.b32 %r2, [b];\n  }\n" + store("%r2");
  };
  const auto out = run_clean(small_kernel(body("%d6"), functions), 32);
  for (uint32_t i = 0; i < 32; ++i) CHECK(out[i] == i + 1 + (i & 1));
  const auto bad = run_small(small_kernel(body("%d5"), functions), 32).report;
  REQUIRE(bad.findings.size() == 1);
  CHECK(bad.findings[0].kind == FindingKind::invalid_operation);
}

TEST_CASE("lanes come together at an instruction that names them, from where they are") {
  // On both ways of a branch the lanes wait for each other.
  const auto out = run_clean(small_kernel(R"(
  setp.lt.u32 %p0, %r0, 16;
  mov.u32 %r2, 0;
  @%p0 bra LOW;
  add.u32 %r2, %r2, 1;
  bar.warp.sync 0xffffffff;
  bra JOIN;
LOW:
  bar.warp.sync 0xffffffff;
JOIN:
  add.u32 %r2, %r2, 10;
)" + store("%r2")),
                             32);
  CHECK(out[3] == 10);
  CHECK(out[20] == 11);
}

TEST_CASE("a lane that holds a lock gets its turn while others of its warp spin") {
  Device device;
  const auto module = Module::parse(small_kernel(R"(
TRY:
  atom.global.cas.b32 %r1, [%d0], 0, 1;
  setp.ne.u32 %p0, %r1, 0;
  @%p0 bra TRY;
  ld.global.u32 %r2, [%d1];
  add.u32 %r2, %r2, 1;
  st.global.u32 [%d1], %r2;
  membar.gl;
  atom.global.exch.b32 %r3, [%d0], 0;)"),
                                    "m");
  const uint64_t lock = device.put(std::vector<uint32_t>{0}), count = device.put(std::vector<uint32_t>{0});
  device.run(module, "k", 4, 64, lock, count);
  CHECK(device.get<uint32_t>(count, 1)[0] == 256);
}

TEST_CASE("blocks that come later can wait for those before") {
  Device device;
  const auto module = Module::parse(small_kernel(R"(
  mov.u32 %r1, %ctaid.x;
WAIT:
  ld.volatile.global.u32 %r2, [%d0];
  setp.ne.u32 %p0, %r2, %r1;
  @%p0 bra WAIT;
  bar.sync 0;
  setp.eq.u32 %p1, %r0, 0;
  @%p1 atom.global.add.u32 %r3, [%d0], 1;)"),
                                    "m");
  const uint64_t turn = device.put(std::vector<uint32_t>{0});
  device.run(module, "k", 20, 32, turn, uint64_t{0});
  CHECK(device.get<uint32_t>(turn, 1)[0] == 20);
}

TEST_CASE("barriers reduce predicates over the block") {
  const auto out = run_clean(small_kernel(R"(
  setp.lt.u32 %p0, %r0, 40;
  bar.red.popc.u32 %r1, 0, %p0;
  bar.red.and.pred %p1, 0, %p0;
  bar.red.or.pred %p2, 0, %p0;
  bar.red.popc.u32 %r2, 0, !%p0;
  selp.u32 %r3, 1000, 0, %p1;
  selp.u32 %r4, 2000, 0, %p2;
  add.u32 %r1, %r1, %r3;
  add.u32 %r1, %r1, %r4;
  shl.b32 %r2, %r2, 16;
  add.u32 %r1, %r1, %r2;
)" + store("%r1")),
                             64);
  CHECK(out[0] == 2040 + (24u << 16));
  CHECK(out[63] == out[0]);
}
