// Loads and stores with hints, fences and what else changes only speed.
#include "tests/emulator/device.hpp"

using test::Device;

TEST_CASE("instructions: hints and fences change nothing") {
  const auto module = wkv::emulator::Module::parse(test::ptx_module(R"(
.visible .entry k(.param .u64 in, .param .u64 out) {
  .shared .align 16 .b8 tile[512];
  .reg.b32 %t, %s, %v<4>;  .reg.b64 %in, %out, %o, %policy; .reg.pred %p;
  ld.param.u64 %in, [in]; ld.param.u64 %out, [out];
  mov.u32 %t, %tid.x;
  mul.wide.u32 %o, %t, 16; add.u64 %in, %in, %o; add.u64 %out, %out, %o;
  createpolicy.fractional.L2::evict_last.L2::evict_unchanged.b64 %policy, 0.5;
  createpolicy.fractional.L2::evict_first.b64 %policy;
  prefetch.global.L2 [%in];
  prefetchu.L1 [%in];
  applypriority.global.L2::evict_normal [%in], 128;
  ld.global.nc.L1::no_allocate.L2::cache_hint.v4.u32 {%v0, %v1, %v2, %v3}, [%in], %policy;
  st.global.L2::cache_hint.u32 [%out], %v0, %policy;
  mov.u32 %s, tile; mad.lo.u32 %s, %t, 16, %s;
  cp.async.cg.shared.global.L2::cache_hint.L2::128B [%s], [%in], 16, %policy;
  cp.async.wait_all;
  membar.cta; membar.gl; membar.sys;
  fence.acq_rel.gpu; fence.sc.cta; fence.proxy.async;
  nanosleep.u32 20;
  ld.shared.u32 %v1, [%s+4];
  ld.volatile.global.u32 %v2, [%in+8];
  ld.relaxed.gpu.global.u32 %v3, [%in+12];
  st.release.gpu.global.u32 [%out+4], %v1;
  st.global.wt.u32 [%out+8], %v2;
  st.global.cs.u32 [%out+12], 0;
  red.global.add.L2::cache_hint.u32 [%out+12], %v3, %policy;
  ret;
})"),
                                                   "hints");
  CAPTURE(module.entry("k").unsupported);
  REQUIRE(module.entry("k").unsupported.empty());
  std::vector<uint32_t> numbers(128);
  for (uint32_t i = 0; i < 128; ++i) numbers[i] = 3 * i;
  Device device;
  const uint64_t in = device.put(numbers), out = device.room_for<uint32_t>(128);
  device.run(module, "k", 1, 32, in, out);
  CHECK(device.get<uint32_t>(out, 128) == numbers);
}
