// wkv5 cpu_bf16_dot: chunks of 16 tokens as in cpu_chunked, y = r' S + A v and S' = w^16 S + k'^T v, with the factors
// of the products in bf16, two terms in one vdpbf16ps and sums in fp32. r', k' and A are made in fp32 and then rounded;
// the state stays fp32, what r' is multiplied with is a rounded copy of it. Parallel as cpu_chunked
// (chunk_schedule-inl.hpp). A lane is a value channel; a register tile is eight tokens or key channels by two vectors,
// and takes a broadcast pair of one factor and a vector of pairs of the other. Moves r, k, v in and y out once, the
// state from L1 once a chunk and its copy, which is made as the state is written, twice. Limit: at N = 64 a token and
// head takes 256 dots, 16 to make the copy, 64 to pass the state through registers, and about 150 for r', k' and A.
// Supports everything, where the CPU has AVX512_BF16.
#include "harness/variant.hpp"
#include "kernels/wkv5/bf16_dot.hpp"
#include "kernels/wkv5/wkv5.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/wkv5/cpu_bf16_dot.cpp"
#include "kernels/simd_targets.hpp"
//
#include <hwy/foreach_target.h>
//
#include "kernels/wkv5/chunk_schedule-inl.hpp"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET == HWY_AVX3
HWY_PUSH_ATTRIBUTES("avx512bf16")  // Highway 1.0.3 has no target with it; what asks for it runs only where it is
#endif
namespace wkv::kernels::HWY_NAMESPACE {
namespace {

// A pair of bf16 in each lane, the first in the lower half.
using PairTag = hn::RebindToUnsigned<Floats>;
using Pairs = hn::Vec<PairTag>;

HWY_INLINE Pairs load_pairs(const uint32_t* from) { return hn::LoadU(PairTag(), from); }
HWY_INLINE void store_pairs(Pairs pairs, uint32_t* to) { hn::StoreU(pairs, PairTag(), to); }
HWY_INLINE Pairs broadcast_pair(const uint32_t* from) { return hn::Set(PairTag(), *from); }

// sum + a1 b1 + a0 b0, in this order and each rounded, as the Intel SDM has it for VDPBF16PS.
struct SoftwareDot {
  static HWY_INLINE Vec first(Pairs pairs) { return hn::BitCast(Floats(), hn::ShiftLeft<16>(pairs)); }
  static HWY_INLINE Vec second(Pairs pairs) {
    return hn::BitCast(Floats(), hn::And(pairs, hn::Set(PairTag(), 0xffff0000u)));
  }
  static HWY_INLINE Vec dot(Vec sum, Pairs a, Pairs b) {
    return hn::MulAdd(first(a), first(b), hn::MulAdd(second(a), second(b), sum));
  }
  static HWY_INLINE Pairs pairs(Vec first, Vec second) {
    return hn::Or(hn::ShiftRight<16>(rounded_to_bf16(first)),
                  hn::And(rounded_to_bf16(second), hn::Set(PairTag(), 0xffff0000u)));
  }
  static HWY_INLINE void store_rounded(Vec value, uint16_t* to) {
    const hn::Rebind<uint16_t, Floats> halves;
    hn::StoreU(hn::TruncateTo(halves, hn::ShiftRight<16>(rounded_to_bf16(value))), halves, to);
  }
};

#if HWY_TARGET == HWY_AVX3
struct InstructionDot {
  static HWY_INLINE Vec dot(Vec sum, Pairs a, Pairs b) {
    return Vec{_mm512_dpbf16_ps(sum.raw, reinterpret_cast<__m512bh>(a.raw), reinterpret_cast<__m512bh>(b.raw))};
  }
  static HWY_INLINE Pairs pairs(Vec first, Vec second) {
    const __m512i in_halves = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(second.raw, first.raw));
    const __m512i order =
        _mm512_set_epi32(0x1f000f, 0x1e000e, 0x1d000d, 0x1c000c, 0x1b000b, 0x1a000a, 0x190009, 0x180008, 0x170007,
                         0x160006, 0x150005, 0x140004, 0x130003, 0x120002, 0x110001, 0x100000);
    return Pairs{_mm512_permutexvar_epi16(order, in_halves)};
  }
  static HWY_INLINE void store_rounded(Vec value, uint16_t* to) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(value.raw)));
  }
};
#endif

