// attention cpu_tiled: flash attention; scores exist for one block of keys and one tile of queries at a time
// (query_tiles-inl.hpp). A single query scans its cache instead, all heads side by side (cache_scan-inl.hpp).
// Parallel over (b, h) and tiles of up to 192 queries, the longest ones first; in decode over b and parts of the cache.
// Moves q in and y out once, k and v in once a tile, through L2; in decode k and v once. Extra memory does not grow
// with T. Limit: FMA rate, 4 N FLOPs a pair of query and key, an exponential besides; in decode the cache's bandwidth.
// Supports everything.
#include "harness/variant.hpp"
#include "kernels/attention/attention.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention/cpu_tiled.cpp"
#include "kernels/simd_targets.hpp"
//
#include <hwy/foreach_target.h>
//
#include "kernels/attention/cache_scan-inl.hpp"
#include "kernels/attention/query_tiles-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace wkv::kernels::HWY_NAMESPACE {
namespace {

void run(const Problem& problem, const AttentionTensors& tensors, Executor& executor) {
  with_element_type(problem.dtype, [&]<class Element>(Element*) {
    if (problem.new_tokens() == 1) {
      tiled::run_cache_scan<Element>(problem, tensors, executor);
    } else {
      tiled::run_query_tiles<Element>(problem, tensors, executor);
    }
  });
}

size_t extra_bytes(const Problem& p, int threads) {
  return p.new_tokens() == 1 ? tiled::cache_scan_bytes(p, threads) : tiled::query_tiles_bytes(p, threads);
}

}  // namespace
}  // namespace wkv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wkv::kernels {
namespace {

HWY_EXPORT(run);
HWY_EXPORT(extra_bytes);

const Registered<Attention> variant{
    {.name = "cpu_tiled",
     .extra_bytes = [](const Problem& p, int threads) { return HWY_DYNAMIC_DISPATCH(extra_bytes)(p, threads); },
     .run =
         [](const Problem& problem, const AttentionTensors& tensors, Executor& executor) {
           HWY_DYNAMIC_DISPATCH(run)
           (problem, tensors, executor);
         }}};

}  // namespace
}  // namespace wkv::kernels
#endif
