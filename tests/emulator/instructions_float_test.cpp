// Floating-point instructions, each against results worked out from the PTX ISA and IEEE 754.
#include <catch2/catch.hpp>
#include <cmath>

#include "tests/emulator/snippets.hpp"

using test::check_snippets;

namespace {

constexpr uint32_t kNan = 0x7fffffff;
constexpr float kInf = INFINITY, kTiny = 0x1p-149f, kSmallest = 0x1p-126f, kEps = 0x1p-23f;
const float quiet = std::nanf("");

}  // namespace

TEST_CASE("instructions: fp32 arithmetic") {
  check_snippets({
      {"add.f32 %d, %a, %b;", {{{1.5f, 2.25f}, 3.75f}, {{kInf, -kInf}, kNan}, {{1.0f, 0x1p-24f}, 1.0f}}},
      {"add.rp.f32 %d, %a, %b;", {{{1.0f, 0x1p-60f}, 1.0f + kEps}}},
      {"add.rm.f32 %d, %a, %b;", {{{1.0f, -1.0f}, -0.0f}, {{1.0f, -0x1p-60f}, 1.0f - 0x1p-24f}}},
      {"add.rz.f32 %d, %a, %b;",
       {{{-1.0f, 0x1p-60f}, -1.0f + 0x1p-24f}, {{0x1.fffffep127f, 0x1p127f}, 0x1.fffffep127f}}},
      {"add.ftz.f32 %d, %a, %b;", {{{kTiny, kSmallest}, kSmallest}, {{-kTiny, -kTiny}, -0.0f}}},
      {"add.sat.f32 %d, %a, %b;", {{{1.0f, 1.0f}, 1.0f}, {{-3.0f, 1.0f}, 0.0f}, {{quiet, 1.0f}, 0.0f}}},
      {"sub.f32 %d, %a, %b;", {{{1.0f, 0.25f}, 0.75f}}},
      {"sub.rz.ftz.sat.f32 %d, %a, %b;", {{{1.0f, 0.25f}, 0.75f}}},
      {"mul.f32 %d, %a, %b;", {{{kTiny, 2.0f}, 2 * kTiny}, {{0.0f, kInf}, kNan}}},
      {"mul.ftz.f32 %d, %a, %b;", {{{kTiny, 0x1p100f}, 0.0f}, {{kSmallest, 0.5f}, 0.0f}}},
      {"mul.rp.f32 %d, %a, %b;", {{{1.0f + kEps, 1.0f + kEps}, 1.0f + 3 * kEps}}},
      {"mul.rn.f32 %d, %a, %b;", {{{1.0f + kEps, 1.0f + kEps}, 1.0f + 2 * kEps}}},
      {"fma.rn.f32 %d, %a, %b, %c;",
       {{{1.0f + kEps, 1.0f + kEps, -1.0f - 2 * kEps}, kEps * kEps}, {{2.0f, 3.0f, 4.0f}, 10.0f}}},
      {"fma.rz.f32 %d, %a, %b, %c;", {{{1.0f, 1.0f, -0x1p-60f}, 1.0f - 0x1p-24f}}},
      {"fma.rm.f32 %d, %a, %b, %c;", {{{-1.0f, 1.0f, -0x1p-60f}, -1.0f - kEps}}},
      {"fma.rp.f32 %d, %a, %b, %c;", {{{1.0f, 1.0f, 0x1p-60f}, 1.0f + kEps}}},
      {"fma.rn.ftz.sat.f32 %d, %a, %b, %c;", {{{2.0f, 3.0f, -5.5f}, 0.5f}, {{2.0f, 3.0f, 4.0f}, 1.0f}}},
      {"mad.rn.f32 %d, %a, %b, %c;", {{{2.0f, 3.0f, 4.0f}, 10.0f}}},
      {"div.rn.f32 %d, %a, %b;", {{{1.0f, 3.0f}, 0x1.555556p-2f}, {{1.0f, 0.0f}, kInf}}},
      {"div.rz.f32 %d, %a, %b;", {{{1.0f, 3.0f}, 0x1.555554p-2f}}},
      {"div.rm.f32 %d, %a, %b;", {{{-1.0f, 3.0f}, -0x1.555556p-2f}}},
      {"div.rp.f32 %d, %a, %b;", {{{2.0f, 3.0f}, 0x1.555556p-1f}}},
      {"div.full.f32 %d, %a, %b;", {{{7.0f, 2.0f}, 3.5f}, {{0x1p127f, 0x1p127f}, 1.0f}}},
      {"div.approx.f32 %d, %a, %b;", {{{7.0f, 2.0f}, 3.5f}, {{1.0f, 0x1p127f}, 0.0f}, {{kInf, 0x1p127f}, kNan}}},
      {"div.approx.ftz.f32 %d, %a, %b;", {{{1.0f, kTiny}, kInf}}},
      {"abs.f32 %d, %a;", {{{-2.0f}, 2.0f}, {{-0.0f}, 0.0f}}},
      {"neg.f32 %d, %a;", {{{2.0f}, -2.0f}, {{0.0f}, -0.0f}}},
      {"neg.ftz.f32 %d, %a;", {{{kTiny}, -0.0f}}},
      {"copysign.f32 %d, %a, %b;", {{{-1.0f, 3.0f}, -3.0f}, {{1.0f, -3.0f}, 3.0f}}},
      {"min.f32 %d, %a, %b;", {{{1.0f, quiet}, 1.0f}, {{0.0f, -0.0f}, -0.0f}, {{quiet, quiet}, kNan}}},
      {"max.f32 %d, %a, %b;", {{{-0.0f, 0.0f}, 0.0f}, {{-3.0f, -2.0f}, -2.0f}}},
      {"max.NaN.f32 %d, %a, %b;", {{{1.0f, quiet}, kNan}}},
      {"min.xorsign.abs.f32 %d, %a, %b;", {{{-3.0f, 2.0f}, -2.0f}, {{-3.0f, -5.0f}, 3.0f}}},
      {"max.ftz.f32 %d, %a, %b;", {{{kTiny, -1.0f}, 0.0f}}},
  });
}

