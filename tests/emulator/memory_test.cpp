// The device's memory as host and kernels see it.
#include "tests/emulator/small_kernel.hpp"

using namespace wkv::emulator;
using test::Device;
using test::run_clean;
using test::small_kernel;

TEST_CASE("host copies must stay inside an allocation") {
  Memory memory;
  const uint64_t a = memory.allocate(100, "a"), b = memory.allocate(50, "b");
  CHECK(a % 256 == 0);
  CHECK(b % 256 == 0);
  const std::vector<uint8_t> values(100, 3);
  memory.copy_in(a, values.data(), 100);
  memory.fill(a + 10, std::byte{9}, 5);
  std::vector<uint8_t> back(100);
  memory.copy_out(back.data(), a, 100);
  CHECK(back[9] == 3);
  CHECK(back[14] == 9);
  CHECK_THROWS_WITH(memory.copy_in(a + 1, values.data(), 100), Catch::Matchers::Contains("\"a\" of 100 bytes"));
  CHECK_THROWS_AS(memory.copy_out(back.data(), b - 1, 1), Error);
  CHECK_THROWS_AS(memory.fill(0, std::byte{0}, 1), Error);
  CHECK_THROWS_AS(memory.free(a + 1), Error);
  CHECK(memory.allocated_bytes() == 150);
  memory.free(a);
  CHECK_THROWS_AS(memory.copy_out(back.data(), a, 1), Error);
  CHECK(memory.allocated_bytes() == 50);
  CHECK(memory.peak_bytes() == 150);
  memory.free(0);
}

TEST_CASE("what was written is known to the byte, and can be forgotten") {
  Memory memory;
  const uint64_t a = memory.allocate(64);
  CHECK(memory.first_unwritten(a, 64) == a);
  memory.fill(a, std::byte{1}, 20);
  CHECK(memory.first_unwritten(a, 64) == a + 20);
  memory.fill(a, std::byte{1}, 64);
  CHECK(memory.first_unwritten(a, 64) == a + 64);
  memory.forget(a + 8, 4);
  CHECK(memory.first_unwritten(a, 64) == a + 8);
  CHECK(memory.first_unwritten(a + 12, 52) == a + 64);
}

TEST_CASE("loads extend what they read to the register") {
  const auto out = run_clean(small_kernel(R"(
  mov.u32 %r1, 0x8081ff7f;
  st.global.u32 [%d3], %r1;
  ld.global.s8 %r2, [%d3];
  ld.global.s8 %r3, [%d3+1];
  ld.global.u8 %r4, [%d3+1];
  ld.global.s16 %r5, [%d3+2];
  ld.global.u16 %r6, [%d3+2];
  ld.global.s8 %h0, [%d3+3];
  cvt.s32.s16 %r7, %h0;
  ld.global.s32 %d4, [%d3];
  shr.u64 %d4, %d4, 32;
  cvt.u32.u64 %r8, %d4;
  add.u32 %r9, %r2, %r3;
  xor.b32 %r10, %r4, %r5;
  xor.b32 %r10, %r10, %r6;
  xor.b32 %r10, %r10, %r7;
  xor.b32 %r10, %r10, %r8;
  setp.eq.u32 %p0, %r0, 0;
  selp.u32 %r9, %r9, %r10, %p0;
  st.global.u32 [%d3], %r9;)"),
                             2);
  CHECK(out[0] == 0x7f - 1);
  CHECK(out[1] == (0xffu ^ 0xffff8081u ^ 0x8081u ^ 0xffffff80u ^ 0xffffffffu));
}

TEST_CASE("vectors are moved in the order of their elements") {
  const auto out = run_clean(small_kernel(R"(
  ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%d0];
  ld.global.v2.u64 {%d4, %d5}, [%d0+16];
  ld.global.v4.u8 {%h0, %h1, _, %h3}, [%d0+4];
  cvt.u32.u16 %r5, %h0;
  cvt.u32.u64 %r6, %d5;
  setp.eq.u32 %p0, %r0, 0;
  @!%p0 exit;
  st.global.v2.u32 [%d1], {%r4, %r3};
  st.global.v2.u32 [%d1+8], {%r2, %r5};
  st.global.v4.u16 [%d1+16], {%h0, %h1, %h0, %h3};
  st.global.u8 [%d1+24], %r6;)"),
                             8);
  CHECK(std::vector(out.begin(), out.begin() + 7) == std::vector<uint32_t>{3, 2, 1, 1, 1, 1, 0xde06});
}

TEST_CASE("generic addresses reach every space, also different ones in one instruction") {
  const auto out = run_clean(small_kernel(R"(
  .local .align 8 .b8 depot[8];
  mov.u64 %d4, s;
  cvta.shared.u64 %d5, %d4;
  mov.u64 %d6, depot;
  cvta.local.u64 %d7, %d6;
  setp.eq.u32 %p1, %r0, 0;
  @%p1 st.shared.u32 [s], 100;
  st.local.u32 [%d6], %r0;
  bar.sync 0;
  rem.u32 %r1, %r0, 3;
  setp.eq.u32 %p2, %r1, 1;
  setp.eq.u32 %p3, %r1, 2;
  selp.u64 %d8, %d5, %d2, %p2;
  selp.u64 %d8, %d7, %d8, %p3;
  ld.u32 %r2, [%d8];
  isspacep.shared %p4, %d8;
  isspacep.local %p5, %d8;
  isspacep.global %p6, %d8;
  @%p4 add.u32 %r2, %r2, 1000;
  @%p5 add.u32 %r2, %r2, 2000;
  @%p6 add.u32 %r2, %r2, 3000;
  cvta.to.shared.u64 %d9, %d5;
  setp.ne.u64 %p7, %d9, %d4;
  @%p7 mov.u32 %r2, 0;
  st.global.u32 [%d3], %r2;)",
                                          ".shared .align 4 .b8 s[4];\n"),
                             32);
  CHECK(out[3] == 3003);
  CHECK(out[4] == 1100);
  CHECK(out[5] == 2005);
}

