#include "harness/model/elementwise.hpp"

#include <cmath>

#include "kernels/element.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "harness/model/elementwise.cpp"
#include "kernels/simd_targets.hpp"
//
#include <hwy/foreach_target.h>
//
#include "kernels/simd_math-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace wkv::model::HWY_NAMESPACE {
namespace {

using namespace kernels;
using namespace kernels::HWY_NAMESPACE;

// A whole vector, or at the end of a row its first `count` lanes; the others are zero.
template <class Element>
HWY_INLINE Vec load_part(const Element* from, int64_t count) {
  if (count >= kLanes) return load_vec(from);
  float lanes[kLanes] = {};
  for (int64_t i = 0; i < count; ++i) lanes[i] = load(from + i);
  return load_vec(lanes);
}

template <class Element>
HWY_INLINE void store_part(Vec value, Element* to, int64_t count) {
  if (count >= kLanes) return store_vec(value, to);
  float lanes[kLanes];
  store_vec(value, lanes);
  for (int64_t i = 0; i < count; ++i) store(lanes[i], to + i);
}

HWY_INLINE float sum_of_lanes(Vec value) { return hn::GetLane(hn::SumOfLanes(Floats(), value)); }

// y = x scale + shift with the scale and shift that make x's mean 0 and its variance 1.
struct Normal {
  float mean, scale;
};

template <class Element>
HWY_INLINE Normal normal_of(int64_t C, float epsilon, const Element* x) {
  Vec sum = zero();
  for (int64_t c = 0; c < C; c += kLanes) sum = hn::Add(sum, load_part(x + c, C - c));
  const float mean = sum_of_lanes(sum) / static_cast<float>(C);
  Vec squares = zero();
  int64_t c = 0;
  for (; c + kLanes <= C; c += kLanes) {
    const Vec centred = hn::Sub(load_vec(x + c), broadcast(mean));
    squares = hn::MulAdd(centred, centred, squares);
  }
  float total = sum_of_lanes(squares);
  for (; c < C; ++c) total += (load(x + c) - mean) * (load(x + c) - mean);
  return {mean, 1 / std::sqrt(total / static_cast<float>(C) + epsilon)};
}

HWY_INLINE Vec normalised(Vec x, const Normal& normal, const float* weight, const float* bias, int64_t count) {
  const Vec centred = hn::Mul(hn::Sub(x, broadcast(normal.mean)), broadcast(normal.scale));
  return hn::MulAdd(centred, load_part(weight, count), load_part(bias, count));
}

void layer_norm(int64_t C, const NormParameters& parameters, const float* x, float* y) {
  const Normal normal = normal_of(C, kLayerNormEpsilon, x);
  for (int64_t c = 0; c < C; c += kLanes) {
    store_part(normalised(load_part(x + c, C - c), normal, parameters.weight + c, parameters.bias + c, C - c), y + c,
               C - c);
  }
}

template <class Element>
void group_norm_of(int64_t H, int64_t N, float epsilon, const NormParameters& parameters, const Element* gate,
                   Element* y) {
  for (int64_t h = 0; h < H; ++h) {
    const Normal normal = normal_of(N, epsilon, y + h * N);
    for (int64_t c = h * N; c < (h + 1) * N; c += kLanes) {
      const int64_t left = (h + 1) * N - c;
      Vec value = normalised(load_part(y + c, left), normal, parameters.weight + c, parameters.bias + c, left);
      if (gate != nullptr) {
        const Vec g = load_part(gate + c, left);
        value = hn::Mul(value, hn::Mul(g, sigmoid_vec(g)));
      }
      store_part(value, y + c, left);
    }
  }
}

void group_norm(int64_t H, int64_t N, float epsilon, const NormParameters& parameters, DType dtype,
                const std::byte* gate, std::byte* y) {
  with_element_type(dtype, [&]<class Element>(Element*) {
    group_norm_of(H, N, epsilon, parameters, reinterpret_cast<const Element*>(gate), reinterpret_cast<Element*>(y));
  });
}

void mix(int64_t C, DType dtype, const float* share, const float* x, const float* previous, std::byte* y) {
  with_element_type(dtype, [&]<class Element>(Element*) {
    auto* to = reinterpret_cast<Element*>(y);
    for (int64_t c = 0; c < C; c += kLanes) {
      const Vec before = load_part(previous + c, C - c), now = load_part(x + c, C - c);
      store_part(hn::MulAdd(hn::Sub(now, before), load_part(share + c, C - c), before), to + c, C - c);
    }
  });
}

void square_relu(int64_t C, DType dtype, std::byte* x) {
  with_element_type(dtype, [&]<class Element>(Element*) {
    auto* at = reinterpret_cast<Element*>(x);
    for (int64_t c = 0; c < C; c += kLanes) {
      const Vec positive = hn::Max(load_part(at + c, C - c), zero());
      store_part(hn::Mul(positive, positive), at + c, C - c);
    }
  });
}

void multiply_by_sigmoid(int64_t C, DType dtype, const std::byte* gate, std::byte* y) {
  with_element_type(dtype, [&]<class Element>(Element*) {
    auto* at = reinterpret_cast<Element*>(y);
    const auto* g = reinterpret_cast<const Element*>(gate);
    for (int64_t c = 0; c < C; c += kLanes) {
      store_part(hn::Mul(load_part(at + c, C - c), sigmoid_vec(load_part(g + c, C - c))), at + c, C - c);
    }
  });
}

void add_to(int64_t C, DType dtype, const std::byte* y, float* x) {
  with_element_type(dtype, [&]<class Element>(Element*) {
    const auto* from = reinterpret_cast<const Element*>(y);
    for (int64_t c = 0; c < C; c += kLanes) {
      store_part(hn::Add(load_part(x + c, C - c), load_part(from + c, C - c)), x + c, C - c);
    }
  });
}

void widen(int64_t C, DType dtype, const std::byte* x, float* y) {
  with_element_type(dtype, [&]<class Element>(Element*) {
    const auto* from = reinterpret_cast<const Element*>(x);
    for (int64_t c = 0; c < C; c += kLanes) store_part(load_part(from + c, C - c), y + c, C - c);
  });
}

void narrow(int64_t C, DType dtype, const float* x, std::byte* y) {
  with_element_type(dtype, [&]<class Element>(Element*) {
    auto* to = reinterpret_cast<Element*>(y);
    for (int64_t c = 0; c < C; c += kLanes) store_part(load_part(x + c, C - c), to + c, C - c);
  });
}

}  // namespace
}  // namespace wkv::model::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wkv::model {
namespace {

HWY_EXPORT(widen);
HWY_EXPORT(narrow);
HWY_EXPORT(layer_norm);
HWY_EXPORT(group_norm);
HWY_EXPORT(mix);
HWY_EXPORT(square_relu);
HWY_EXPORT(multiply_by_sigmoid);
HWY_EXPORT(add_to);

// For every instruction set the same.
template <class Element>
void rotate_heads(int64_t H, int64_t N, int64_t position, Element* x) {
  for (int64_t i = 0; i < N / 2; ++i) {
    const double frequency = std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(N));
    const double angle = static_cast<double>(position) * frequency;
    const auto cosine = static_cast<float>(std::cos(angle)), sine = static_cast<float>(std::sin(angle));
    for (int64_t h = 0; h < H; ++h) {
      Element* pair = x + h * N + i;
      const float a = kernels::load(pair), b = kernels::load(pair + N / 2);
      kernels::store(a * cosine - b * sine, pair);
      kernels::store(a * sine + b * cosine, pair + N / 2);
    }
  }
}

}  // namespace

