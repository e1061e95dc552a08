// Integer and bit instructions, each against results worked out from the PTX ISA.
#include <catch2/catch.hpp>

#include "tests/emulator/device.hpp"
#include "tests/emulator/snippets.hpp"

using test::check_snippets;

namespace {

constexpr uint32_t kMin = 0x80000000u, kMax = 0x7fffffffu;
constexpr uint64_t kAll64 = ~uint64_t{0};

uint32_t neg(uint32_t value) { return 0u - value; }

}  // namespace

TEST_CASE("instructions: integer sums and products") {
  check_snippets({
      {"add.s32 %d, %a, %b;", {{{1, 2}, 3}, {{kMax, 1}, kMin}}},
      {"add.u64 %d64, %a64, %b64;", {{{kAll64, 2}, 1}}},
      {"add.s16 %d16, %a16, %b16;", {{{0xffff, 2}, 1}, {{0x7fff, 1}, 0x8000}}},
      {"add.sat.s32 %d, %a, %b;", {{{kMax, 1}, kMax}, {{kMin, neg(1)}, kMin}, {{5, neg(7)}, neg(2)}}},
      {"sub.s32 %d, %a, %b;", {{{1, 2}, neg(1)}}},
      {"sub.sat.s32 %d, %a, %b;", {{{kMin, 1}, kMin}, {{kMax, neg(1)}, kMax}}},
      {"mul.lo.s32 %d, %a, %b;", {{{neg(3), 5}, neg(15)}, {{0x10000, 0x10000}, 0}}},
      {"mul.lo.u64 %d64, %a64, %b64;", {{{uint64_t{1} << 33, 6}, uint64_t{6} << 33}}},
      {"mul.lo.u16 %d16, %a16, %b16;", {{{300, 300}, 90000 & 0xffff}}},
      {"mul.hi.u32 %d, %a, %b;", {{{0xffffffffu, 0xffffffffu}, 0xfffffffeu}}},
      {"mul.hi.s32 %d, %a, %b;", {{{neg(1), 5}, 0xffffffffu}, {{kMin, kMin}, 0x40000000}}},
      {"mul.hi.u64 %d64, %a64, %b64;", {{{kAll64, 2}, 1}}},
      {"mul.hi.s64 %d64, %a64, %b64;", {{{kAll64, 2}, kAll64}}},
      {"mul.hi.s16 %d16, %a16, %b16;", {{{0x8000, 2}, 0xffff}}},
      {"mul.wide.s32 %d64, %a, %b;", {{{neg(2), 3}, static_cast<uint64_t>(-6)}}},
      {"mul.wide.u32 %d64, %a, %b;", {{{0xffffffffu, 0xffffffffu}, 0xfffffffe00000001u}}},
      {"mul.wide.u16 %d, %a16, %b16;", {{{0xffff, 0xffff}, 0xfffe0001u}}},
      {"mul.wide.s16 %d, %a16, %b16;", {{{0xffff, 2}, neg(2)}}},
      {"mul24.lo.u32 %d, %a, %b;", {{{0xff000003u, 5}, 15}}},
      {"mul24.hi.s32 %d, %a, %b;", {{{0x00ffffff, 3}, neg(1)}}},
      {"mad.lo.s32 %d, %a, %b, %c;", {{{neg(3), 5, 20}, 5}}},
      {"mad.hi.u32 %d, %a, %b, %c;", {{{0x80000000u, 6, 10}, 13}}},
      {"mad.hi.sat.s32 %d, %a, %b, %c;", {{{kMax, kMax, kMax}, kMax}, {{4, 5, 6}, 6}}},
      {"mad.wide.u32 %d64, %a, %b, %c64;", {{{0xffffffffu, 2, uint64_t{1} << 40}, (uint64_t{1} << 40) + 0x1fffffffeu}}},
      {"mad.wide.s16 %d, %a16, %b16, %c;", {{{0xffff, 3, 10}, 7}}},
      {"mad24.lo.s32 %d, %a, %b, %c;", {{{0x00ffffff, 3, 10}, 7}}},
      {"sad.s32 %d, %a, %b, %c;", {{{neg(5), 3, 1}, 9}}},
      {"sad.u32 %d, %a, %b, %c;", {{{neg(5), 3, 1}, neg(5) - 3 + 1}}},
      {"sad.u16 %d16, %a16, %b16, %c16;", {{{3, 10, 5}, 12}}},
      {"div.s32 %d, %a, %b;", {{{neg(7), 2}, neg(3)}}},
      {"div.u32 %d, %a, %b;", {{{neg(7), 2}, 0x7ffffffcu}}},
      {"div.u16 %d16, %a16, %b16;", {{{0xfff0, 16}, 0xfff}}},
      {"div.s64 %d64, %a64, %b64;", {{{static_cast<uint64_t>(-9), 2}, static_cast<uint64_t>(-4)}}},
      {"rem.s32 %d, %a, %b;", {{{neg(7), 2}, neg(1)}}},
      {"rem.u64 %d64, %a64, %b64;", {{{kAll64, 10}, 5}}},
      {"abs.s32 %d, %a;", {{{neg(7)}, 7}, {{kMin}, kMin}}},
      {"abs.s64 %d64, %a64;", {{{static_cast<uint64_t>(-7)}, 7}}},
      {"neg.s32 %d, %a;", {{{7}, neg(7)}}},
      {"neg.s16 %d16, %a16;", {{{1}, 0xffff}}},
      {"min.s32 %d, %a, %b;", {{{neg(1), 1}, neg(1)}}},
      {"min.u32 %d, %a, %b;", {{{neg(1), 1}, 1}}},
      {"max.s64 %d64, %a64, %b64;", {{{kAll64, 1}, 1}}},
      {"max.u16 %d16, %a16, %b16;", {{{0xffff, 1}, 0xffff}}},
      {"min.relu.s32 %d, %a, %b;", {{{neg(1), 1}, 0}, {{3, 2}, 2}}},
      {"max.s16x2 %d, %a, %b;", {{{0x0001ffff, 0xffff0002u}, 0x00010002}}},
      {"min.u16x2 %d, %a, %b;", {{{0x0001ffff, 0xffff0002u}, 0x00010002}}},
      {"add.s16x2 %d, %a, %b;", {{{0x0001ffff, 0xffff0002u}, 0x00000001}}},
      {"vadd4.u32.u32.u32 %d, %a, %b, %c;", {{{0x01ff02fe, 0x01010101, 0}, 0x020003ff}}},
      {"vadd2.s32.s32.s32.sat %d, %a, %b, %c;", {{{0x7fff8000, 0x0001ffff, 0}, 0x7fff8000}}},
      {"vsub4.u32.u32.u32 %d, %a, %b, %c;", {{{0x01ff0200, 0x01010101, 0}, 0x00fe01ff}}},
      {"vabsdiff4.u32.u32.u32 %d, %a, %b, %c;", {{{0x01ff0200, 0x02010101, 0}, 0x01fe0101}}},
      {"vabsdiff4.u32.u32.u32.add %d, %a, %b, %c;", {{{0x01ff0200, 0x02010101, 10}, 10 + 1 + 254 + 1 + 1}}},
      {"vmin2.s32.s32.s32 %d, %a, %b, %c;", {{{0xffff0002u, 0x0001ffff, 0}, 0xffffffffu}}},
      {"vmax4.u32.u32.u32 %d, %a, %b, %c;", {{{0xff000102u, 0x00ff0201, 0}, 0xffff0202u}}},
  });
}

