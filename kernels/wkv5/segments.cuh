// How CUDA variants cut a sequence in time where heads alone do not fill a device. Three launches then:
//   what each segment but the last makes of a state of zero, from k and v;
//   the states that the segments start from (segment_scan.cuh);
//   the outputs of all segments, and the last one's final state.
#pragma once

#include <algorithm>

#include "kernels/wkv5/segment_scan.cuh"
#include "kernels/wkv5/wkv5.hpp"

namespace wkv::kernels {

struct SegmentPlan {
  static constexpr int64_t kMultiprocessors = 132;  // of an H100; fixed, so that the scratch memory is known anywhere
  static constexpr int64_t kMultiple = 16;          // of a segment's tokens

  int64_t heads, segments;
  int64_t segment_tokens;  // of all segments but the last

  // resident_blocks: of one (b, h) each, on a multiprocessor.
  SegmentPlan(const Problem& p, int64_t resident_blocks)
      : heads(p.B * p.H), segments(1), segment_tokens(p.new_tokens()) {
    if (heads * p.N / 32 < 4 * kMultiprocessors) {  // less than 32 channels for each scheduler
      // Shorter ones would move more for their states than for their tokens.
      const int64_t shortest = std::max<int64_t>(p.N, 64);
      segments = std::clamp<int64_t>(p.new_tokens() / shortest, 1, kMultiprocessors * resident_blocks / heads);
      segment_tokens = (p.new_tokens() + segments * kMultiple - 1) / (segments * kMultiple) * kMultiple;
      segments = (p.new_tokens() + segment_tokens - 1) / segment_tokens;
    }
  }
  size_t starts_bytes(int64_t N) const { return static_cast<size_t>(heads * (segments - 1) * N * N) * sizeof(float); }
};

// A block's place: head (x) of a batch entry (y), and segment (z).
struct SegmentPlace {
  int64_t head, token_stride, first_element;
  int tokens;

  __device__ SegmentPlace(int N, int T, int segment_tokens)
      : head(int64_t{blockIdx.y} * gridDim.x + blockIdx.x),
        token_stride(int64_t{gridDim.x} * N),
        first_element((int64_t{blockIdx.y} * T + blockIdx.z * segment_tokens) * token_stride + blockIdx.x * N),
        tokens(min(T - static_cast<int>(blockIdx.z) * segment_tokens, segment_tokens)) {}

  template <class Element>
  __device__ const Element* of(const std::byte* tensor) const {
    return reinterpret_cast<const Element*>(tensor) + first_element;
  }
  template <class Element>
  __device__ Element* of(std::byte* tensor) const {
    return reinterpret_cast<Element*>(tensor) + first_element;
  }
  // Where the local state of a segment but the last goes; and where a segment starts from.
  __device__ float* local_state(float* locals, int N) const { return locals + (head * gridDim.z + blockIdx.z) * N * N; }
  __device__ const float* start_state(const float* state, const float* starts, int N) const {
    return blockIdx.z == 0 ? state + head * N * N
                           : starts + (head * (gridDim.z - 1) + static_cast<int64_t>(blockIdx.z) - 1) * N * N;
  }
  __device__ bool is_last() const { return blockIdx.z == gridDim.z - 1; }
};

// states(tensors, T, segment tokens, locals) and outputs(tensors, T, segment tokens, starts): kernels of one block, as
// in `shape`, for each head and segment.
template <int N>
void launch_segments(const Problem& p, const Wkv5Tensors& tensors, Device& device, const SegmentPlan& plan,
                     LaunchShape shape, void (*states)(Wkv5Tensors, int, int, float*),
                     void (*outputs)(Wkv5Tensors, int, int, const float*)) {
  const auto T = static_cast<int>(p.new_tokens()), segment_tokens = static_cast<int>(plan.segment_tokens);
  shape.grid = {static_cast<uint32_t>(p.H), static_cast<uint32_t>(p.B)};
  float* starts = nullptr;
  if (plan.segments > 1) {
    const auto count = static_cast<int>(plan.segments - 1);
    starts = reinterpret_cast<float*>(device.scratch(plan.starts_bytes(N)));
    shape.grid.z = static_cast<uint32_t>(count);
    device.launch(states, shape, tensors, T, segment_tokens, starts);
    // A thread that chains segments has a few thousand beside it for each head; only a hundred and more are worth a
    // scan.
    const bool chained = count < 128;
    const auto heads = static_cast<uint32_t>(plan.heads);
    const LaunchShape chain{.grid = {N * N / (4 * kChainThreads), heads}, .block = {kChainThreads}};
    const LaunchShape scan{.grid = {N * N / 8, heads}, .block = {kScanThreads}};
    device.launch(chained ? wkv5_chain_segments<N> : wkv5_scan_segments<N>, chained ? chain : scan, tensors.w,
                  tensors.state, starts, static_cast<int>(p.H), count, segment_tokens);
  }
  shape.grid.z = static_cast<uint32_t>(plan.segments);
  device.launch(outputs, shape, tensors, T, segment_tokens, starts);
}

}  // namespace wkv::kernels
