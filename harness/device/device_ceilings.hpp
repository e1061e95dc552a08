// The ceilings of a GPU and the clock that it runs at, measured by kernels on its own clock.
#pragma once

#include "harness/ceilings.hpp"
#include "harness/device/device.hpp"

namespace wkv {

// Copy bandwidth of its main memory, which is what a run finds whose data are not in the L2 cache; the fp32 FMA rate;
// and as the rate of bf16 products that of mma.sync, which Hopper's wgmma is above. Takes about half a second, during
// which the GPU comes out of its idle clock. Throws std::logic_error for the emulated device, which has no time.
Ceilings measure_ceilings(Device& device);

// Cycles of a multiprocessor a second, now: to be called while the GPU is still warm from what it did before.
double measure_clock(Device& device);

}  // namespace wkv