// A register tile: this many rows (of y: tokens, of the state: key channels) by one panel of columns.
constexpr int kRows = kManyRegisters ? 8 : 4;

template <class Dot>
struct Tile {
  Vec at[kRows][2];

  // Outer product of kRows pairs, `step` apart, and a row of a panel.
  HWY_INLINE void add(const uint32_t* scalars, int64_t step, const uint32_t* row) {
    const Pairs row0 = load_pairs(row), row1 = load_pairs(row + kLanes);
    for (int m = 0; m < kRows; ++m) {
      const Pairs scalar = broadcast_pair(scalars + m * step);
      at[m][0] = Dot::dot(at[m][0], scalar, row0);
      at[m][1] = Dot::dot(at[m][1], scalar, row1);
    }
  }
};

template <class Dot>
struct Bf16Dot {
  static constexpr int kTokens = 16;
  static constexpr int64_t kChannelsOfAsk = 16;  // of a pass for y, for each time that later rows are asked for
  using Head = HeadBlock<kTokens>;

  // A chunk's factors: r', k' and A as they are made, in fp32, and all as they are multiplied.
  struct Memory {
    Memory(int64_t N, std::byte* memory)
        : channels(padded(N)),
          made(memory),
          r(reinterpret_cast<uint32_t*>(memory + Chunk<kTokens>::bytes(N))),
          k(r + kTokens * channels / 2),
          v(k + kTokens / 2 * channels),
          scores(v + kTokens / 2 * channels) {}
    static size_t bytes(int64_t N) {
      const size_t channels = padded(N), pairs = 3 * kTokens * channels / 2 + kTokens * kTokens / 2;
      return Chunk<kTokens>::bytes(N) + pairs * sizeof(uint32_t);
    }

    int64_t channels;
    Chunk<kTokens> made;
    uint32_t* r;       // (token, channel pair)
    uint32_t* k;       // (token pair, channel)
    uint32_t* v;       // (token pair, channel)
    uint32_t* scores;  // A: (token, token pair)
  };

  static size_t chunk_bytes(int64_t N) { return Memory::bytes(N); }
  static int64_t asks_of_panel(int64_t N) { return padded(N) / kRows + padded(N) / kChannelsOfAsk * (kTokens / kRows); }
  // Of a panel of the state, as outputs multiplies it: (channel pair, column).
  static size_t rounded_bytes(int64_t N) { return static_cast<size_t>(padded(N)) / 2 * kPanel * sizeof(uint32_t); }
  static int whole_subs(int tokens) { return (tokens + kSub - 1) / kSub * kSub; }

  template <class Element>
  static void prepare(int64_t N, const Head* heads, const Element* r, const Element* k, const Element* v,
                      int64_t stride, int tokens, Columns columns, std::byte* bytes, Ahead& ahead) {
    const Memory memory(N, bytes);
    prepare_scores(N, heads, r, k, stride, tokens, memory.made, ahead);
    const auto row = [](uint32_t* pairs, int64_t at) { return reinterpret_cast<uint16_t*>(pairs) + at; };
    for (int t = 0; t < whole_subs(tokens); t += 2) {
      for (int64_t i = 0; i < memory.channels; i += kLanes) {
        const ChunkBlock<kTokens>& block = memory.made.blocks[i / kChannels];
        const int64_t c = i % kChannels;
        Dot::store_rounded(load_vec(block.r[t] + c), row(memory.r, t * memory.channels + i));
        Dot::store_rounded(load_vec(block.r[t + 1] + c), row(memory.r, (t + 1) * memory.channels + i));
        const Vec after = decay_after(heads[i / kChannels], t / kSub, tokens, c);
        store_pairs(Dot::pairs(hn::Mul(load_vec(block.k[t] + c), after), hn::Mul(load_vec(block.k[t + 1] + c), after)),
                    memory.k + t / 2 * memory.channels + i);
      }
      for (int64_t i = columns.first; i < columns.last; i += kLanes) {
        const auto value = [&](int token)
                               HWY_ATTR { return token < tokens ? load_first(v + token * stride + i, N - i) : zero(); };
        store_pairs(Dot::pairs(value(t), value(t + 1)), memory.v + t / 2 * memory.channels + i);
      }
    }
    const float* scores = memory.made.scores[0];
    for (int i = 0; i < kTokens * kTokens; i += kLanes) Dot::store_rounded(load_vec(scores + i), row(memory.scores, i));
  }

