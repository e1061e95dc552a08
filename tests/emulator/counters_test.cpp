// Counters against what is worked out by hand.
#include "tests/emulator/small_kernel.hpp"

using namespace wkv::emulator;
using test::Device;
using test::run_small;
using test::small_kernel;

namespace {

Counters count(const std::string& text, uint32_t threads, uint32_t blocks = 1) {
  const Report report = run_small(text, threads, blocks).report;
  for (const Finding& finding : report.findings) UNSCOPED_INFO(finding.message());
  CHECK(report.findings.empty());
  return report.counters;
}

uint64_t warps_of(const Counters& counters, InstructionClass what) {
  return counters.warp_instructions[static_cast<size_t>(what)];
}
uint64_t lanes_of(const Counters& counters, InstructionClass what) {
  return counters.lane_instructions[static_cast<size_t>(what)];
}

// Sectors of one warp's load of `bytes` at in + stride * lane + offset, on an allocation that is large enough.
Counters load_with(uint32_t bytes, uint32_t stride, uint32_t offset) {
  Device device;
  const std::string load = bytes == 16  ? "ld.global.v4.f32 {%f0, %f1, %f2, %f3}, [%d4];"
                           : bytes == 8 ? "ld.global.f64 %e0, [%d4];"
                           : bytes == 4 ? "ld.global.f32 %f0, [%d4];"
                                        : "ld.global.u8 %h0, [%d4];";
  const auto module =
      Module::parse(small_kernel("  mad.wide.u32 %d4, %r0, " + std::to_string(stride) + ", %d0;\n  add.s64 %d4, %d4, " +
                                 std::to_string(offset) + ";\n  " + load),
                    "m");
  return device.run(module, "k", 1, 32, device.put(std::vector<uint8_t>(8192)), uint64_t{0});
}

// Wavefronts of one warp's load of `bytes` from shared memory at stride * lane.
Counters shared_with(uint32_t bytes, uint32_t stride, bool store = false) {
  const std::string access = bytes == 16  ? ".shared.v4.f32 "
                             : bytes == 8 ? ".shared.f64 "
                             : bytes == 4 ? ".shared.f32 "
                                          : ".shared.u16 ";
  const std::string registers = bytes == 16 ? "{%f0, %f1, %f2, %f3}" : bytes == 8 ? "%e0" : bytes == 4 ? "%f0" : "%h0";
  const std::string text = small_kernel(
      "  mov.u32 %r2, s;\n  mad.lo.u32 %r2, %r0, " + std::to_string(stride) + ", %r2;\n" +
          (store ? "  st" + access + "[%r2], " + registers + ";" : "  ld" + access + registers + ", [%r2];"),
      ".shared .align 16 .b8 s[8192];\n");
  Device device;
  const auto module = Module::parse(text, "m");
  std::vector<std::byte> arguments(16);
  return launch(device.memory, module, "k", {.block = {32, 1, 1}}, arguments, {.check = false}).counters;
}

}  // namespace

TEST_CASE("instructions are counted by class, for warps and for lanes") {
  const Counters counters = count(small_kernel(R"(
  setp.lt.u32 %p0, %r0, 40;
  cvt.rn.f32.u32 %f0, %r0;
  @%p0 fma.rn.f32 %f1, %f0, %f0, %f0;
  add.f32 %f2, %f0, %f0;
  add.f64 %e0, %e1, %e1;
  ex2.approx.f32 %f3, %f0;
  mul.f16 %h0, %h1, %h2;
  add.u32 %r1, %r0, %r0;
  shfl.sync.bfly.b32 %r2, %r0, 1, 31, 0xffffffff;
  bar.sync 0;
  st.global.f32 [%d3], %f2;)"),
                                  64);
  CHECK(warps_of(counters, InstructionClass::fp32) == 4);
  CHECK(lanes_of(counters, InstructionClass::fp32) == 64 + 40);
  CHECK(warps_of(counters, InstructionClass::fp64) == 2);
  CHECK(warps_of(counters, InstructionClass::fp16) == 2);
  CHECK(warps_of(counters, InstructionClass::special) == 2);
  CHECK(warps_of(counters, InstructionClass::conversion) == 2);
  CHECK(warps_of(counters, InstructionClass::integer) == 2 * (2 + 2));  // two are the prelude's mad.wide
  CHECK(warps_of(counters, InstructionClass::move) == 2);
  CHECK(warps_of(counters, InstructionClass::parameter) == 4);
  CHECK(warps_of(counters, InstructionClass::shuffle) == 2);
  CHECK(warps_of(counters, InstructionClass::barrier) == 2);
  CHECK(warps_of(counters, InstructionClass::global) == 2);
  CHECK(warps_of(counters, InstructionClass::control) == 2);
  CHECK(counters.total_warp_instructions() == 2 * 17);
  CHECK(counters.total_lane_instructions() == 64 * 17 - 24);
  CHECK(counters.flops == 40 * 2 + 64 + 64 + 64);
  CHECK(counters.barriers == 1);
  CHECK(counters.blocks == 1);
  CHECK(counters.warps == 2);
}