void widen(int64_t C, DType dtype, const std::byte* x, float* y) { HWY_DYNAMIC_DISPATCH(widen)(C, dtype, x, y); }

void narrow(int64_t C, DType dtype, const float* x, std::byte* y) { HWY_DYNAMIC_DISPATCH(narrow)(C, dtype, x, y); }

void layer_norm(int64_t C, const NormParameters& parameters, const float* x, float* y) {
  HWY_DYNAMIC_DISPATCH(layer_norm)(C, parameters, x, y);
}

void group_norm(int64_t H, int64_t N, float epsilon, const NormParameters& parameters, DType dtype,
                const std::byte* gate, std::byte* y) {
  HWY_DYNAMIC_DISPATCH(group_norm)(H, N, epsilon, parameters, dtype, gate, y);
}

void mix(int64_t C, DType dtype, const float* share, const float* x, const float* previous, std::byte* y) {
  HWY_DYNAMIC_DISPATCH(mix)(C, dtype, share, x, previous, y);
}

void square_relu(int64_t C, DType dtype, std::byte* x) { HWY_DYNAMIC_DISPATCH(square_relu)(C, dtype, x); }

void multiply_by_sigmoid(int64_t C, DType dtype, const std::byte* gate, std::byte* y) {
  HWY_DYNAMIC_DISPATCH(multiply_by_sigmoid)(C, dtype, gate, y);
}

void add_to(int64_t C, DType dtype, const std::byte* y, float* x) { HWY_DYNAMIC_DISPATCH(add_to)(C, dtype, y, x); }

void rotate(int64_t H, int64_t N, int64_t position, DType dtype, std::byte* x) {
  kernels::with_element_type(
      dtype, [&]<class Element>(Element*) { rotate_heads(H, N, position, reinterpret_cast<Element*>(x)); });
}

}  // namespace wkv::model
#endif