  // What advance does from then on.
  static void round(int64_t N, const float* panel, std::byte* rounded) {
    auto* pairs = reinterpret_cast<uint32_t*>(rounded);
    for (int64_t i = 0; i < padded(N); i += 2, panel += 2 * kPanel, pairs += kPanel) {
      for (int j = 0; j < kPanel; j += kLanes) {
        store_pairs(Dot::pairs(load_vec(panel + j), load_vec(panel + kPanel + j)), pairs + j);
      }
    }
  }

  // y = r' S + A v for a panel of columns.
  template <class Element>
  static void outputs(int64_t N, std::byte* bytes, int tokens, int64_t column, const float*, const std::byte* rounded,
                      Outputs<Element> y, Ahead& ahead) {
    const auto* state = reinterpret_cast<const uint32_t*>(rounded);
    for (int p = 0; p < tokens; p += kRows) {
      if (p + kRows <= tokens) {
        output_rows<true>(N, bytes, tokens, p, column, state, y, ahead);
      } else {
        output_rows<false>(N, bytes, tokens, p, column, state, y, ahead);
      }
    }
  }

  // Tokens p to p + kRows, as far as they exist; kAll: all do. (Then the tile never leaves the registers.)
  template <bool kAll, class Element>
  static void output_rows(int64_t N, std::byte* bytes, int tokens, int p, int64_t column, const uint32_t* state,
                          Outputs<Element> y, Ahead& ahead) {
    const Memory memory(N, bytes);
    const uint32_t* r = memory.r + p * memory.channels / 2;
    Tile<Dot> tile;
    HWY_UNROLL(8)
    for (int m = 0; m < kRows; ++m) tile.at[m][0] = tile.at[m][1] = zero();
    for (int64_t i = 0; i < memory.channels / 2;) {
      if (i % (kChannelsOfAsk / 2) == 0) ahead.ask();
      HWY_UNROLL(4)
      for (const int64_t end = i + 4; i < end; ++i) tile.add(r + i, memory.channels / 2, state + i * kPanel);
    }
    for (int q = 0; q < std::min(p + kRows, whole_subs(tokens)) / 2; ++q) {
      tile.add(memory.scores + p * kTokens / 2 + q, kTokens / 2, memory.v + q * memory.channels + column);
    }
    HWY_UNROLL(8)
    for (int m = 0; m < kRows; ++m) {
      if (!kAll && p + m >= tokens) break;
      store_row(tile.at[m][0], tile.at[m][1], N - column, y.bypass, y.first + (p + m) * y.stride + column);
    }
  }

