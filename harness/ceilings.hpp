// The ceilings of the machine, measured at start-up with the threads of the run, and the floor that they set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "harness/dtype.hpp"
#include "harness/executor.hpp"
#include "harness/operator.hpp"

namespace wkv {

struct Bandwidth {
  size_t working_set_bytes = 0;
  double bytes_per_second = 0;  // of a copy, bytes read and bytes written both counted
};

struct Ceilings {
  std::vector<Bandwidth> copy;           // ascending working sets, from what L1 holds to main memory
  double fma_flops_per_second = 0;       // fp32, a multiply-add counted as two
  double bf16_dot_flops_per_second = 0;  // bf16 products summed in fp32; 0 where the CPU has no such instruction

  // The bandwidth of the memory level that holds this much.
  double bandwidth(size_t working_set_bytes) const;
  // Of the arithmetic that a variant with products of this type does.
  double flops_per_second(DType products) const;
};

struct Trial {
  double done, seconds;
};
// The highest rate of trials that do some number of rounds and take at least this long.
double best_rate(double trial_seconds, const std::function<Trial(int64_t rounds)>& trial);

// Of the CPU. Takes about a second.
Ceilings measure_ceilings(Executor& executor);

// Bytes per second of reading main memory and writing nothing: below the copy bandwidth where the cores, and not the
// memory, are the limit.
double measure_read_rate(Executor& executor);

// The least time for the work: the larger of its bytes at the copy bandwidth and its FLOPs at the arithmetic rate.
double floor_seconds(const Ceilings& ceilings, const Cost& cost, DType products, size_t working_set_bytes);

}  // namespace wkv