TEST_CASE("instructions: carries") {
  const char* chain =
      "{ .reg .u32 %lo, %hi, %x, %y; mov.b64 {%x, %y}, %a64; mov.b64 {%lo, %hi}, %b64;"
      " add.cc.u32 %lo, %x, %lo; addc.u32 %hi, %y, %hi; mov.b64 %d64, {%lo, %hi}; }";
  const char* difference =
      "{ .reg .u32 %lo, %hi, %x, %y; mov.b64 {%x, %y}, %a64; mov.b64 {%lo, %hi}, %b64;"
      " sub.cc.u32 %lo, %x, %lo; subc.u32 %hi, %y, %hi; mov.b64 %d64, {%lo, %hi}; }";
  const char* product =
      "{ .reg .u32 %lo, %hi; mad.lo.cc.u32 %lo, %a, %b, %c; madc.hi.u32 %hi, %a, %b, 0; mov.b64 %d64, {%lo, %hi}; }";
  check_snippets({
      {chain, {{{0xffffffffu, 1}, uint64_t{1} << 32}, {{0x1ffffffffu, 0x200000003u}, 0x400000002u}}},
      {difference, {{{uint64_t{1} << 32, 1}, 0xffffffffu}, {{0, 1}, kAll64}}},
      {product, {{{0xffffffffu, 0xffffffffu, 0xffffffffu}, 0xffffffff00000000u}}},
      {"{ .reg .u32 %t; sub.cc.u32 %t, %a, %b; addc.u32 %d, 0, 0; }", {{{1, 2}, 0}, {{2, 2}, 1}, {{3, 2}, 1}}},
      {"{ .reg .u32 %t; add.cc.u32 %t, %a, %b; subc.u32 %d, 0, 0; }", {{{1, 2}, neg(1)}, {{neg(1), 1}, 0}}},
      {"{ .reg .u32 %t; sub.cc.u32 %t, %a, %b; subc.cc.u32 %t, %c, 0; addc.u32 %d, 0, 0; }",
       {{{1, 2, 0}, 0}, {{1, 2, 1}, 1}, {{2, 1, 0}, 1}}},
      {"{ .reg .u64 %t; add.cc.u64 %t, %a64, %b64; addc.u64 %d64, 0, 0; }", {{{kAll64, 1}, 1}, {{kAll64, 0}, 0}}},
  });
}

