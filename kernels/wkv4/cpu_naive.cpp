// wkv4 cpu_naive: the definition with the running maximum as plain loops, to be read.
// Parallel over batch entry and head; a thread goes through time channel by channel.
// Moves k, v in and y out once, but a cache line of each for every element; three floats of state in registers.
// Limit: the latency of two exponentials a token, one after the other.
// Supports everything.
#include <algorithm>
#include <cmath>

#include "harness/variant.hpp"
#include "kernels/element.hpp"
#include "kernels/wkv4/wkv4.hpp"

namespace wkv::kernels {
namespace {

struct Sums {
  float numerator, denominator, exponent;

  void add(float new_exponent, float v) {
    const float largest = std::max(exponent, new_exponent);
    const float old_weight = std::exp(exponent - largest), new_weight = std::exp(new_exponent - largest);
    numerator = old_weight * numerator + new_weight * v;
    denominator = old_weight * denominator + new_weight;
    exponent = largest;
  }
};

// Sums with an exponent of some token that has decayed by w for each one since: less w token by token it would be
// rounded each time, for small w the same way.
struct DecayingSums {
  float numerator, denominator, exponent, w;
  int64_t age = 0;

  Sums now() const { return {numerator, denominator, exponent - static_cast<float>(age) * w}; }
  void advance(float key, float v) {
    ++age;
    Sums sums = now();
    if (key > sums.exponent) exponent = key, age = 0;
    sums.add(key, v);
    numerator = sums.numerator, denominator = sums.denominator;
  }
};

template <class Element>
void run_channels(const Problem& p, const Wkv4Tensors& tensors, Executor& executor) {
  const int64_t T = p.new_tokens(), C = p.channels();
  const auto *k = reinterpret_cast<const Element*>(tensors.k), *v = reinterpret_cast<const Element*>(tensors.v);
  auto* y = reinterpret_cast<Element*>(tensors.y);
  executor.parallel_for(p.B * p.H, [&](int64_t task, int) {
    const int64_t b = task / p.H, first = task % p.H * p.N;
    for (int64_t c = first; c < first + p.N; ++c) {
      const int64_t at = b * C + c;
      DecayingSums sums{tensors.numerator[at], tensors.denominator[at], tensors.exponent[at], tensors.w[c]};
      for (int64_t t = 0; t < T; ++t) {
        const int64_t i = (b * T + t) * C + c;
        const float key = load(k + i), value = load(v + i);
        Sums with_bonus = sums.now();
        with_bonus.add(tensors.u[c] + key, value);
        store(with_bonus.numerator / with_bonus.denominator, y + i);
        sums.advance(key, value);
      }
      tensors.numerator_out[at] = sums.numerator;
      tensors.denominator_out[at] = sums.denominator;
      tensors.exponent_out[at] = sums.now().exponent;
    }
  });
}

void run(const Problem& problem, const Wkv4Tensors& tensors, Executor& executor) {
  with_any_element_type(problem.dtype,
                        [&]<class Element>(Element*) { run_channels<Element>(problem, tensors, executor); });
}

const Registered<Wkv4> variant{{.name = "cpu_naive", .dtypes = {DType::f32, DType::bf16, DType::f16}, .run = run}};

}  // namespace
}  // namespace wkv::kernels
