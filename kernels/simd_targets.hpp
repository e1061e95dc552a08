// The instruction sets that kernels are compiled for: include before hwy/foreach_target.h.
// SSSE3 adds nothing to SSE4 here; vectors whose length is unknown at compile time cannot form register tiles.
#pragma once

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
