// PTX that no compiler writes: it gives an Error or a finding, and neither uses up the stack nor runs for ever.
#include "tests/emulator/small_kernel.hpp"

using namespace wkv::emulator;
using test::ptx_module;
using test::run_small;
using test::small_kernel;

namespace {

std::string times(size_t count, const std::string& text) {
  std::string all;
  for (size_t i = 0; i < count; ++i) all += text;
  return all;
}

void expect_error(const std::string& text, const std::string& message) {
  CAPTURE(text.substr(0, 200));
  CHECK_THROWS_WITH(Module::parse(text, "hostile"), Catch::Contains(message));
}

void expect_unsupported(const std::string& body, const std::string& message) {
  const auto module = Module::parse(small_kernel(body), "hostile");
  CHECK_THAT(module.entry("k").unsupported, Catch::Contains(message));
}

}  // namespace

TEST_CASE("hostile PTX: nesting without end") {
  constexpr size_t kDeep = 200'000;
  for (const char* end : {"", "ret; }"}) {
    expect_error(ptx_module(".entry k() " + times(kDeep, "{") + end), "nested too deeply");
    expect_error(ptx_module(".entry k() { mov.b32 %r, " + times(kDeep, "{") + end), "nested too deeply");
    expect_error(ptx_module(".entry k() { call " + times(kDeep, "(") + end), "nested too deeply");
    expect_error(ptx_module(".entry k() { ld.b32 " + times(kDeep, "[a, ") + end), "nested too deeply");
    expect_error(ptx_module(".global .b8 g[2] = " + times(kDeep, "{") + end), "nested too deeply");
  }
  const auto module = Module::parse(small_kernel(times(100, "{") + times(100, "}")), "m");
  CHECK(module.entry("k").unsupported.empty());
}

TEST_CASE("hostile PTX: a text that ends early") {
  const std::string whole = ptx_module(R"(
.global .align 4 .b8 g[4] = {1, 2, 3, 4};
.func (.param .b32 r) f(.param .b32 x) .pragma "p"; { .pragma "nounroll"; ret; }
.entry k(.param .u64 p) .maxntid 32, 1, 1 {
  .reg .b64 %d<2>;
  types: .callprototype (.param .b32 _) _ (.param .b32 _);
  @!%p ld.global.v2.b64 {%d0, %d1}, [g+4];
  .pragma "nounroll";
  ret;
}
.section .debug_str { .b8 1 }
.pragma "end";
)");
  for (size_t length = 0; length < whole.size(); ++length) {
    try {
      Module::parse(whole.substr(0, length), "m");
    } catch (const Error& error) {
      CHECK(std::string(error.what()).find("PTX line") != std::string::npos);
    }
  }
}

TEST_CASE("hostile PTX: declarations that are too large") {
  expect_error(ptx_module(".global .b8 g[9223372036854775807];"), "more than");
  expect_error(ptx_module(".global .b64 g[2305843009213693953];"), "too many elements");
  expect_error(ptx_module(".global .b32 g[65536][65536][65536][65536];"), "too many elements");
  expect_error(ptx_module(".shared .b8 s[4294967296];"), "more than");
  expect_error(ptx_module(".entry k(.param .b8 p[8000000000]) { ret; }"), "more than");
  expect_error(ptx_module(".global .align 2147483648 .b8 g[8];"), "too large");
  expect_error(ptx_module(".entry k() {" + times(3, ".reg .b32 %r<400000>; {") + "ret; }}}}"), "too many registers");
  std::string shared;
  for (int i = 0; i < 257; ++i) shared += ".shared .b8 s" + std::to_string(i) + "[16777216];\n";
  expect_error(ptx_module(shared + ".entry k() { ret; }"), "shared memory");

  expect_unsupported(".local .b8 l[524289];", "more than 524288 bytes of local memory");
  expect_unsupported(".local .b8 l[524288]; .local .b8 m[1];", "more than 524288 bytes of local memory");
  expect_unsupported(".param .b8 p[16777216]; .param .b8 q[1];", "bytes of parameters");
}

TEST_CASE("hostile PTX: parameters and blocks beyond a device's") {
  const auto many = Module::parse(ptx_module(".entry k(.param .b8 p[32765]) { ret; }"), "m");
  Memory memory;
  const std::vector<std::byte> arguments(32765);
  Report report = launch(memory, many, "k", {}, arguments);
  REQUIRE(report.findings.size() == 1);
  CHECK(report.findings[0].kind == FindingKind::launch_limit);

  const auto wide = Module::parse(ptx_module(".entry k() .maxntid 65536, 65536, 65536 { ret; }"), "m");
  CHECK(launch(memory, wide, "k", {.block = {64, 1, 1}}, {}).findings.empty());
}

TEST_CASE("hostile PTX: recursion with large frames ends at the local memory of a thread") {
  const auto run = run_small(small_kernel("call f;", R"(
.func f() {
  .local .align 8 .b8 l[65536];
  .reg .b64 %r;
  mov.u64 %r, l;
  st.local.b64 [%r], %r;
  call f;
  ret;
}
)"),
                             32);
  REQUIRE(run.report.findings.size() == 1);
  CHECK(run.report.findings[0].kind == FindingKind::invalid_operation);
  CHECK(run.report.findings[0].text.find("local memory") != std::string::npos);
}

TEST_CASE("hostile PTX: a long chain of functions that call each other") {
  constexpr int kFunctions = 30'000;
  std::string functions = ".func f0() { ret; }\n";
  for (int i = 1; i < kFunctions; ++i) {
    functions += ".func f" + std::to_string(i) + "() { call f" + std::to_string(i - 1) + "; ret; }\n";
  }
  const std::string last = "call f" + std::to_string(kFunctions - 1) + ";";
  CHECK(Module::parse(small_kernel(last, functions), "m").entry("k").unsupported.empty());
  const auto module = Module::parse(small_kernel(last, ".func f0() { nonsense; ret; }\n" + functions.substr(20)), "m");
  CHECK_THAT(module.entry("k").unsupported, Catch::Contains("nonsense"));
}
