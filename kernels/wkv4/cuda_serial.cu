// wkv4 cuda_serial: one pass over t.
// A thread owns a channel, its sums in registers; a block is one warp, so that they spread over all multiprocessors.
// Moves k, v and the state in and y and the state out once; the next eight tokens are on their way meanwhile.
// Limit: latency, of two exponentials and a division a token, until B C is some ten thousand; then memory.
// Supports everything.
#include "harness/variant.hpp"
#include "kernels/device.cuh"
#include "kernels/running_sums.cuh"
#include "kernels/wkv4/wkv4.hpp"

namespace wkv::kernels {
namespace {

constexpr int kThreads = 32;
constexpr int kAhead = 8;  // tokens

template <class Element>
struct Batch {
  Element k[kAhead], v[kAhead];

  __device__ Batch(const Element* k_from, const Element* v_from, int64_t stride, int tokens) {
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      if (i < tokens) k[i] = k_from[i * stride], v[i] = v_from[i * stride];
    }
  }
};

// Sums with an exponent of some token that has decayed by w for each one since: less w token by token it would be
// rounded each time, for small w the same way.
struct DecayingSums {
  float numerator, denominator, exponent, w;
  float age = 0;

  __device__ RunningSums now() const { return {numerator, denominator, exponent - age * w}; }
  __device__ void advance(float k, float v) {
    age += 1;
    RunningSums sums = now();
    const bool replaces = k > sums.exponent;
    sums.add(k, v);
    numerator = sums.numerator, denominator = sums.denominator;
    exponent = replaces ? k : exponent;
    age = replaces ? 0 : age;
  }
};

// A block for 32 channels (x) of a batch entry (y).
template <class Element>
__global__ void __launch_bounds__(kThreads) wkv4_serial(const Wkv4Tensors tensors, const int T, const int C) {
  const int c = blockIdx.x * kThreads + threadIdx.x;
  if (c >= C) return;
  const int64_t at = int64_t{blockIdx.y} * C + c, first = int64_t{blockIdx.y} * T * C + c, step = int64_t{kAhead} * C;
  const auto *k = reinterpret_cast<const Element*>(tensors.k) + first,
             *v = reinterpret_cast<const Element*>(tensors.v) + first;
  auto* y = reinterpret_cast<Element*>(tensors.y) + first;
  const float u = kLog2E * tensors.u[c];
  DecayingSums sums{tensors.numerator[at], tensors.denominator[at], kLog2E * tensors.exponent[at],
                    kLog2E * tensors.w[c]};
  Batch<Element> next(k, v, C, T);
  for (int left = T; left > 0; left -= kAhead, y += step) {
    const Batch<Element> batch = next;
    next = Batch<Element>(k += step, v += step, C, left - kAhead);
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      if (i >= left) break;
      const float key = kLog2E * load(&batch.k[i]), value = load(&batch.v[i]);
      RunningSums with_bonus = sums.now();
      with_bonus.add(u + key, value);
      store(with_bonus.mean(), y + i * int64_t{C});
      sums.advance(key, value);
    }
  }
  tensors.numerator_out[at] = sums.numerator;
  tensors.denominator_out[at] = sums.denominator;
  tensors.exponent_out[at] = kLn2 * sums.now().exponent;
}

std::optional<std::string> unsupported(const Problem& p) {
  if (p.B > 65535) return "a batch of more than 65535";
  return std::nullopt;
}

void launch(const Problem& p, const Wkv4Tensors& tensors, Device& device) {
  const LaunchShape shape{
      .grid = {static_cast<uint32_t>((p.channels() + kThreads - 1) / kThreads), static_cast<uint32_t>(p.B)},
      .block = {kThreads}};
  with_device_element(p.dtype, [&]<class Element>(Element*) {
    device.launch(wkv4_serial<Element>, shape, tensors, static_cast<int>(p.new_tokens()),
                  static_cast<int>(p.channels()));
  });
}

const Registered<Wkv4> variant{{.name = "cuda_serial",
                                .device = DeviceKind::cuda,
                                .dtypes = {DType::f32, DType::bf16, DType::f16},
                                .unsupported = unsupported,
                                .launch = launch}};

}  // namespace
}  // namespace wkv::kernels