TEST_CASE("instructions: special functions") {
  check_snippets({
      {"rcp.rn.f32 %d, %a;", {{{3.0f}, 0x1.555556p-2f}, {{-0.0f}, -kInf}, {{-kInf}, -0.0f}}},
      {"rcp.rz.f32 %d, %a;", {{{3.0f}, 0x1.555554p-2f}}},
      {"rcp.approx.f32 %d, %a;", {{{4.0f}, 0.25f}, {{0x1p127f}, 0x1p-127f}}},
      {"rcp.approx.ftz.f32 %d, %a;", {{{0x1p127f}, 0.0f}, {{-kTiny}, -kInf}}},
      {"sqrt.rn.f32 %d, %a;", {{{2.0f}, 0x1.6a09e6p0f}, {{-1.0f}, kNan}, {{-0.0f}, -0.0f}}},
      {"sqrt.rp.f32 %d, %a;", {{{2.0f}, 0x1.6a09e8p0f}}},
      {"sqrt.approx.f32 %d, %a;", {{{9.0f}, 3.0f}, {{kInf}, kInf}}},
      {"rsqrt.approx.f32 %d, %a;", {{{4.0f}, 0.5f}, {{0.0f}, kInf}, {{-0.0f}, -kInf}, {{-1.0f}, kNan}, {{kInf}, 0.0f}}},
      {"rsqrt.approx.ftz.f32 %d, %a;", {{{kTiny}, kInf}}},
      {"ex2.approx.f32 %d, %a;",
       {{{3.0f}, 8.0f}, {{-kInf}, 0.0f}, {{kInf}, kInf}, {{-149.0f}, kTiny}, {{quiet}, kNan}}},
      {"ex2.approx.ftz.f32 %d, %a;", {{{-127.0f}, 0.0f}, {{kTiny}, 1.0f}, {{-0.5f}, 0x1.6a09e6p-1f}}},
      {"lg2.approx.f32 %d, %a;",
       {{{8.0f}, 3.0f}, {{0.0f}, -kInf}, {{-1.0f}, kNan}, {{kTiny}, -149.0f}, {{kInf}, kInf}}},
      {"lg2.approx.ftz.f32 %d, %a;", {{{kTiny}, -kInf}}},
      {"sin.approx.f32 %d, %a;", {{{0.5f}, 0x1.eaee88p-2f}, {{kInf}, kNan}, {{-0.0f}, -0.0f}}},
      {"cos.approx.f32 %d, %a;", {{{0.5f}, 0x1.c1528p-1f}, {{0.0f}, 1.0f}}},
      {"tanh.approx.f32 %d, %a;", {{{0.5f}, 0x1.d9353ep-2f}, {{kInf}, 1.0f}, {{-kInf}, -1.0f}}},
      {"rcp.rn.f64 %d64, %a64;", {{{3.0}, 1 / 3.0}}},
      {"rcp.approx.ftz.f64 %d64, %a64;", {{{4.0}, 0.25}, {{-0.0}, static_cast<double>(-kInf)}}},
      {"rsqrt.approx.ftz.f64 %d64, %a64;", {{{4.0}, 0.5}}},
      {"rsqrt.approx.f64 %d64, %a64;", {{{3.0}, 1 / std::sqrt(3.0)}}},
      {"sqrt.rn.f64 %d64, %a64;", {{{2.0}, 0x1.6a09e667f3bcdp0}}},
      {"sqrt.rz.f64 %d64, %a64;", {{{2.0}, 0x1.6a09e667f3bccp0}}},
  });
}

