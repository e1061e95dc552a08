#include "harness/ceiling_loops.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "harness/ceiling_loops.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/cache_control.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace wkv {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <bool kStreaming>
void copy(const float* from, float* to, size_t floats) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  const auto put = [&](auto value, float* at) {
    if constexpr (kStreaming) {
      hn::Stream(value, d, at);
    } else {
      hn::Store(value, d, at);
    }
  };
  for (size_t i = 0; i < floats; i += 4 * lanes) {
    const auto v0 = hn::Load(d, from + i), v1 = hn::Load(d, from + i + lanes);
    const auto v2 = hn::Load(d, from + i + 2 * lanes), v3 = hn::Load(d, from + i + 3 * lanes);
    put(v0, to + i);
    put(v1, to + i + lanes);
    put(v2, to + i + 2 * lanes);
    put(v3, to + i + 3 * lanes);
  }
}

void CopyRounds(const float* from, float* to, size_t floats, int64_t rounds, bool streaming) {
  for (int64_t round = 0; round < rounds; ++round) {
    if (streaming) {
      copy<true>(from, to, floats);
    } else {
      copy<false>(from, to, floats);
    }
    asm volatile("" ::: "memory");  // each round's stores are needed
  }
  if (streaming) hwy::FlushStream();
}

float ReadAll(const float* from, size_t floats) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d), quarter = floats / 4;
  auto a = hn::Zero(d), b = a, c = a, e = a;
  for (size_t i = 0; i < quarter; i += lanes) {
    a = hn::Add(a, hn::LoadU(d, from + i));
    b = hn::Add(b, hn::LoadU(d, from + quarter + i));
    c = hn::Add(c, hn::LoadU(d, from + 2 * quarter + i));
    e = hn::Add(e, hn::LoadU(d, from + 3 * quarter + i));
  }
  return hn::GetLane(hn::Add(hn::Add(a, b), hn::Add(c, e)));
}

// Twelve chains: two FMAs a cycle of up to five cycles latency need ten, and AVX2 has sixteen registers.
double FmaRounds(int64_t rounds) {
  const hn::ScalableTag<float> d;
  const auto factor = hn::Set(d, 0.5f), term = hn::Set(d, 1.0f);  // x = x/2 + 1 goes to 2
  // Different beginnings: chains of the same values would be one chain to the compiler.
  auto a0 = hn::Set(d, 0.0f), a1 = hn::Set(d, 1.0f), a2 = hn::Set(d, 2.0f), a3 = hn::Set(d, 3.0f);
  auto a4 = hn::Set(d, 4.0f), a5 = hn::Set(d, 5.0f), a6 = hn::Set(d, 6.0f), a7 = hn::Set(d, 7.0f);
  auto a8 = hn::Set(d, 8.0f), a9 = hn::Set(d, 9.0f), a10 = hn::Set(d, 10.0f), a11 = hn::Set(d, 11.0f);
  for (int64_t round = 0; round < rounds; ++round) {
    a0 = hn::MulAdd(a0, factor, term);
    a1 = hn::MulAdd(a1, factor, term);
    a2 = hn::MulAdd(a2, factor, term);
    a3 = hn::MulAdd(a3, factor, term);
    a4 = hn::MulAdd(a4, factor, term);
    a5 = hn::MulAdd(a5, factor, term);
    a6 = hn::MulAdd(a6, factor, term);
    a7 = hn::MulAdd(a7, factor, term);
    a8 = hn::MulAdd(a8, factor, term);
    a9 = hn::MulAdd(a9, factor, term);
    a10 = hn::MulAdd(a10, factor, term);
    a11 = hn::MulAdd(a11, factor, term);
  }
  const auto sum = ((a0 + a1) + (a2 + a3)) + ((a4 + a5) + (a6 + a7)) + ((a8 + a9) + (a10 + a11));
  volatile float used = hn::GetLane(sum);
  (void)used;
  return static_cast<double>(rounds) * 12 * 2 * static_cast<double>(hn::Lanes(d));
}

const char* Target() { return hwy::TargetName(HWY_TARGET); }

}  // namespace HWY_NAMESPACE
}  // namespace wkv
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#if HWY_ARCH_X86
#include <immintrin.h>
#endif

namespace wkv {
namespace {

HWY_EXPORT(CopyRounds);
HWY_EXPORT(ReadAll);
HWY_EXPORT(FmaRounds);
HWY_EXPORT(Target);

#if HWY_ARCH_X86
// Highway 1.0.3 has no bf16 dot product of its own. Each instruction does two multiply-adds in each of 16 lanes.
__attribute__((target("avx512f,avx512bf16"))) double avx512_bf16_dot_rounds(int64_t rounds) {
  const auto one = reinterpret_cast<__m512bh>(_mm512_set1_epi16(0x3f80));
  constexpr int kChains = 16;
  __m512 chain[kChains];
  for (int i = 0; i < kChains; ++i) chain[i] = _mm512_set1_ps(static_cast<float>(i));  // different, as above
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) chain[i] = _mm512_dpbf16_ps(chain[i], one, one);
  }
  for (int i = 1; i < kChains; ++i) chain[0] = _mm512_add_ps(chain[0], chain[i]);
  volatile float used = _mm512_cvtss_f32(chain[0]);
  (void)used;
  return static_cast<double>(rounds) * kChains * 16 * 2 * 2;
}
#endif

}  // namespace

void copy_rounds(const float* from, float* to, size_t floats, int64_t rounds, bool streaming) {
  HWY_DYNAMIC_DISPATCH(CopyRounds)(from, to, floats, rounds, streaming);
}

float read_all(const float* from, size_t floats) { return HWY_DYNAMIC_DISPATCH(ReadAll)(from, floats); }

double fma_rounds(int64_t rounds) { return HWY_DYNAMIC_DISPATCH(FmaRounds)(rounds); }

double bf16_dot_rounds(int64_t rounds) {
#if HWY_ARCH_X86
  if (__builtin_cpu_supports("avx512bf16")) return avx512_bf16_dot_rounds(rounds);
#endif
  (void)rounds;
  return 0;
}

const char* simd_target() { return HWY_DYNAMIC_DISPATCH(Target)(); }

}  // namespace wkv
#endif
