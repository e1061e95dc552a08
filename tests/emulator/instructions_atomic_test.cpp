// atom and red in all operations and types, each lane on a place of its own, against results worked out from the PTX
// ISA; then all lanes on one place.
#include <fmt/format.h>

#include "tests/emulator/device.hpp"
#include "tests/emulator/snippets.hpp"

using test::Device;
using test::Word;

namespace {

struct Row {
  std::string_view ptx;  // in terms of [%at], %b, %c, %b64, %c64, %b16, %c16; the old value to %d or %d64
  Word old, b, c;
  Word left;  // in memory
};

constexpr uint32_t kAll = ~0u;

void check_rows(const std::vector<Row>& rows) {
  std::string text = test::ptx_module("");
  for (size_t i = 0; i < rows.size(); ++i) {
    text += fmt::format(R"(
.visible .entry row_{}(.param .u64 io) {{
  .reg .b16 %b16, %c16, %d16; .reg .b32 %b, %c, %d, %lane; .reg .b64 %b64, %c64, %d64, %at;
  ld.param.u64 %at, [io];
  mov.u32 %lane, %laneid;
  mad.wide.u32 %at, %lane, 32, %at;
  mov.u32 %d, 0; mov.u64 %d64, 0; mov.u16 %d16, 0;
  ld.global.b64 %b64, [%at+8]; ld.global.b64 %c64, [%at+16];
  cvt.u32.u64 %b, %b64; cvt.u32.u64 %c, %c64; cvt.u16.u32 %b16, %b; cvt.u16.u32 %c16, %c;
  {}
  {}
  st.global.b64 [%at+24], %d64;
  ret;
}})",
                        i, rows[i].ptx,
                        rows[i].ptx.find("%d64") != std::string_view::npos   ? ""
                        : rows[i].ptx.find("%d16") != std::string_view::npos ? "cvt.u64.u16 %d64, %d16;"
                                                                             : "cvt.u64.u32 %d64, %d;");
  }
  const auto module = wkv::emulator::Module::parse(text, "atomics");
  for (size_t i = 0; i < rows.size(); ++i) {
    const Row& row = rows[i];
    const std::string name = fmt::format("row_{}", i);
    CAPTURE(row.ptx, module.entry(name).unsupported);
    REQUIRE(module.entry(name).unsupported.empty());
    std::vector<uint64_t> io;
    for (int lane = 0; lane < 32; ++lane) io.insert(io.end(), {row.old.bits, row.b.bits, row.c.bits, 0});
    Device device;
    const uint64_t at = device.put(io);
    device.run(module, name, 1, 32, at);
    io = device.get<uint64_t>(at, io.size());
    const bool returns = row.ptx.starts_with("atom");
    for (size_t lane = 0; lane < 32; ++lane) {
      CAPTURE(lane, fmt::format("{:#x}", io[4 * lane]), fmt::format("{:#x}", row.left.bits));
      CHECK(io[4 * lane] == row.left.bits);
      CHECK(io[4 * lane + 3] == (returns ? row.old.bits : 0));
    }
  }
}

}  // namespace