TEST_CASE("instructions: logic, shifts and bit fields") {
  check_snippets({
      {"and.b32 %d, %a, %b;", {{{0xf0f0, 0xff00}, 0xf000}}},
      {"or.b64 %d64, %a64, %b64;", {{{uint64_t{1} << 40, 1}, (uint64_t{1} << 40) | 1}}},
      {"xor.b16 %d16, %a16, %b16;", {{{0xff, 0x0f}, 0xf0}}},
      {"not.b32 %d, %a;", {{{0xffff0000u}, 0xffff}}},
      {"cnot.b32 %d, %a;", {{{0}, 1}, {{7}, 0}}},
      {"and.pred %p, %pa, %pb;", {{{1, 1}, 1}, {{1, 0}, 0}}},
      {"xor.pred %p, %pa, %pb;", {{{1, 1}, 0}, {{1, 0}, 1}}},
      {"not.pred %p, %pa;", {{{1}, 0}, {{0}, 1}}},
      {"lop3.b32 %d, %a, %b, %c, 0x96;", {{{0xf0, 0xcc, 0xaa}, 0x96}}},
      {"lop3.b32 %d, %a, %b, %c, 0xca;", {{{0xf0, 0xcc, 0xaa}, 0xca}}},
      {"shl.b32 %d, %a, %b;", {{{1, 31}, kMin}, {{1, 32}, 0}, {{1, 0x100}, 0}}},
      {"shl.b64 %d64, %a64, %b;", {{{1, 32}, uint64_t{1} << 32}, {{1, 64}, 0}}},
      {"shl.b16 %d16, %a16, %b;", {{{1, 15}, 0x8000}, {{1, 16}, 0}}},
      {"shr.u32 %d, %a, %b;", {{{kMin, 31}, 1}, {{kMin, 32}, 0}}},
      {"shr.s32 %d, %a, %b;", {{{kMin, 31}, neg(1)}, {{kMin, 99}, neg(1)}, {{kMax, 99}, 0}}},
      {"shr.b16 %d16, %a16, %b;", {{{0x8000, 15}, 1}}},
      {"shr.s64 %d64, %a64, %b;", {{{uint64_t{1} << 63, 63}, kAll64}}},
      {"shf.l.wrap.b32 %d, %a, %b, %c;", {{{0x89abcdefu, 0x01234567, 8}, 0x23456789}, {{1, 2, 32}, 2}}},
      {"shf.r.wrap.b32 %d, %a, %b, %c;", {{{0x89abcdefu, 0x01234567, 8}, 0x6789abcd}}},
      {"shf.l.clamp.b32 %d, %a, %b, %c;", {{{1, 2, 40}, 1}}},
      {"shf.r.clamp.b32 %d, %a, %b, %c;", {{{1, 2, 40}, 2}}},
      {"bfe.u32 %d, %a, %b, %c;", {{{0xabcd, 4, 8}, 0xbc}, {{neg(1), 28, 8}, 15}, {{neg(1), 4, 0}, 0}}},
      {"bfe.s32 %d, %a, %b, %c;", {{{0x80, 4, 4}, neg(8)}, {{kMin, 28, 16}, neg(8)}}},
      {"bfe.u64 %d64, %a64, %b, %c;", {{{uint64_t{0xab} << 40, 40, 8}, 0xab}}},
      {"bfi.b32 %d, %a, %b, %c, %e;", {{{0xff, 0, 8, 4}, 0xf00}, {{0, neg(1), 28, 8}, 0x0fffffff}}},
      {"bfi.b64 %d64, %a64, %b64, %c, %e;", {{{1, 0, 63, 4}, uint64_t{1} << 63}}},
      {"bfind.u32 %d, %a;", {{{0x00f0}, 7}, {{0}, neg(1)}}},
      {"bfind.s32 %d, %a;", {{{neg(2)}, 0}, {{neg(1)}, neg(1)}}},
      {"bfind.shiftamt.u32 %d, %a;", {{{0x00f0}, 24}}},
      {"bfind.u64 %d, %a64;", {{{uint64_t{1} << 40}, 40}}},
      {"brev.b32 %d, %a;", {{{1}, kMin}}},
      {"brev.b64 %d64, %a64;", {{{1}, uint64_t{1} << 63}}},
      {"popc.b32 %d, %a;", {{{0xf0f0}, 8}}},
      {"popc.b64 %d, %a64;", {{{kAll64}, 64}}},
      {"clz.b32 %d, %a;", {{{1}, 31}, {{0}, 32}}},
      {"clz.b64 %d, %a64;", {{{1}, 63}, {{0}, 64}}},
      {"fns.b32 %d, %a, %b, %c;", {{{0xaaaaaaaau, 0, 3}, 5}, {{0xaaaaaaaau, 4, neg(1)}, 3}, {{1, 0, 2}, neg(1)}}},
      {"bmsk.clamp.b32 %d, %a, %b;", {{{4, 40}, 0xfffffff0u}, {{32, 4}, 0}}},
      {"bmsk.wrap.b32 %d, %a, %b;", {{{1, 2}, 6}, {{33, 36}, 0x1e}}},
      {"szext.clamp.s32 %d, %a, %b;", {{{0xff, 8}, neg(1)}, {{0x12345678, 40}, 0x12345678}}},
      {"szext.wrap.u32 %d, %a, %b;", {{{0x12345678, 36}, 8}, {{0xffffffffu, 0}, 0}}},
      {"prmt.b32 %d, %a, %b, %c;", {{{0x83828180u, 0x07060504, 0x0416}, 0x80048106u}, {{0x80, 0, 0x8888}, neg(1)}}},
      {"prmt.b32.f4e %d, %a, %b, %c;", {{{0x33221100, 0x77665544, 1}, 0x44332211}}},
      {"prmt.b32.b4e %d, %a, %b, %c;", {{{0x33221100, 0x77665544, 1}, 0x66770011}}},
      {"prmt.b32.rc8 %d, %a, %b, %c;", {{{0x33221100, 0x77665544, 2}, 0x22222222}}},
      {"prmt.b32.ecl %d, %a, %b, %c;", {{{0x33221100, 0x77665544, 1}, 0x33221111}}},
      {"prmt.b32.ecr %d, %a, %b, %c;", {{{0x33221100, 0x77665544, 1}, 0x11111100}}},
      {"prmt.b32.rc16 %d, %a, %b, %c;", {{{0x33221100, 0x77665544, 1}, 0x33223322}}},
      {"dp4a.s32.s32 %d, %a, %b, %c;", {{{0xff02807fu, 0x01fe7f80, 10}, neg(32507)}}},
      {"dp4a.u32.u32 %d, %a, %b, %c;", {{{0x01010101, 0xff020304u, 1}, 265}}},
      {"dp2a.lo.s32.s32 %d, %a, %b, %c;", {{{0xfffe0003u, 0x05040201, 7}, 6}}},
      {"dp2a.hi.s32.s32 %d, %a, %b, %c;", {{{0xfffe0003u, 0x05040201, 7}, 9}}},
  });
}