TEST_CASE("variables of a module have their initial values, addresses of others among them") {
  const std::string text = small_kernel(R"(
  ld.const.u32 %r1, [numbers+8];
  ld.global.u64 %d4, [pointer];
  ld.u16 %r2, [%d4];
  ld.global.f32 %f0, [real];
  cvt.rni.u32.f32 %r3, %f0;
  ld.global.u32 %r4, [counter];
  add.u32 %r5, %r4, 1;
  st.global.u32 [counter], %r5;
  mad.lo.u32 %r1, %r2, 1000, %r1;
  mad.lo.u32 %r1, %r3, 1000000, %r1;
  mad.lo.u32 %r1, %r4, 100, %r1;
  st.global.u32 [%d3], %r1;)",
                                        ".const .align 4 .u32 numbers[4] = {1, 2, 0x3, 04};\n"
                                        ".global .align 2 .u16 halves[3] = {7, 8, 9};\n"
                                        ".global .align 8 .u64 pointer = generic(halves)+2;\n"
                                        ".global .align 4 .f32 real = 0f40a00000;\n.global .u32 counter;\n");
  const auto module = Module::parse(text, "m");
  Device device;
  const uint64_t out = device.room_for<uint32_t>(1);
  device.run(module, "k", 1, 1, out, out);
  CHECK(device.get<uint32_t>(out, 1)[0] == 5008003);
  device.run(module, "k", 1, 1, out, out);
  CHECK(device.get<uint32_t>(out, 1)[0] == 5008103);  // variables keep their values from launch to launch
  const uint32_t nine = 9;
  device.memory.copy_in(device.memory.symbol(module, "counter"), &nine, 4);
  device.run(module, "k", 1, 1, out, out);
  CHECK(device.get<uint32_t>(out, 1)[0] == 5008903);
  CHECK_THROWS_AS(device.memory.symbol(module, "none"), Error);
}

TEST_CASE("static and dynamic shared memory do not overlap, and are counted") {
  const std::string text = small_kernel(R"(
  st.shared.u32 [a], 1;
  st.shared.u32 [b], 2;
  st.shared.u32 [dynamic], 3;
  st.shared.u32 [dynamic+60], 4;
  ld.shared.u32 %r1, [a];
  ld.shared.u32 %r2, [b];
  mad.lo.u32 %r1, %r2, 10, %r1;
  ld.shared.u32 %r2, [dynamic];
  mad.lo.u32 %r1, %r2, 100, %r1;
  mov.u32 %r3, %dynamic_smem_size;
  mad.lo.u32 %r1, %r3, 1000, %r1;
  st.global.u32 [%d3], %r1;)",
                                        ".shared .align 4 .b8 a[100];\n.shared .align 8 .b8 b[4];\n"
                                        ".extern .shared .align 16 .b8 dynamic[];\n");
  const auto module = Module::parse(text, "m");
  CHECK(module.entry("k").static_shared_bytes == 108);
  Device device;
  const uint64_t out = device.room_for<uint32_t>(1);
  std::vector<std::byte> arguments(16);
  std::memcpy(arguments.data() + 8, &out, 8);
  CHECK(launch(device.memory, module, "k", {.dynamic_shared_bytes = 64}, arguments).findings.empty());
  CHECK(device.get<uint32_t>(out, 1)[0] == 64321);
  CHECK(launch(device.memory, module, "k", {.dynamic_shared_bytes = 60}, arguments).findings.size() == 1);
}

TEST_CASE("special registers tell where a thread is") {
  const auto module = Module::parse(small_kernel(R"(
  mov.u32 %r1, %tid.y;
  mov.u32 %r2, %tid.z;
  mov.u32 %r3, %ntid.x;
  mov.u32 %r4, %ntid.y;
  mad.lo.u32 %r5, %r2, %r4, %r1;
  mad.lo.u32 %r5, %r5, %r3, %r0;
  mov.u32 %r6, %ctaid.x;
  mov.u32 %r7, %ctaid.y;
  mov.u32 %r8, %nctaid.x;
  mad.lo.u32 %r6, %r7, %r8, %r6;
  mad.lo.u32 %r7, %r6, 48, %r5;
  mov.u32 %r9, %laneid;
  mov.u32 %r10, %warpid;
  mad.lo.u32 %r9, %r10, 32, %r9;
  setp.ne.u32 %p0, %r9, %r5;
  mov.u32 %r11, %lanemask_lt;
  popc.b32 %r11, %r11;
  and.b32 %r12, %r5, 31;
  setp.ne.or.u32 %p0, %r11, %r12, %p0;
  selp.u32 %r13, 0, %r7, %p0;
  mad.wide.u32 %d4, %r7, 4, %d1;
  st.global.u32 [%d4], %r13;)"),
                                    "m");
  Device device;
  const uint64_t out = device.room_for<uint32_t>(288);
  std::vector<std::byte> arguments(16);
  std::memcpy(arguments.data() + 8, &out, 8);
  const Report report = launch(device.memory, module, "k", {.grid = {3, 2, 1}, .block = {4, 3, 4}}, arguments);
  CHECK(report.findings.empty());
  const auto values = device.get<uint32_t>(out, 288);
  for (uint32_t i = 0; i < 288; ++i) CHECK(values[i] == i);
}