TEST_CASE("global sectors and bytes show how accesses coalesce") {
  struct Case {
    uint32_t bytes, stride, offset, sectors;
  };
  for (const Case& c : {Case{4, 4, 0, 4}, Case{4, 4, 16, 5}, Case{4, 8, 0, 8}, Case{4, 32, 0, 32}, Case{4, 64, 4, 32},
                        Case{4, 0, 0, 1}, Case{16, 16, 0, 16}, Case{16, 32, 0, 32}, Case{8, 8, 0, 8}, Case{1, 1, 0, 1},
                        Case{1, 1, 31, 2}, Case{1, 3, 0, 3}}) {
    CAPTURE(c.bytes, c.stride, c.offset);
    const Counters counters = load_with(c.bytes, c.stride, c.offset);
    CHECK(counters.global_load_sectors == c.sectors);
    CHECK(counters.global_load_bytes == 32 * c.bytes);
    CHECK(counters.global_load_requests == 1);
    CHECK(counters.global_store_sectors == 0);
  }
  const Counters stores = count(small_kernel("  setp.ge.u32 %p0, %r0, 12;\n  @%p0 st.global.u32 [%d3], %r0;"), 48, 10);
  CHECK(stores.global_store_requests == 20);
  CHECK(stores.global_store_sectors == 10 * (3 + 2));
  CHECK(stores.global_store_bytes == 10 * 36 * 4);
}

TEST_CASE("shared wavefronts and bank conflicts follow 32 banks of 4 bytes") {
  struct Case {
    uint32_t bytes, stride, wavefronts, conflicts;
  };
  // 128-bit accesses at a stride of 32 bytes: 8 lanes of a quarter warp touch 4 banks of 8, twice each.
  for (const Case& c : {Case{4, 4, 1, 0}, Case{4, 0, 1, 0}, Case{4, 8, 2, 1}, Case{4, 128, 32, 31}, Case{4, 132, 1, 0},
                        Case{4, 64, 16, 15}, Case{2, 2, 1, 0}, Case{2, 4, 1, 0}, Case{8, 8, 2, 0}, Case{8, 16, 4, 2},
                        Case{8, 0, 2, 0}, Case{16, 16, 4, 0}, Case{16, 32, 8, 4}, Case{16, 0, 4, 0}}) {
    CAPTURE(c.bytes, c.stride);
    const Counters loads = shared_with(c.bytes, c.stride), stores = shared_with(c.bytes, c.stride, true);
    CHECK(loads.shared_load_wavefronts == c.wavefronts);
    CHECK(loads.shared_load_conflicts == c.conflicts);
    CHECK(loads.shared_load_bytes == 32 * c.bytes);
    CHECK(stores.shared_store_wavefronts == c.wavefronts);
    CHECK(stores.shared_store_conflicts == c.conflicts);
  }
}

TEST_CASE("asynchronous copies count as reads of global and writes of shared memory") {
  const Counters counters = count(small_kernel("  mov.u32 %r1, s;\n  shl.b32 %r2, %r0, 2;\n  add.u32 %r1, %r1, %r2;\n"
                                               "  cp.async.ca.shared.global [%r1], [%d2], 4;\n  cp.async.wait_all;",
                                               ".shared .align 16 .b8 s[1024];\n"),
                                  64);
  CHECK(counters.global_load_sectors == 8);
  CHECK(counters.global_load_bytes == 256);
  CHECK(counters.shared_store_wavefronts == 2);
  CHECK(counters.shared_store_bytes == 256);
  CHECK(warps_of(counters, InstructionClass::async_copy) == 4);
}

TEST_CASE("atomics are counted apart") {
  const Counters counters = count(small_kernel("  atom.global.add.u32 %r1, [%d2], 1;"), 32);
  CHECK(counters.global_atomic_sectors == 4);
  CHECK(counters.global_atomic_bytes == 128);
  CHECK(counters.global_load_sectors == 0);
  CHECK(counters.global_store_sectors == 0);
}

TEST_CASE("branches and those that part a warp are counted") {
  const Counters counters = count(small_kernel(R"(
  setp.lt.u32 %p0, %r0, 32;
  @%p0 bra A;
A:
  setp.lt.u32 %p1, %r0, 40;
  @%p1 bra B;
  mov.u32 %r1, 0;
B:
)"),
                                  64);
  CHECK(counters.branches == 4);
  CHECK(counters.divergent_branches == 1);
}

TEST_CASE("generic accesses count where they went") {
  const Counters counters = count(small_kernel(R"(
  mov.u64 %d4, s;
  cvta.shared.u64 %d5, %d4;
  st.u32 [%d5], 1;
  ld.u32 %r1, [%d2];)",
                                               ".shared .align 16 .b8 s[16];\n"),
                                  32);
  CHECK(warps_of(counters, InstructionClass::shared) == 1);
  CHECK(warps_of(counters, InstructionClass::global) == 1);
  CHECK(lanes_of(counters, InstructionClass::shared) == 32);
  CHECK(counters.shared_store_wavefronts == 1);
  CHECK(counters.global_load_sectors == 4);
}

TEST_CASE("counters are the same in every run and with any number of threads") {
  Device device;
  const auto module = Module::parse(small_kernel(R"(
  mov.u32 %r1, %ctaid.x;
  rem.u32 %r2, %r1, 7;
LOOP:
  add.u32 %r3, %r3, %r0;
  sub.u32 %r2, %r2, 1;
  setp.gt.s32 %p0, %r2, 0;
  @%p0 bra LOOP;
  st.global.u32 [%d3], %r3;)"),
                                    "m");
  const uint64_t in = device.put(std::vector<uint32_t>(96)), out = device.put(std::vector<uint32_t>(96));
  std::vector<std::byte> arguments(16);
  std::memcpy(arguments.data(), &in, 8);
  std::memcpy(arguments.data() + 8, &out, 8);
  const auto with_threads = [&](int threads) {
    return launch(device.memory, module, "k", {.grid = {50, 1, 1}, .block = {96, 1, 1}}, arguments,
                  {.threads = threads})
        .counters;
  };
  const Counters one = with_threads(1);
  CHECK(one.total_warp_instructions() > 0);
  for (int i = 0; i < 5; ++i) CHECK(with_threads(4) == one);
}
