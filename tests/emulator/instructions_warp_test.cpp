// Instructions by which lanes exchange values, against results worked out from the PTX ISA.
#include <fmt/format.h>

#include <functional>

#include "tests/emulator/device.hpp"

using test::Device;

namespace {

// Runs the body on one warp; it has its lane in %lane and a word of `in` in %a, and leaves its result in %d.
std::vector<uint32_t> run_warp(std::string_view body, const std::function<uint32_t(uint32_t)>& in) {
  const auto module = wkv::emulator::Module::parse(test::ptx_module(fmt::format(R"(
.visible .entry k(.param .u64 in, .param .u64 out) {{
  .reg .b32 %a, %b, %d, %lane;
  .reg .b64 %from, %to, %w;
  .reg .pred %p, %q;
  ld.param.u64 %from, [in];
  ld.param.u64 %to, [out];
  mov.u32 %lane, %laneid;
  mad.wide.u32 %from, %lane, 4, %from;
  mad.wide.u32 %to, %lane, 4, %to;
  ld.global.b32 %a, [%from];
  mov.u32 %d, 0;
  {}
  st.global.b32 [%to], %d;
  ret;
}})",
                                                                                body)),
                                                   "warp");
  INFO(body);
  INFO(module.entry("k").unsupported);
  REQUIRE(module.entry("k").unsupported.empty());
  std::vector<uint32_t> values(32);
  for (uint32_t lane = 0; lane < 32; ++lane) values[lane] = in(lane);
  Device device;
  const uint64_t from = device.put(values), to = device.room_for<uint32_t>(32);
  device.run(module, "k", 1, 32, from, to);
  return device.get<uint32_t>(to, 32);
}

void check_warp(std::string_view body, const std::function<uint32_t(uint32_t)>& in,
                const std::function<uint32_t(uint32_t)>& expected) {
  const std::vector<uint32_t> results = run_warp(body, in);
  for (uint32_t lane = 0; lane < 32; ++lane) {
    CAPTURE(body, lane);
    CHECK(results[lane] == expected(lane));
  }
}

uint32_t plain(uint32_t lane) { return 100 + lane; }

}  // namespace

TEST_CASE("instructions: shfl.sync") {
  check_warp("shfl.sync.up.b32 %d, %a, 3, 0, -1;", plain, [](uint32_t l) { return 100 + (l >= 3 ? l - 3 : l); });
  check_warp("shfl.sync.down.b32 %d, %a, 3, 31, -1;", plain, [](uint32_t l) { return 100 + (l < 29 ? l + 3 : l); });
  check_warp("shfl.sync.bfly.b32 %d, %a, 5, 31, -1;", plain, [](uint32_t l) { return 100 + (l ^ 5); });
  check_warp("shfl.sync.idx.b32 %d, %a, 7, 31, -1;", plain, [](uint32_t) { return 107; });
  check_warp("shfl.sync.idx.b32 %d, %a, 1, 0x181f, -1;", plain, [](uint32_t l) { return 100 + (l & 24) + 1; });
  check_warp("shfl.sync.down.b32 %b|%p, %a, 1, 0x1c1f, -1; selp.u32 %d, %b, 0, %p;", plain,
             [](uint32_t l) { return l % 4 < 3 ? 101 + l : 0; });
  // Only even lanes take part, named by their mask.
  check_warp("and.b32 %b, %lane, 1; setp.eq.u32 %p, %b, 0; @%p shfl.sync.bfly.b32 %d, %a, 2, 31, 0x55555555;", plain,
             [](uint32_t l) { return l % 2 == 0 ? 100 + (l ^ 2) : 0; });
}

