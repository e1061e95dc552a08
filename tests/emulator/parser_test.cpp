// What the parser makes of PTX text, and how it says that it cannot.
#include "tests/emulator/small_kernel.hpp"

using namespace wkv::emulator;
using Catch::Matchers::Contains;
using test::Device;
using test::ptx_module;
using test::run_clean;
using test::small_kernel;

namespace {

std::string error_of(const std::string& text) {
  try {
    Module::parse(text, "file.ptx");
  } catch (const Error& error) {
    return error.what();
  }
  return "none";
}

}  // namespace

TEST_CASE("an entry's facts are read from its text") {
  const auto module = Module::parse(ptx_module(R"(
.visible .entry first(
  .param .u32 first_param_0,
  .param .u64 .ptr .global .align 16 first_param_1,
  .param .align 4 .b8 first_param_2[12],
  .param .u8 first_param_3
)
.maxntid 128, 2, 1
.minnctapersm 2
{
  .reg .pred %p<3>;
  .reg .b16 %rs<2>;
  .reg .b32 %r<5>;
  .reg .f32 %f<4>;
  .reg .b64 %rd<6>;
  .local .align 16 .b8 __local_depot0[40];
  .shared .align 4 .b8 buffer[100];
  mov.u32 %r0, 1;
  ret;
}
.entry second() { ret; }
)"),
                                    "m");
  REQUIRE(module.entries().size() == 2);
  const Entry& entry = module.entry("first");
  REQUIRE(entry.parameters.size() == 4);
  CHECK(entry.parameters[1].offset == 8);
  CHECK(entry.parameters[2].offset == 16);
  CHECK(entry.parameters[2].size == 12);
  CHECK(entry.parameters[3].offset == 28);
  CHECK(entry.parameter_bytes == 29);
  CHECK(entry.max_block == std::array<uint32_t, 3>{128, 2, 1});
  CHECK(entry.static_shared_bytes == 100);
  CHECK(entry.local_bytes == 48);
  CHECK(entry.predicates == 3);
  CHECK(entry.registers16 == 2);
  CHECK(entry.registers32 == 9);
  CHECK(entry.registers64 == 6);
  CHECK(entry.instructions == 2);
  CHECK(entry.unsupported.empty());
  CHECK(module.contains("second"));
  CHECK_FALSE(module.contains("third"));
  CHECK_THROWS_WITH(module.entry("third"), Contains("no entry \"third\"; there are: first, second"));
}

TEST_CASE("syntax errors name file, line and what was found") {
  CHECK_THAT(error_of(ptx_module("\n\n.entry k() { add.u32 %r1, ; }")), Contains("file.ptx: PTX line 6"));
  CHECK_THAT(error_of(ptx_module("\n\n.entry k() { add.u32 %r1, ; }")), Contains("found \";\""));
  CHECK_THAT(error_of(ptx_module(".entry k() { ret;")), Contains("found \"the end of the text\""));
  CHECK_THAT(error_of(ptx_module(".entry k() { .reg .b32 %r; .reg .b32 %r; }")), Contains("\"%r\" is declared twice"));
  CHECK_THAT(error_of(ptx_module(".entry k() { .reg .b33 %r; }")), Contains("expected a type"));
  CHECK_THAT(error_of(ptx_module(".blob x;")), Contains("unknown directive \".blob\""));
  CHECK_THAT(error_of(ptx_module("/* no end")), Contains("a comment does not end"));
  CHECK_THAT(error_of(ptx_module(".file 1 \"no end")), Contains("a string does not end"));
  CHECK_THAT(error_of(ptx_module(".entry k() { ret; }\n.entry k() { ret; }")), Contains("\"k\" is defined twice"));
  CHECK_THAT(error_of(ptx_module(".global .u32 x = 0x;")), Contains("is not a number"));
  CHECK_THAT(error_of(ptx_module(".global .u32 x[1] = {1, 2};")), Contains("more initial values"));
  CHECK_THAT(error_of(ptx_module(".global .u64 x = y;")), Contains("\"y\", which is not declared"));
  CHECK_THAT(error_of(".version 9.0\n.target sm_80\n.address_size 32\n"), Contains("PTX line 3"));
}