TEST_CASE("instructions: atom on integers") {
  check_rows({
      {"atom.global.add.u32 %d, [%at], %b;", kAll, 2, 0, 1},
      {"atom.global.add.s32 %d, [%at], %b;", 5, 0u - 7u, 0, 0u - 2u},
      {"atom.add.relaxed.cta.u64 %d64, [%at], %b64;", ~uint64_t{0}, 2, 0, 1},
      {"atom.global.min.s32 %d, [%at], %b;", 1, kAll, 0, kAll},
      {"atom.global.min.u32 %d, [%at], %b;", 1, kAll, 0, 1},
      {"atom.global.max.s64 %d64, [%at], %b64;", 1, ~uint64_t{0}, 0, 1},
      {"atom.global.max.u64 %d64, [%at], %b64;", 1, ~uint64_t{0}, 0, ~uint64_t{0}},
      {"atom.global.and.b32 %d, [%at], %b;", 0xff, 0xf0f, 0, 0xf},
      {"atom.global.or.b64 %d64, [%at], %b64;", 1, uint64_t{1} << 40, 0, (uint64_t{1} << 40) + 1},
      {"atom.global.xor.b32 %d, [%at], %b;", 0xff, 0xf0f, 0, 0xff0},
      {"atom.global.exch.b32 %d, [%at], %b;", 1, 2, 0, 2},
      {"atom.global.exch.b64 %d64, [%at], %b64;", 1, uint64_t{2} << 32, 0, uint64_t{2} << 32},
      {"atom.acquire.gpu.global.cas.b32 %d, [%at], %b, %c;", 7, 7, 9, 9},
      {"atom.global.cas.b32 %d, [%at], %b, %c;", 7, 8, 9, 7},
      {"atom.global.cas.b64 %d64, [%at], %b64, %c64;", uint64_t{7} << 40, uint64_t{7} << 40, 9, 9},
      {"atom.global.cas.b16 %d16, [%at], %b16, %c16;", 7, 7, 9, 9},
      {"atom.global.inc.u32 %d, [%at], %b;", 4, 9, 0, 5},
      {"atom.global.inc.u32 %d, [%at], %b;", 9, 9, 0, 0},
      {"atom.global.dec.u32 %d, [%at], %b;", 4, 9, 0, 3},
      {"atom.global.dec.u32 %d, [%at], %b;", 0, 9, 0, 9},
      {"atom.global.dec.u32 %d, [%at], %b;", 12, 9, 0, 9},
      {"red.global.add.u32 [%at], %b;", 3, 4, 0, 7},
      {"red.relaxed.gpu.global.max.s32 [%at], %b;", kAll, 4, 0, 4},
  });
}

TEST_CASE("instructions: atom on floats") {
  check_rows({
      {"atom.global.add.f32 %d, [%at], %b;", 1.5f, 2.0f, 0, 3.5f},
      {"atom.global.add.f64 %d64, [%at], %b64;", 1.5, 2.0, 0, 3.5},
      {"atom.global.add.noftz.f16 %d16, [%at], %b16;", 0x3c00, 0x4000, 0, 0x4200},
      {"atom.global.add.noftz.f16x2 %d, [%at], %b;", 0x3c004000, 0x40003c00, 0, 0x42004200},
      {"atom.global.add.noftz.bf16 %d16, [%at], %b16;", 0x3f80, 0x4000, 0, 0x4040},
      {"atom.add.noftz.bf16x2 %d, [%at], %b;", 0x3f804000, 0x40003f80, 0, 0x40404040},
      {"red.global.add.f32 [%at], %b;", 1.5f, 2.0f, 0, 3.5f},
      {"red.global.add.f64 [%at], %b64;", 1.5, 2.0, 0, 3.5},
  });
}

TEST_CASE("instructions: atomics of all lanes on one place") {
  const auto module = wkv::emulator::Module::parse(test::ptx_module(R"(
.visible .entry k(.param .u64 total, .param .u64 seen) {
  .shared .align 4 .u32 shared;
  .reg .b32 %d, %lane; .reg .b64 %t, %s; .reg .pred %p;
  ld.param.u64 %t, [total]; ld.param.u64 %s, [seen];
  mov.u32 %lane, %tid.x;
  setp.eq.u32 %p, %lane, 0;
  @%p st.shared.u32 [shared], 0;
  bar.sync 0;
  atom.shared.add.u32 %d, [shared], 1;
  mad.wide.u32 %s, %d, 4, %s;
  red.global.add.u32 [%s], 1;
  red.global.add.u32 [%t], %lane;
  ret;
})"),
                                                   "atomics");
  Device device;
  const uint64_t total = device.put(std::vector<uint32_t>{0}), seen = device.put(std::vector<uint32_t>(96));
  device.run(module, "k", 4, 96, total, seen);
  CHECK(device.get<uint32_t>(total, 1)[0] == 4 * 95 * 96 / 2);
  CHECK(device.get<uint32_t>(seen, 96) == std::vector<uint32_t>(96, 4));  // each number once in each block
}