TEST_CASE("instructions: integer comparison and selection") {
  check_snippets({
      {"setp.lt.s32 %p, %a, %b;", {{{neg(1), 1}, 1}, {{1, neg(1)}, 0}}},
      {"setp.lt.u32 %p, %a, %b;", {{{neg(1), 1}, 0}, {{1, neg(1)}, 1}}},
      {"setp.lo.u32 %p, %a, %b;", {{{1, neg(1)}, 1}}},
      {"setp.hs.u64 %p, %a64, %b64;", {{{kAll64, 1}, 1}}},
      {"setp.ne.b16 %p, %a16, %b16;", {{{0x10001, 1}, 0}}},
      {"setp.eq.and.s32 %p, %a, %b, %pc;", {{{1, 1, 1}, 1}, {{1, 1, 0}, 0}}},
      {"setp.eq.or.s32 %p|%q, %a, %b, !%pc;", {{{1, 2, 0}, 1}, {{1, 2, 1}, 0}}},
      {"{ setp.eq.s32 %q|%p, %a, %b; mov.pred %p, %p; }", {{{1, 1}, 0}, {{1, 2}, 1}}},
      {"set.lt.u32.s32 %d, %a, %b;", {{{neg(1), 1}, neg(1)}, {{1, 1}, 0}}},
      {"set.gt.f32.u32 %d, %a, %b;", {{{neg(1), 1}, 1.0f}, {{1, 1}, 0.0f}}},
      {"selp.b32 %d, %a, %b, %pc;", {{{1, 2, 1}, 1}, {{1, 2, 0}, 2}}},
      {"slct.s32.s32 %d, %a, %b, %c;", {{{1, 2, 0}, 1}, {{1, 2, neg(1)}, 2}}},
      {"slct.b64.f32 %d64, %a64, %b64, %c;", {{{1, 2, -0.0f}, 1}, {{1, 2, -1.0f}, 2}, {{1, 2, 0x7fc00000}, 2}}},
  });
}

