// cvt in the forms that nvcc emits, and moves, against results worked out from the PTX ISA.
#include <catch2/catch.hpp>
#include <cmath>

#include "tests/emulator/snippets.hpp"

using test::check_snippets;

namespace {

constexpr float kInf = INFINITY;
const float quiet = std::nanf("");
uint64_t signed64(int64_t value) { return static_cast<uint64_t>(value); }
uint32_t signed32(int32_t value) { return static_cast<uint32_t>(value); }

}  // namespace

TEST_CASE("instructions: cvt among integers") {
  check_snippets({
      {"cvt.u32.u64 %d, %a64;", {{{0x123456789abcdef0u}, 0x9abcdef0u}}},
      {"cvt.s64.s32 %d64, %a;", {{{signed32(-5)}, signed64(-5)}}},
      {"cvt.u64.u32 %d64, %a;", {{{signed32(-5)}, 0xfffffffbu}}},
      {"cvt.s32.s8 %d, %a;", {{{0x180}, signed32(-128)}}},
      {"cvt.u32.u8 %d, %a;", {{{0x180}, 0x80}}},
      {"cvt.u16.u32 %d16, %a;", {{{0x12345}, 0x2345}}},
      {"cvt.s32.s16 %d, %a16;", {{{0x8000}, signed32(-32768)}}},
      {"cvt.u16.u8 %d16, %a16;", {{{0x1ff}, 0xff}}},
      {"cvt.sat.u8.s32 %d, %a;", {{{300}, 255}, {{signed32(-1)}, 0}}},
      {"cvt.sat.s8.s32 %d, %a;", {{{signed32(-300)}, signed32(-128)}}},
      {"cvt.sat.s32.s64 %d, %a64;", {{{signed64(-1) << 40}, 0x80000000u}}},
      {"cvt.sat.u32.s32 %d, %a;", {{{signed32(-1)}, 0}}},
      {"cvt.sat.s32.u32 %d, %a;", {{{0xffffffffu}, 0x7fffffff}}},
  });
}

TEST_CASE("instructions: cvt from float to integer") {
  check_snippets({
      {"cvt.rzi.s32.f32 %d, %a;",
       {{{-2.9f}, signed32(-2)}, {{3e9f}, 0x7fffffff}, {{-3e9f}, 0x80000000u}, {{quiet}, 0}}},
      {"cvt.rni.s32.f32 %d, %a;", {{{2.5f}, 2}, {{3.5f}, 4}, {{-2.5f}, signed32(-2)}}},
      {"cvt.rmi.s32.f32 %d, %a;", {{{-2.1f}, signed32(-3)}}},
      {"cvt.rpi.s32.f32 %d, %a;", {{{2.1f}, 3}, {{-2.9f}, signed32(-2)}}},
      {"cvt.rzi.u32.f32 %d, %a;", {{{4e9f}, 4000000000u}, {{-1.5f}, 0}, {{kInf}, 0xffffffffu}}},
      {"cvt.rzi.ftz.u32.f32 %d, %a;", {{{7.9f}, 7}}},
      {"cvt.rpi.ftz.s32.f32 %d, %a;", {{{1e-40f}, 0}}},
      {"cvt.rpi.s32.f32 %d, %a;", {{{1e-40f}, 1}}},
      {"cvt.rzi.s64.f32 %d64, %a;", {{{-0x1p40f}, signed64(-(int64_t{1} << 40))}, {{quiet}, uint64_t{1} << 63}}},
      {"cvt.rzi.u64.f64 %d64, %a64;", {{{0x1p63}, uint64_t{1} << 63}, {{-1.0}, 0}}},
      {"cvt.rni.s32.f64 %d, %a64;", {{{-1.5}, signed32(-2)}, {{std::nan("")}, 0x80000000u}}},
      {"cvt.rzi.s16.f32 %d16, %a;", {{{-40000.0f}, 0x8000}}},
      {"cvt.rzi.u8.f32 %d16, %a;", {{{300.0f}, 255}}},
      {"cvt.rni.s32.f16 %d, %a16;", {{{0x4100}, 2}, {{0x7e00}, 0}}},
      {"cvt.rzi.s32.bf16 %d, %a16;", {{{0xc040}, signed32(-3)}}},
  });
}

TEST_CASE("instructions: cvt from integer to float") {
  check_snippets({
      {"cvt.rn.f32.s32 %d, %a;", {{{signed32(-3)}, -3.0f}, {{16777217}, 16777216.0f}}},
      {"cvt.rp.f32.s32 %d, %a;", {{{16777217}, 16777218.0f}}},
      {"cvt.rz.f32.u32 %d, %a;", {{{0xffffffffu}, 0x1.fffffep31f}}},
      {"cvt.rn.f32.u64 %d, %a64;", {{{~uint64_t{0}}, 0x1p64f}}},
      {"cvt.rm.f32.s64 %d, %a64;", {{{signed64(-16777217)}, -16777218.0f}}},
      {"cvt.rn.f64.s32 %d64, %a;", {{{signed32(-3)}, -3.0}}},
      {"cvt.rn.f64.u64 %d64, %a64;", {{{~uint64_t{0}}, 0x1p64}}},
      {"cvt.rn.f64.s64 %d64, %a64;", {{{signed64(-5)}, -5.0}}},
      {"cvt.rn.f16.s32 %d16, %a;", {{{2049}, 0x6800}, {{signed32(-70000)}, 0xfc00}}},
      {"cvt.rn.bf16.u32 %d16, %a;", {{{257}, 0x4380}}},
      {"cvt.rn.f32.s8 %d, %a;", {{{0xff}, -1.0f}}},
      {"cvt.rn.f32.u16 %d, %a16;", {{{0xffff}, 65535.0f}}},
  });
}