TEST_CASE("instructions that are not covered stop their entry only, with name and line") {
  Device device;
  const auto launch_of = [&](const std::string& text) {
    const auto module = Module::parse(text, "file.ptx");
    device.launch(module, "k", 1, 1, uint64_t{0}, uint64_t{0});
  };
  const std::string unknown = small_kernel("  frobnicate.u32 %r1, %r2;  // BUG", ".entry good() { ret; }\n");
  const auto line = std::to_string(test::line_of(unknown, "// BUG"));
  CHECK_THROWS_WITH(launch_of(unknown),
                    Contains("PTX line " + line) && Contains("frobnicate.u32: unknown instruction"));
  const auto module = Module::parse(unknown, "file.ptx");
  CHECK(module.entry("good").unsupported.empty());
  CHECK(device.launch(module, "good", 1, 1).findings.empty());
  CHECK_THROWS_WITH(launch_of(small_kernel("  add.strange.u32 %r1, %r2, %r3;")),
                    Contains("\".strange\" is not covered"));
  CHECK_THROWS_WITH(launch_of(small_kernel("  add.u32 %r1, %r2;")), Contains("operands"));
  CHECK_THROWS_WITH(launch_of(small_kernel("  add.u32 %r1, %r2, %d1;")), Contains("\"%d1\" does not have 32 bits"));
  CHECK_THROWS_WITH(launch_of(small_kernel("  add.u32 %r1, %r2, %x;")), Contains("\"%x\" is not declared"));
  CHECK_THROWS_WITH(launch_of(small_kernel("  bra NOWHERE;")), Contains("\"NOWHERE\" is no label"));
  CHECK_THROWS_WITH(launch_of(small_kernel("  call other, ();", ".extern .func other();\n")), Contains("has no body"));
  const std::string in_function = small_kernel("  call other, ();", ".func other() { frobnicate; ret; }\n");
  CHECK_THROWS_WITH(launch_of(in_function), Contains("in other: frobnicate"));
}

TEST_CASE("registers and labels have scopes") {
  const std::string scope = R"({
  .reg .b32 %x;
  .reg .pred %q;
  mov.u32 %x, 0;
AGAIN:
  add.u32 %x, %x, 1;
  setp.lt.u32 %q, %x, N;
  @%q bra AGAIN;
  add.u32 %r1, %r1, %x;
}
)";
  const auto with = [&](const std::string& n) {
    std::string text = scope;
    text.replace(text.find(", N"), 3, ", " + n);
    return text;
  };
  const auto out =
      run_clean(small_kernel("  mov.u32 %r1, 0;\n" + with("3") + with("%r0") + "  st.global.u32 [%d3], %r1;"), 8);
  CHECK(out[0] == 4);
  CHECK(out[7] == 10);
}

TEST_CASE("numbers in all their forms") {
  const auto out = run_clean(small_kernel(R"(
  /* a comment
     over lines */ mov.u32 %r1, 0x10;
  add.u32 %r1, %r1, 010;        // octal
  add.u32 %r1, %r1, 0b101U;
  add.u32 %r1, %r1, -1;
  mov.f32 %f0, 0f40400000;
  add.f32 %f0, %f0, 1.5;
  mov.f64 %e0, 0d4000000000000000;
  cvt.rn.f32.f64 %f1, %e0;
  mul.f32 %f0, %f0, %f1;
  cvt.rzi.u32.f32 %r2, %f0;
  mad.lo.u32 %r1, %r2, 100, %r1;
  mov.u32 %r3, WARP_SZ;
  mad.lo.u32 %r1, %r3, 10000, %r1;
  st.global.u32 [%d3], %r1;)"),
                             1);
  CHECK(out[0] == 320000 + 900 + 16 + 8 + 5 - 1);
}

TEST_CASE("debug sections and line information are skipped or kept") {
  const auto module = Module::parse(ptx_module(R"(
.file 1 "a.cu", 123, 456
.entry k() {
  .loc 1 3 5
  .pragma "nounroll";
  ret;
  .loc 1 4 1, function_name $L__info_string0, inlined_at 1 5 9
  ret;
}
.section .debug_str {
$L__info_string0:
.b8 95,90,0
}
)"),
                                    "m");
  CHECK(module.entry("k").instructions == 2);
}