  // S' = w^tokens S + k'^T v for a panel of columns.
  static void advance(int64_t N, const Head* heads, std::byte* bytes, int tokens, int64_t column, float* panel,
                      std::byte* rounded, Ahead& ahead) {
    const Memory memory(N, bytes);
    const bool is_whole = tokens == kTokens;
    const uint32_t* v = memory.v + column;
    auto* pairs = reinterpret_cast<uint32_t*>(rounded);
    for (int64_t i = 0; i < memory.channels; i += kRows, panel += kRows * kPanel, pairs += kRows / 2 * kPanel) {
      const Head& head = heads[i / kChannels];
      const int64_t c = i % kChannels;
      const float *keep = (is_whole ? head.keep : head.last_keep) + c,
                  *gain = (is_whole ? head.gain : head.last_gain) + c;
      ahead.ask();
      Tile<Dot> tile;
      for (int m = 0; m < kRows; ++m) {
        const Vec kept = broadcast(keep[m]), gained = broadcast(gain[m]);
        for (int j = 0; j < 2; ++j) {
          const Vec state = load_vec(panel + m * kPanel + j * kLanes);
          tile.at[m][j] = hn::MulAdd(gained, state, hn::And(kept, state));
        }
      }
      const uint32_t* k = memory.k + i;
      if (is_whole) {
        HWY_UNROLL(8)
        for (int q = 0; q < kTokens / 2; ++q) tile.add(k + q * memory.channels, 1, v + q * memory.channels);
      } else {
        for (int q = 0; q < whole_subs(tokens) / 2; ++q) {
          tile.add(k + q * memory.channels, 1, v + q * memory.channels);
        }
      }
      for (int m = 0; m < kRows; m += 2) {
        for (int j = 0; j < 2; ++j) {
          store_vec(tile.at[m][j], panel + m * kPanel + j * kLanes);
          store_vec(tile.at[m + 1][j], panel + (m + 1) * kPanel + j * kLanes);
          store_pairs(Dot::pairs(tile.at[m][j], tile.at[m + 1][j]), pairs + m / 2 * kPanel + j * kLanes);
        }
      }
    }
  }
};

template <class Dot>
void run_with(const Problem& problem, const Wkv5Tensors& tensors, Executor& executor) {
  if (problem.dtype == DType::f32) {
    ChunkSchedule<Bf16Dot<Dot>, float>(problem, tensors, executor).run();
  } else {
    ChunkSchedule<Bf16Dot<Dot>, BFloat16>(problem, tensors, executor).run();
  }
}

void run_in_software(const Problem& problem, const Wkv5Tensors& tensors, Executor& executor) {
  run_with<SoftwareDot>(problem, tensors, executor);
}

// Called where the CPU has the instruction; with Highway's targets restricted to older ones it is done without.
void run(const Problem& problem, const Wkv5Tensors& tensors, Executor& executor) {
#if HWY_TARGET == HWY_AVX3
  run_with<InstructionDot>(problem, tensors, executor);
#else
  run_with<SoftwareDot>(problem, tensors, executor);
#endif
}

size_t extra_bytes(const Problem& p, int threads) {
  return ChunkSchedule<Bf16Dot<SoftwareDot>, float>::extra_bytes(p, threads);
}

}  // namespace
}  // namespace wkv::kernels::HWY_NAMESPACE
#if HWY_TARGET == HWY_AVX3
HWY_POP_ATTRIBUTES
#endif
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wkv::kernels {
namespace {

HWY_EXPORT(run);
HWY_EXPORT(run_in_software);
HWY_EXPORT(extra_bytes);

std::optional<std::string> unsupported(const Problem&) {
#if HWY_ARCH_X86
  if (__builtin_cpu_supports("avx512bf16")) return std::nullopt;
#endif
  return "a CPU without AVX512_BF16";
}

const Registered<Wkv5> variant{{.name = "cpu_bf16_dot",
                                .products = DType::bf16,
                                .unsupported = unsupported,
                                .extra_bytes = bf16_dot_extra_bytes,
                                .run = [](const Problem& problem, const Wkv5Tensors& tensors, Executor& executor) {
                                  HWY_DYNAMIC_DISPATCH(run)(problem, tensors, executor);
                                }}};

}  // namespace

void run_bf16_dot_in_software(const Problem& problem, const Wkv5Tensors& tensors, Executor& executor) {
  HWY_DYNAMIC_DISPATCH(run_in_software)(problem, tensors, executor);
}

size_t bf16_dot_extra_bytes(const Problem& problem, int threads) {
  return HWY_DYNAMIC_DISPATCH(extra_bytes)(problem, threads);
}

}  // namespace wkv::kernels
#endif