TEST_CASE("instructions: cvt among floats") {
  check_snippets({
      {"cvt.rn.f32.f64 %d, %a64;", {{{1.0 + 0x1p-24}, 1.0f}, {{1e300}, kInf}}},
      {"cvt.rp.f32.f64 %d, %a64;", {{{1.0 + 0x1p-40}, 1.0f + 0x1p-23f}}},
      {"cvt.rn.ftz.f32.f64 %d, %a64;", {{{-1e-40}, -0.0f}}},
      {"cvt.rz.sat.f32.f64 %d, %a64;", {{{1.5}, 1.0f}, {{-1.5}, 0.0f}}},
      {"cvt.f64.f32 %d64, %a;", {{{0.1f}, static_cast<double>(0.1f)}, {{0x1p-149f}, 0x1p-149}}},
      {"cvt.ftz.f64.f32 %d64, %a;", {{{0x1p-149f}, 0.0}}},
      {"cvt.rni.f32.f32 %d, %a;", {{{2.5f}, 2.0f}, {{-0.25f}, -0.0f}}},
      {"cvt.rzi.f32.f32 %d, %a;", {{{-2.9f}, -2.0f}}},
      {"cvt.rmi.f64.f64 %d64, %a64;", {{{-2.1}, -3.0}}},
      {"cvt.rpi.f16.f16 %d16, %a16;", {{{0x3c01}, 0x4000}}},
      {"cvt.sat.f32.f32 %d, %a;", {{{1.5f}, 1.0f}, {{-0.0f}, 0.0f}, {{quiet}, 0.0f}, {{0.3f}, 0.3f}}},
      {"cvt.f32.f16 %d, %a16;", {{{0x3c01}, 1.0f + 0x1p-10f}, {{0x0001}, 0x1p-24f}, {{0xfc00}, -kInf}}},
      {"cvt.f32.bf16 %d, %a16;", {{{0x3f81}, 1.0f + 0x1p-7f}}},
      {"cvt.f64.f16 %d64, %a16;", {{{0xc000}, -2.0}}},
      {"cvt.rn.f16.f32 %d16, %a;", {{{1.0f + 0x1p-11f}, 0x3c00}, {{65520.0f}, 0x7c00}, {{quiet}, 0x7fff}}},
      {"cvt.rz.f16.f32 %d16, %a;", {{{1e9f}, 0x7bff}}},
      {"cvt.rn.relu.f16.f32 %d16, %a;", {{{-1.0f}, 0}, {{1.0f}, 0x3c00}, {{quiet}, 0x7fff}}},
      {"cvt.rn.f16.f64 %d16, %a64;", {{{1.0 + 0x1p-11 + 0x1p-40}, 0x3c01}}},
      {"cvt.rn.bf16.f32 %d16, %a;", {{{1.0f + 0x1p-8f}, 0x3f80}, {{1.0f + 3 * 0x1p-8f}, 0x3f82}}},
      {"cvt.rz.bf16.f32 %d16, %a;", {{{1.0f + 3 * 0x1p-8f}, 0x3f81}}},
      {"cvt.rn.f16x2.f32 %d, %a, %b;", {{{1.0f, 2.0f}, 0x3c004000}}},
      {"cvt.rn.bf16x2.f32 %d, %a, %b;", {{{1.0f, -2.0f}, 0x3f80c000}}},
      {"cvt.rn.relu.bf16x2.f32 %d, %a, %b;", {{{1.0f, -2.0f}, 0x3f800000}}},
      {"cvt.rna.tf32.f32 %d, %a;", {{{1.0f + 0x1p-11f}, 0x3f802000}}},
      {"cvt.rn.satfinite.e4m3x2.f32 %d16, %a, %b;", {{{1.0f, 1000.0f}, 0x387e}, {{quiet, -0.0f}, 0x7f80}}},
      {"cvt.rn.satfinite.e5m2x2.f32 %d16, %a, %b;", {{{1.0f, -1e6f}, 0x3cfb}}},
      {"cvt.rn.satfinite.e4m3x2.f16x2 %d16, %a;", {{{0x3c004000}, 0x3840}}},
      {"cvt.rn.f16x2.e4m3x2 %d, %a16;", {{{0x387e}, 0x3c005f00}}},
      {"cvt.rn.f16x2.e5m2x2 %d, %a16;", {{{0x3c40}, 0x3c004000}}},
  });
}

TEST_CASE("instructions: moves, packing and unpacking") {
  check_snippets({
      {"mov.b64 %d64, {%a, %b};", {{{1, 2}, 0x200000001u}}},
      {"{ .reg .b32 %x; mov.b64 {%x, %d}, %a64; }", {{{0x200000001u}, 2}}},
      {"mov.b32 %d, {%a16, %b16};", {{{1, 2}, 0x20001}}},
      {"{ .reg .b16 %x; mov.b32 {%x, %d16}, %a; }", {{{0x20001}, 2}}},
      {"mov.b64 %d64, {%a16, %b16, %c16, %e16};", {{{1, 2, 3, 4}, 0x4000300020001u}}},
      {"mov.f32 %d, 0fBF800000;", {{{}, -1.0f}}},
      {"mov.f64 %d64, 0d3FF8000000000000;", {{{}, 1.5}}},
      {"mov.u32 %d, %laneid; sub.u32 %d, %d, %laneid;", {{{}, 0}}},
      {"mov.u32 %d, %ntid.x;", {{{}, 32}}},
      {"mov.pred %p, %pa; selp.u64 %d64, 1, 0, %p;", {{{1}, 1}, {{0}, 0}}},
  });
}
