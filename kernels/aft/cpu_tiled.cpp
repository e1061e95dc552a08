// aft cpu_tiled: exp(k + b) = exp(b) exp(k) makes the sums of a tile of queries a product of matrices (tiles-inl.hpp).
// A single query, and AFT-simple, are running sums over the keys instead (running-inl.hpp).
// Parallel over (b, groups of two vectors of channels) to compute exp(k), then over tiles of 48 queries, the longest
//   first; running sums over (b, blocks of 64 channels).
// Moves q in and y out once, the biases once for all channels, k and v in once, exp(k) and exp(k) v, as many floats,
//   out once and in once a tile. Limit: FMA rate, 4 FLOPs a channel and pair of query and key; running sums: an
//   exponential a channel and key, besides memory.
// Supports every number of channels that is a multiple of the vector width.
#include <fmt/format.h>

#include "harness/variant.hpp"
#include "kernels/aft/aft.hpp"
#include "kernels/element.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/aft/cpu_tiled.cpp"
#include "kernels/simd_targets.hpp"
//
#include <hwy/foreach_target.h>
//
#include "kernels/aft/tiles-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace wkv::kernels::HWY_NAMESPACE {
namespace {

bool is_running(const Problem& p) { return p.new_tokens() == 1 || AftWindow(p).W == 0; }

void run(const Problem& problem, const AftTensors& tensors, Executor& executor) {
  with_element_type(problem.dtype, [&]<class Element>(Element*) {
    if (is_running(problem)) {
      aft::run_running<Element>(problem, tensors, executor);
    } else {
      aft::run_tiles<Element>(problem, tensors, executor);
    }
  });
}

size_t extra_bytes(const Problem& p, int threads) { return is_running(p) ? 0 : aft::tiles_bytes(p, threads); }

int lanes() { return kLanes; }

}  // namespace
}  // namespace wkv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wkv::kernels {
namespace {

HWY_EXPORT(run);
HWY_EXPORT(extra_bytes);
HWY_EXPORT(lanes);

std::optional<std::string> unsupported(const Problem& p) {
  const int lanes = HWY_DYNAMIC_DISPATCH(lanes)();
  if (p.channels() % lanes == 0) return std::nullopt;
  return fmt::format("{} channels are not a multiple of the vector width, {}", p.channels(), lanes);
}

void run_here(const Problem& problem, const AftTensors& tensors, Executor& executor) {
  HWY_DYNAMIC_DISPATCH(run)(problem, tensors, executor);
}

size_t extra_bytes_here(const Problem& p, int threads) { return HWY_DYNAMIC_DISPATCH(extra_bytes)(p, threads); }

const Registered<Aft> variant{
    {.name = "cpu_tiled", .unsupported = unsupported, .extra_bytes = extra_bytes_here, .run = run_here}};

}  // namespace
}  // namespace wkv::kernels
#endif
