#include "harness/inputs.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>

namespace wkv {
namespace {

// Counter-based: a value depends on its seed and its index only, so that any thread can draw any part.
// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): an increment and a finaliser.
constexpr uint64_t kIncrement = 0x9e3779b97f4a7c15u;

uint64_t mix(uint64_t x) {
  x += kIncrement;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// Mean 0, variance 1: the sum of four 16-bit uniforms, close to normal and within +-3.5.
float normal(uint64_t random) {
  const auto sum =
      static_cast<float>((random & 0xffff) + ((random >> 16) & 0xffff) + ((random >> 32) & 0xffff) + (random >> 48));
  constexpr float kMean = 2 * 65535.0f;
  constexpr float kDeviation = 37837.22f;  // 65536 * sqrt(4 / 12)
  return (sum - kMean) / kDeviation;
}

double uniform(uint64_t random) { return static_cast<double>(random >> 11) * 0x1p-53; }

// w = exp(-exp(d)), d uniform between where w is 0.9999 and where it is 0.001.
float realistic_decay(uint64_t random) {
  constexpr double kSlowest = -9.21029, kFastest = 1.93264;
  return static_cast<float>(std::exp(-std::exp(kSlowest + (kFastest - kSlowest) * uniform(random))));
}

float extreme_decay(uint64_t random) {
  constexpr float kHard[] = {0.0f, 1e-20f, 1e-6f, 0.5f, 0.99999f, 1.0f - 0x1p-24f, 1.0f};
  const size_t choice = random % (std::size(kHard) + 1);
  return choice < std::size(kHard) ? kHard[choice] : realistic_decay(mix(random));
}

float extreme_decay_rate(uint64_t random) {
  constexpr float kHard[] = {0.0f, 0x1p-24f, 1e-5f, 0.7f, 46.0f, 1e4f};
  const size_t choice = random % (std::size(kHard) + 1);
  return choice < std::size(kHard) ? kHard[choice] : -std::log(realistic_decay(mix(random)));
}

// 1, or large, or tiny, by head, so that one output does not add values of different sizes.
float extreme_factor(const TensorSpec& spec, uint64_t seed, int64_t head) {
  const uint64_t choice = mix(seed + static_cast<uint64_t>(head)) % 3;
  return choice == 0 ? 1 : choice == 1 ? spec.extreme : 1 / spec.extreme;
}

// The head that an element belongs to; 0 in a tensor without heads.
int64_t head_of(const TensorSpec& spec, int64_t offset) {
  for (size_t d = spec.dims.size(); d-- > 0;) {
    if (spec.dims[d].axis == Axis::head) return offset % spec.dims[d].size;
    offset /= spec.dims[d].size;
  }
  return 0;
}

float draw(const TensorSpec& spec, InputKind kind, uint64_t seed, int64_t offset) {
  const uint64_t random = mix(seed + kIncrement * static_cast<uint64_t>(offset));
  if (spec.values == Values::decay) {
    return kind == InputKind::extreme ? extreme_decay(random) : realistic_decay(random);
  }
  if (spec.values == Values::decay_rate) {
    return kind == InputKind::extreme ? extreme_decay_rate(random) : -std::log(realistic_decay(random));
  }
  if (spec.values == Values::above_one) return 1 + std::abs(spec.scale * normal(random));
  const float unit = spec.values == Values::uniform ? static_cast<float>(2 * uniform(random) - 1) : normal(random);
  const float value = spec.scale * unit;
  return kind == InputKind::extreme ? value * extreme_factor(spec, seed, head_of(spec, offset)) : value;
}

void fill(const TensorSet& set, const TensorSpec& spec, InputKind kind, uint64_t seed, Executor& executor) {
  constexpr int64_t kBlock = 1 << 16;
  const int64_t elements = spec.elements();
  std::byte* memory = set.data(spec.name);
  executor.parallel_for((elements + kBlock - 1) / kBlock, [&](int64_t block, int) {
    const int64_t end = std::min(elements, (block + 1) * kBlock);
    for (int64_t i = block * kBlock; i < end; ++i) {
      const float value = draw(spec, kind, seed, i);
      if (spec.dtype == DType::f32) {
        reinterpret_cast<float*>(memory)[i] = value;
      } else if (spec.dtype == DType::f16) {
        reinterpret_cast<Float16*>(memory)[i] = Float16(value);
      } else {
        reinterpret_cast<BFloat16*>(memory)[i] = BFloat16(value);
      }
    }
  });
}

}  // namespace

void fill_inputs(const TensorSet& set, InputKind kind, uint64_t seed, Executor& executor) {
  uint64_t number = 0;
  for (const TensorSpec& spec : set.specs()) {
    if (spec.role == Role::input) fill(set, spec, kind, mix(mix(seed) + ++number), executor);
  }
}

uint64_t seed_of_set(uint64_t seed, int index) { return mix(mix(seed) + static_cast<uint64_t>(index)); }

}  // namespace wkv