TEST_CASE("instructions: fp64 arithmetic") {
  check_snippets({
      {"add.f64 %d64, %a64, %b64;", {{{1.5, 2.25}, 3.75}}},
      {"add.rp.f64 %d64, %a64, %b64;", {{{1.0, 0x1p-100}, 1.0 + 0x1p-52}}},
      {"sub.rz.f64 %d64, %a64, %b64;", {{{1.0, 0x1p-100}, 1.0 - 0x1p-53}}},
      {"mul.rm.f64 %d64, %a64, %b64;", {{{1.0 + 0x1p-52, 1.0 + 0x1p-52}, 1.0 + 0x1p-51}}},
      {"fma.rn.f64 %d64, %a64, %b64, %c64;", {{{1.0 + 0x1p-52, 1.0 + 0x1p-52, -1.0 - 0x1p-51}, 0x1p-104}}},
      {"fma.rp.f64 %d64, %a64, %b64, %c64;", {{{1.0, 1.0, 0x1p-100}, 1.0 + 0x1p-52}}},
      {"div.rn.f64 %d64, %a64, %b64;", {{{1.0, 3.0}, 1 / 3.0}}},
      {"div.rp.f64 %d64, %a64, %b64;", {{{1.0, 3.0}, std::nextafter(1 / 3.0, 1)}}},
      {"min.f64 %d64, %a64, %b64;", {{{-1.0, 2.0}, -1.0}, {{0.0, -0.0}, -0.0}}},
      {"abs.f64 %d64, %a64;", {{{-2.0}, 2.0}}},
      {"neg.f64 %d64, %a64;", {{{-2.0}, 2.0}}},
      {"copysign.f64 %d64, %a64, %b64;", {{{-1.0, 3.0}, -3.0}}},
      {"setp.lt.f64 %p, %a64, %b64;", {{{-1.0, 2.0}, 1}, {{std::nan(""), 2.0}, 0}}},
      {"testp.subnormal.f64 %p, %a64;", {{{4e-320}, 1}, {{1.0}, 0}}},
  });
}

