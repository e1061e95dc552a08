// The instruction sets that kernels are compiled for: include before hwy/foreach_target.h.
// An x86 machine without AVX2 gets what every machine has; vectors whose length is unknown at compile time cannot form
// register tiles.
#pragma once

#define WKV_LEFT_OUT_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#ifdef WKV_FEW_TARGETS  // for builds that are only tested: of x86 what every machine has, and AVX2
#define HWY_DISABLED_TARGETS (WKV_LEFT_OUT_TARGETS | HWY_AVX3 | HWY_AVX3_DL)
#else
#define HWY_DISABLED_TARGETS WKV_LEFT_OUT_TARGETS
#endif