TEST_CASE("instructions: special registers that nothing fills in are zero, others of their kind are unknown") {
  check_snippets({
      {"mov.b32 %d, %envreg0;", {{{}, 0}}},
      {"mov.b32 %d, %envreg31;", {{{}, 0}}},
      {"mov.u32 %d, %pm7;", {{{}, 0}}},
      {"mov.u64 %d64, %pm0_64;", {{{}, 0}}},
      {"mov.u64 %d64, %current_graph_exec;", {{{}, 0}}},
  });
  for (const char* name : {"%envreg32", "%pm8", "%envreg", "%envreg1x"}) {
    const auto module = wkv::emulator::Module::parse(
        test::ptx_module(".entry k() { .reg .b32 %r; mov.b32 %r, " + std::string(name) + "; }"), "m");
    CHECK(module.entry("k").unsupported.find(name) != std::string::npos);
  }
}

TEST_CASE("instructions: packing with saturation") {
  check_snippets({
      {"cvt.pack.sat.s16.s32 %d, %a, %b;", {{{40000, neg(40000)}, 0x7fff8000}, {{1, neg(2)}, 0x0001fffe}}},
      {"cvt.pack.sat.u16.s32 %d, %a, %b;", {{{70000, neg(1)}, 0xffff0000u}, {{1, 2}, 0x00010002}}},
      {"cvt.pack.sat.s8.s32.b32 %d, %a, %b, %c;", {{{300, neg(300), 0x12345678}, 0x56787f80}}},
      {"cvt.pack.sat.u8.s32.b32 %d, %a, %b, %c;", {{{300, neg(300), 0x12345678}, 0x5678ff00}}},
  });
}