TEST_CASE("instructions: fp16 and bf16") {
  // 0x3c00 is 1, 0x4000 2, 0x4200 3, 0x3800 0.5, 0xbc00 -1 in fp16; 0x3f80, 0x4000, 0x4040, 0x3f00, 0xbf80 in bf16.
  check_snippets({
      {"add.f16 %d16, %a16, %b16;", {{{0x3c00, 0x4000}, 0x4200}, {{0x7c00, 0xfc00}, 0x7fff}}},
      {"add.rn.f16x2 %d, %a, %b;", {{{0x3c004000, 0x40003c00}, 0x42004200}, {{0x00013c00, 0x00013c00}, 0x00024000}}},
      {"add.ftz.f16x2 %d, %a, %b;", {{{0x0001bc00u, 0x04003c00}, 0x04000000}}},
      {"add.sat.f16 %d16, %a16, %b16;", {{{0x3c00, 0x4000}, 0x3c00}, {{0xbc00, 0x3800}, 0}}},
      {"sub.f16x2 %d, %a, %b;", {{{0x42004200, 0x3c004000}, 0x40003c00}}},
      {"mul.f16x2 %d, %a, %b;", {{{0x40004200, 0x38003c00}, 0x3c004200}}},
      {"fma.rn.f16 %d16, %a16, %b16, %c16;", {{{0x4000, 0x3800, 0x4000}, 0x4200}, {{0x3c01, 0x3c01, 0xbc02}, 0x0010}}},
      {"fma.rn.relu.f16x2 %d, %a, %b, %c;", {{{0x40004000, 0x3800b800u, 0x40003800}, 0x42000000}}},
      {"min.f16 %d16, %a16, %b16;", {{{0x3c00, 0x7e00}, 0x3c00}, {{0x8000, 0}, 0x8000}}},
      {"max.NaN.f16x2 %d, %a, %b;", {{{0x3c007e00, 0x40003c00}, 0x40007fff}}},
      {"neg.f16x2 %d, %a;", {{{0x3c00bc00}, 0xbc003c00u}}},
      {"abs.bf16x2 %d, %a;", {{{0xbf803f80u}, 0x3f803f80}}},
      {"add.bf16x2 %d, %a, %b;", {{{0x3f804000, 0x40003f80}, 0x40404040}}},
      {"sub.rn.bf16 %d16, %a16, %b16;", {{{0x4040, 0x3f80}, 0x4000}}},
      {"mul.bf16x2 %d, %a, %b;", {{{0x40004040, 0x3f003f80}, 0x3f804040}}},
      {"fma.rn.bf16 %d16, %a16, %b16, %c16;", {{{0x4000, 0x3f00, 0x4000}, 0x4040}}},
      {"fma.rn.bf16x2 %d, %a, %b, %c;", {{{0x3f803f81, 0x3f803f81, 0x3f803b80}, 0x40003f83}}},
      {"max.bf16 %d16, %a16, %b16;", {{{0x3f80, 0x7fc0}, 0x3f80}, {{0x8000, 0}, 0}}},
      {"min.xorsign.abs.bf16 %d16, %a16, %b16;", {{{0xc040, 0x4000}, 0xc000}}},
      {"ex2.approx.f16 %d16, %a16;", {{{0x4200}, 0x4800}}},
      {"ex2.approx.ftz.bf16 %d16, %a16;", {{{0x4040}, 0x4100}}},
      {"tanh.approx.f16 %d16, %a16;", {{{0x7c00}, 0x3c00}, {{0x3800}, 0x3765}}},
      {"tanh.approx.bf16x2 %d, %a;", {{{0x3f00ff80u}, 0x3eedbf80}}},
      {"setp.lt.f16 %p, %a16, %b16;", {{{0x3c00, 0x4000}, 1}, {{0x7e00, 0x4000}, 0}}},
      {"setp.gtu.bf16 %p, %a16, %b16;", {{{0x3f80, 0x4000}, 0}, {{0x7fc0, 0x4000}, 1}}},
      {"setp.lt.f16x2 %p|%q, %a, %b;", {{{0x40003c00, 0x3c004000}, 1}}},
      {"{ setp.lt.f16x2 %q|%p, %a, %b; mov.pred %p, %p; }", {{{0x40003c00, 0x3c004000}, 0}}},
      {"set.eq.f16x2.f16x2 %d, %a, %b;", {{{0x3c004000, 0x3c003c00}, 0x3c000000}}},
      {"set.eq.u32.f16 %d, %a16, %b16;", {{{0x3c00, 0x3c00}, 0xffffffffu}, {{0x3c00, 0x4000}, 0}}},
      {"set.eq.f16.f16 %d16, %a16, %b16;", {{{0x3c00, 0x3c00}, 0x3c00}}},
      {"set.lt.bf16x2.bf16x2 %d, %a, %b;", {{{0x3f804000, 0x40003f80}, 0x3f800000}}},
  });
}

TEST_CASE("instructions: fp32 comparison") {
  check_snippets({
      {"setp.eq.f32 %p, %a, %b;", {{{0.0f, -0.0f}, 1}, {{quiet, quiet}, 0}}},
      {"setp.ne.f32 %p, %a, %b;", {{{1.0f, 2.0f}, 1}, {{quiet, 1.0f}, 0}}},
      {"setp.neu.f32 %p, %a, %b;", {{{quiet, 1.0f}, 1}, {{1.0f, 1.0f}, 0}}},
      {"setp.ltu.f32 %p, %a, %b;", {{{quiet, 1.0f}, 1}, {{2.0f, 1.0f}, 0}}},
      {"setp.num.f32 %p, %a, %b;", {{{quiet, 1.0f}, 0}, {{2.0f, 1.0f}, 1}}},
      {"setp.nan.f32 %p, %a, %b;", {{{quiet, 1.0f}, 1}, {{2.0f, 1.0f}, 0}}},
      {"setp.gt.ftz.f32 %p, %a, %b;", {{{kTiny, 0.0f}, 0}}},
      {"setp.gt.xor.f32 %p, %a, %b, %pc;", {{{2.0f, 1.0f, 1}, 0}, {{2.0f, 1.0f, 0}, 1}}},
      {"set.le.u32.f32 %d, %a, %b;", {{{1.0f, 1.0f}, 0xffffffffu}}},
      {"set.le.f32.f32 %d, %a, %b;", {{{1.0f, 1.0f}, 1.0f}, {{2.0f, 1.0f}, 0.0f}}},
      {"testp.finite.f32 %p, %a;", {{{1.0f}, 1}, {{kInf}, 0}}},
      {"testp.infinite.f32 %p, %a;", {{{-kInf}, 1}, {{quiet}, 0}}},
      {"testp.number.f32 %p, %a;", {{{quiet}, 0}, {{kInf}, 1}}},
      {"testp.notanumber.f32 %p, %a;", {{{quiet}, 1}}},
      {"testp.normal.f32 %p, %a;", {{{0.0f}, 1}, {{kTiny}, 0}}},
  });
}