TEST_CASE("instructions: vote.sync and activemask") {
  const auto set = "setp.gt.u32 %p, %a, 115;";
  const auto body = [&](std::string_view vote) { return fmt::format("{} {}", set, vote); };
  check_warp(body("vote.sync.ballot.b32 %d, %p, -1;"), plain, [](uint32_t) { return 0xffff0000u; });
  check_warp(body("vote.sync.ballot.b32 %d, !%p, -1;"), plain, [](uint32_t) { return 0xffffu; });
  check_warp(body("vote.sync.all.pred %q, %p, -1; selp.u32 %d, 1, 2, %q;"), plain, [](uint32_t) { return 2; });
  check_warp(body("vote.sync.any.pred %q, %p, -1; selp.u32 %d, 1, 2, %q;"), plain, [](uint32_t) { return 1; });
  check_warp(body("vote.sync.uni.pred %q, %p, -1; selp.u32 %d, 1, 2, %q;"), plain, [](uint32_t) { return 2; });
  check_warp(body("@%p bra J; vote.sync.all.pred %q, !%p, 0xffff; selp.u32 %d, 1, 2, %q; J:"), plain,
             [](uint32_t l) { return l < 16 ? 1 : 0; });
  check_warp(body("@%p activemask.b32 %d;"), plain, [](uint32_t l) { return l < 16 ? 0 : 0xffff0000u; });
}

TEST_CASE("instructions: match.sync, redux.sync, elect.sync") {
  const auto thirds = [](uint32_t l) { return l % 3; };
  check_warp("match.any.sync.b32 %d, %a, -1;", thirds,
             [](uint32_t l) { return static_cast<uint32_t>(uint64_t{0x249249249} << l % 3); });
  check_warp("cvt.u64.u32 %w, %a; shl.b64 %w, %w, 40; match.any.sync.b64 %d, %w, -1;", thirds,
             [](uint32_t l) { return static_cast<uint32_t>(uint64_t{0x249249249} << l % 3); });
  check_warp("match.all.sync.b32 %b|%p, %a, -1; selp.u32 %d, %b, 7, %p;", thirds, [](uint32_t) { return 7; });
  check_warp("match.all.sync.b32 %b|%p, 5, -1; selp.u32 %d, %b, 7, %p;", thirds, [](uint32_t) { return 0xffffffffu; });
  const auto mixed = [](uint32_t l) { return l == 3 ? 0x80000000u : l; };
  check_warp("redux.sync.add.s32 %d, %a, -1;", plain, [](uint32_t) { return 3200 + 496; });
  check_warp("redux.sync.min.s32 %d, %a, -1;", mixed, [](uint32_t) { return 0x80000000u; });
  check_warp("redux.sync.max.u32 %d, %a, -1;", mixed, [](uint32_t) { return 0x80000000u; });
  check_warp("redux.sync.max.s32 %d, %a, -1;", mixed, [](uint32_t) { return 31; });
  check_warp("redux.sync.and.b32 %d, %a, -1;", plain, [](uint32_t) { return 0; });
  check_warp("redux.sync.or.b32 %d, %a, -1;", plain, [](uint32_t) { return 0xffu; });
  check_warp("redux.sync.xor.b32 %d, %a, -1;", plain, [](uint32_t) { return 0; });
  check_warp("elect.sync %b|%p, -1; selp.u32 %d, 1, 2, %p; add.u32 %d, %d, %b;", plain,
             [](uint32_t l) { return l == 0 ? 1 : 2; });
}

TEST_CASE("instructions: special registers of lanes") {
  check_warp("mov.u32 %d, %lanemask_lt;", plain, [](uint32_t l) { return (1u << l) - 1; });
  check_warp("mov.u32 %d, %lanemask_le;", plain,
             [](uint32_t l) { return static_cast<uint32_t>((uint64_t{2} << l) - 1); });
  check_warp("mov.u32 %d, %lanemask_eq;", plain, [](uint32_t l) { return 1u << l; });
  check_warp("mov.u32 %d, %lanemask_ge;", plain, [](uint32_t l) { return ~0u << l; });
  check_warp("mov.u32 %d, %lanemask_gt;", plain, [](uint32_t l) { return static_cast<uint32_t>(~uint64_t{1} << l); });
  check_warp("mov.u32 %d, %tid.x;", plain, [](uint32_t l) { return l; });
  check_warp("mov.u32 %d, %warpid;", plain, [](uint32_t) { return 0; });
}
