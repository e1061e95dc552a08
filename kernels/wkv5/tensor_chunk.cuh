// Chunks of L = 16 tokens of one head as products of tiles (mma.cuh), positions p, q in the chunk:
//   y_p = (r_p w^p) S + sum_{q<=p} A[p][q] v_q,   S' = w^L S + sum_q (k_q w^(L-1-q))^T v_q
//   A[p][q] = sum_i r_p k_q w^(p-1-q) for q < p,   A[p][p] = sum_i r_p u k_p
// No power of w may have a negative exponent, so A is cut at the boundaries between q and p:
//   q and p in different halves of the chunk: (r_p w^(p-8)) (k_q w^(7-q)), a product of tiles;
//   in one half but different quarters:       (r_p w^(p%4)) (k_q w^(3-q%4)), another;
//   in one quarter: directly, in fp32.
// The first product fills rows p >= 8 of A's columns q < 8, the second two squares of 4 x 4. Rows and columns of A are
// numbered (row_of, column_of) so that those squares are where the lanes have them that hold them as factor of A v; so
// a warp that makes A needs no exchange of it.
#pragma once

#include "kernels/lane_sums.cuh"
#include "kernels/mma.cuh"
#include "kernels/wkv5/decay.cuh"

namespace wkv::kernels {

constexpr int kTensorChunk = 16;  // tokens
constexpr int kQuarter = 4;       // of a chunk

constexpr __device__ int row_of(int p) { return p < 8 ? p ^ 4 : p; }
constexpr __device__ int column_of(int q) { return q < 8 ? q : q ^ 4; }

// Sequences of 16 bits are multiplied as they are where fp32's range is theirs, and as tf32 where it is not.
template <class Element>
struct TileOf {
  using Type = Tf32Tile<1>;
};
template <>
struct TileOf<float> {
  using Type = Tf32Tile<2>;
};
template <>
struct TileOf<__nv_bfloat16> {
  using Type = HalfTile<__nv_bfloat16>;
};

template <class Element, int N>
struct alignas(16) TensorChunkMemory {
  using Tile = typename TileOf<Element>::Type;
  using Factor = typename Tile::Factor;
  static constexpr bool kWide = sizeof(Element) == 4;
  static constexpr int kStages = kWide ? 3 : 4;
  static constexpr int kRowPitch = N + Tile::kRowPad, kColumnPitch = N + Tile::kColumnPad;
  static constexpr int kArrivalPitch = N + (kWide ? 4 : 8);
  static constexpr int kLevelGap =
      32;  // elements: at N=32 half a warp stores a row of one level, half one of the other
  static constexpr int kDiagonals = N == 128 ? 2 : 1;  // warps that share a quarter

  // As they arrive; v by column_of(token).
  struct Arrival {
    Element r[kTensorChunk][kArrivalPitch], k[kTensorChunk][kArrivalPitch], v[kTensorChunk][kArrivalPitch];
  } arrival[kStages];

  // Of one chunk.
  struct Factors {
    Factor r[kTensorChunk][kRowPitch];         // r_p w^p, by row_of(p)
    Factor k[kTensorChunk][kColumnPitch];      // k_q w^(L-1-q), by column_of(q)
    Factor r_levels[kTensorChunk][kRowPitch];  // r_p w^(p%4) of quarters 1 and 3; r_p w^(p-8) of the second half
    Factor gap[kLevelGap];
    Factor k_levels[kTensorChunk][kRowPitch];  // k_q w^(3-q%4) of quarters 0 and 2; k_q w^(7-q) of the first half
    float diagonal[kDiagonals][kTensorChunk][kQuarter];  // A inside a quarter, by p, as one or two sums
  } factors[2];

  // The decay over a whole chunk, and over the last: as decay.hpp has it, or in 16 bits as a mere factor `gain`, whose
  // rounding is far less than that of the products.
  float keep[2][N], gain[2][N];
  Element y[N / 16][kTensorChunk][24];
};

// A block of 2 N threads, with a state. A warp owns 16 value channels j: S^T as accumulators, 16 rows j and N columns
// i. For r', k' and the quarters of A, N/2 lanes own a quarter of the chunk, a lane two channels.
template <class Element, int N>
struct TensorChunks {
  using Memory = TensorChunkMemory<Element, N>;
  using Tile = typename Memory::Tile;
  using Factor = typename Memory::Factor;
  using Factors = typename Memory::Factors;
  static constexpr int kThreads = 2 * N, kStages = Memory::kStages;

  Memory& shared;
  int64_t token_stride;
  float state[N / 8][4] = {};

  int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  int columns = threadIdx.x / 32 * 16;  // the first j of the warp
  int quarter = threadIdx.x / (N / 2), channel = threadIdx.x % (N / 2) * 2;
  float2 w[kQuarter - 1] = {};  // w, w^2, w^3 of the two channels
  float2 before, after;         // w^(4 quarter), w^(4 (3 - quarter))
  float2 second_decay, bonus;   // w^4 in the outer quarters, 1 in the inner ones; u
  int first_level = level_place(quarter == 0 ? 16 : quarter == 1 ? 0 : quarter == 2 ? 8 : 4);
  int second_level = level_place(quarter == 0 ? 24 : quarter == 1 ? 28 : quarter == 2 ? 20 : 12);

  // Of the lane's channels in a row of the levels, r's rows being 0 to 15 and k's 16 to 31, from r's first element.
  __device__ int level_place(int row) const {
    return row * Memory::kRowPitch + (row < kTensorChunk ? 0 : Memory::kLevelGap) + channel;
  }

  static __device__ float2 times(float2 a, float2 b) { return {a.x * b.x, a.y * b.y}; }

  // The powers of w that a block needs. `tail` is the number of tokens of the last chunk, if it is not a whole one.
  __device__ void prepare_decay(const float* w_of_head, const float* u_of_head, int tail) {
    // Each is read once, and handed around where the decay over a chunk will be.
    const int i = threadIdx.x % N;
    const float* from = threadIdx.x < N ? w_of_head : u_of_head;
    shared.gain[threadIdx.x / N][i] = from == nullptr ? 0 : from[i];
    __syncthreads();
    const float own_decay = shared.gain[0][i];
    const float2 decay = load2(&shared.gain[0][channel]);
    bonus = load2(&shared.gain[1][channel]);
    __syncthreads();
    double x = 1, y = 1;
    for (int n = 0; n <= kQuarter * 3; ++n, x *= decay.x, y *= decay.y) {
      const float2 power{static_cast<float>(x), static_cast<float>(y)};
      if (n > 0 && n < kQuarter) w[n - 1] = power;
      if (n == (quarter % 3 == 0 ? kQuarter : 0)) second_decay = power;
      if (n == kQuarter * quarter) before = power;
      if (n == kQuarter * (3 - quarter)) after = power;
    }
    const int which = threadIdx.x / N;
    const Decay over = decay_over(which == 0 ? kTensorChunk : tail, own_decay);
    shared.keep[which][i] = over.keep;
    shared.gain[which][i] = Memory::kWide ? over.gain : decayed(1, over);
    // What lies above the diagonal stays zero.
    constexpr int kFloats = Memory::kDiagonals * kTensorChunk * kQuarter;
    for (int n = threadIdx.x; n < 2 * kFloats; n += kThreads) {
      (&shared.factors[n / kFloats].diagonal[0][0][0])[n % kFloats] = 0;
    }
  }

  // Each access of a warp is whole sectors of eight j, of four i.
  __device__ int64_t state_offset(int n, int c) const { return (8 * n + 2 * t + c % 2) * N + columns + g + c / 2 * 8; }
  __device__ void load_state(const float* from) {
#pragma unroll
    for (int n = 0; n < N / 8; ++n) {
      for (int c = 0; c < 4; ++c) state[n][c] = from[state_offset(n, c)];
    }
  }
  __device__ void store_state(float* to) const {
#pragma unroll
    for (int n = 0; n < N / 8; ++n) {
      for (int c = 0; c < 4; ++c) to[state_offset(n, c)] = state[n][c];
    }
  }

  // A thread copies 16 bytes of a token, or of several.
  static constexpr int kPiece = 16 / sizeof(Element), kRowPieces = N / kPiece, kCopiedRows = kThreads / kRowPieces;
  static __device__ int copied_token() { return row_of_piece<kRowPieces>(threadIdx.x); }
  static __device__ int copied_channel() { return threadIdx.x % kRowPieces * kPiece; }

  // Of k and v, and with outputs of r, from the thread's piece of the first token. Tokens that do not exist are zero.
  template <bool kOutputs>
  __device__ void start_copy(int stage, const Element* r, const Element* k, const Element* v, int tokens) const {
    typename Memory::Arrival& to = shared.arrival[stage];
#pragma unroll
    for (int first = 0; first < kTensorChunk; first += kCopiedRows) {
      const int token = first + copied_token(), at = copied_channel();
      Element *to_r = &to.r[token][at], *to_k = &to.k[token][at], *to_v = &to.v[column_of(token)][at];
      if (token < tokens) {
        const int64_t from = first * token_stride;
        if constexpr (kOutputs) copy16_async(to_r, r + from);
        copy16_async(to_k, k + from);
        copy16_async(to_v, v + from);
      } else {
        const float4 zero = {};
        if constexpr (kOutputs) *reinterpret_cast<float4*>(to_r) = zero;
        *reinterpret_cast<float4*>(to_k) = *reinterpret_cast<float4*>(to_v) = zero;
      }
    }
    __pipeline_commit();
  }

  // r', k' and A inside quarters, of the lane's two channels of one quarter.
  template <bool kOutputs>
  __device__ void prepare(int stage, Factors& to, int tokens) const {
    const typename Memory::Arrival& from = shared.arrival[stage];
    const int first = quarter * kQuarter;
    float2 r[kQuarter], k[kQuarter];
#pragma unroll
    for (int i = 0; i < kQuarter; ++i) {
      k[i] = load2(&from.k[first + i][channel]);
      if constexpr (kOutputs) r[i] = load2(&from.r[first + i][channel]);
    }
    if constexpr (kOutputs) store_diagonal(r, k, to);
#pragma unroll
    for (int i = 0; i < kQuarter; ++i) k[i] = decayed_few(k[i], kQuarter - 1 - i);
    if (tokens >= kTensorChunk) {
#pragma unroll
      for (int i = 0; i < kQuarter; ++i) store2(times(k[i], after), &to.k[column_of(first) + i][channel]);
    } else {
      prepare_last(from, to, tokens - first);
    }
    if constexpr (kOutputs) {
      // Each quarter has two places among the levels: level r or k, and that or the other one, perhaps decayed more.
#pragma unroll
      for (int i = 0; i < kQuarter; ++i) {
        r[i] = decayed_few(r[i], i);
        store2(times(r[i], before), &to.r[row_of(first) + i][channel]);
        store2(quarter == 0 ? k[i] : r[i], &to.r_levels[0][0] + first_level + i * Memory::kRowPitch);
        store2(times(quarter == 3 ? r[i] : k[i], second_decay),
               &to.r_levels[0][0] + second_level + i * Memory::kRowPitch);
      }
    }
  }

  // k' of a chunk that ends `left` tokens after the quarter's start.
  __device__ void prepare_last(const typename Memory::Arrival& from, Factors& to, int left) const {
    float2 decay{1, 1};
    const auto decay_more = [&] { decay = times(decay, w[0]); };
    for (int n = kQuarter; n < left; ++n) decay_more();
#pragma unroll
    for (int i = kQuarter - 1; i >= 0; --i) {
      store2(times(load2(&from.k[quarter * kQuarter + i][channel]), decay),
             &to.k[column_of(quarter * kQuarter) + i][channel]);
      if (i < left) decay_more();
    }
  }

  // x w^n for n < 4.
  __device__ float2 decayed_few(float2 x, int n) const { return n == 0 ? x : times(x, w[n - 1]); }

  // A inside a quarter: ten sums over channels. Those that are not there lie in places that drop out in pairs.
  static constexpr unsigned kUsed = 0x3737;
  static constexpr uint64_t kPlaces = 0x00cd08e9004f0a50;  // 4 p + q of sum n is hexadecimal digit n
  __device__ void store_diagonal(const float2 (&r)[kQuarter], const float2 (&k)[kQuarter], Factors& to) const {
    const auto dot = [](float2 a, float2 b) { return a.x * b.x + a.y * b.y; };
    const float2 r2 = decayed_few(r[2], 1), r3 = decayed_few(r[3], 1);
    float sums[16] = {};
    sums[0] = dot(r[0], times(k[0], bonus)), sums[1] = dot(r[1], times(k[1], bonus));
    sums[2] = dot(r[2], times(k[2], bonus)), sums[4] = dot(r[3], times(k[3], bonus));
    sums[5] = dot(r[1], k[0]), sums[8] = dot(r[2], k[1]), sums[9] = dot(r[3], k[2]);
    sums[10] = dot(r2, k[0]), sums[12] = dot(r3, k[1]), sums[13] = dot(decayed_few(r[3], 2), k[0]);
    sum_over_lanes<8, N == 32 ? 8 : 16, kUsed>(sums);
    const int kept = N == 32 ? lane % 16 : lane / 2;
    if ((kUsed >> kept & 1) != 0 && (N == 32 || lane % 2 == 0)) {
      const int place = static_cast<int>(kPlaces >> 4 * kept & 15);
      to.diagonal[N == 128 ? threadIdx.x / 32 % 2 : 0][quarter * kQuarter + place / 4][place % 4] = sums[0];
    }
  }

  __device__ float2 diagonal(const Factors& factors, int p) const {
    float2 sum = load2(&factors.diagonal[0][p][t % 2 * 2]);
    if constexpr (Memory::kDiagonals == 2) {
      const float2 other = load2(&factors.diagonal[1][p][t % 2 * 2]);
      sum.x += other.x, sum.y += other.y;
    }
    return sum;
  }

  // A, as factor of A v.
  __device__ Tile scores(const Factors& factors) const {
    Accumulators quarters = {}, halves = {};
#pragma unroll
    for (int i = 0; i < N; i += 16) {
      const Tile r = Tile::template of_rows<Operand::first>(&factors.r_levels[0][i], Memory::kRowPitch);
      const Tile k = Tile::template of_rows<Operand::second>(&factors.k_levels[0][i], Memory::kRowPitch);
      multiply(quarters, r, k, 0);  // rows 0-7 of it
      multiply(halves, r, k, 1);    // rows 8-15
    }
    // The lane's row p < 8 and columns q < 8, and the row 8 further down with q >= 8, are in one quarter, or in two
    // that follow each other, or above the diagonal.
    const float2 upper = diagonal(factors, row_of(g)), lower = diagonal(factors, 8 + g);
    const bool one_quarter = g / 4 != t / 2, first_rows = g < 4;
    const Accumulators left = {one_quarter  ? upper.x
                               : first_rows ? quarters[0]
                                            : 0,
                               one_quarter  ? upper.y
                               : first_rows ? quarters[1]
                                            : 0,
                               halves[2], halves[3]};
    const Accumulators right = {0, 0,
                                one_quarter  ? lower.x
                                : first_rows ? 0
                                             : quarters[0],
                                one_quarter  ? lower.y
                                : first_rows ? 0
                                             : quarters[1]};
    return Tile::of_sums(left, right);
  }

  // y of a chunk, by way of shared memory, which makes whole sectors of it.
  __device__ void outputs(const Factors& factors, const Tile& v, Element* y, int tokens) const {
    Accumulators sums[2] = {};
    const Tile a = scores(factors);
    for (int half = 0; half < 2; ++half) multiply(sums[half], a, v, half);
#pragma unroll
    for (int i = 0; i < N; i += 16) {
      const Tile r = Tile::template of_rows<Operand::first>(&factors.r[0][i], Memory::kRowPitch);
      const Tile s = Tile::of_sums(state[i / 8], state[i / 8 + 1]);
      for (int half = 0; half < 2; ++half) multiply(sums[half], r, s, half);
    }

    auto& rows = shared.y[threadIdx.x / 32];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      store2(float2{sums[half][0], sums[half][1]}, &rows[row_of(g)][8 * half + 2 * t]);
      store2(float2{sums[half][2], sums[half][3]}, &rows[8 + g][8 * half + 2 * t]);
    }
    __syncwarp();
    if constexpr (Memory::kWide) {  // eight lanes read half of four rows
#pragma unroll
      for (int first = 0; first < kTensorChunk; first += 8) {
        const int p = first + lane / 8 % 2 * 4 + lane % 8 / 2, at = (lane / 16 * 2 + lane % 2) * kPiece;
        store_piece(&rows[p][at], y + p * token_stride + columns + at, p < tokens);
      }
    } else {
      const int p = lane % 16, at = lane / 16 * kPiece;
      store_piece(&rows[p][at], y + p * token_stride + columns + at, p < tokens);
    }
  }

  static __device__ void store_piece(const Element* from, Element* to, bool exists) {
    if (exists) store4_last(*reinterpret_cast<const float4*>(from), reinterpret_cast<float*>(to));
  }

  // S' of a chunk.
  __device__ void advance(const Factors& factors, const Tile& v, bool is_whole) {
    const float *keep = shared.keep[is_whole ? 0 : 1], *gain = shared.gain[is_whole ? 0 : 1];
#pragma unroll
    for (int n = 0; n < N / 8; ++n) {
      const float2 gained = load2(gain + 8 * n + 2 * t);
      if constexpr (Memory::kWide) {
        const float2 kept = load2(keep + 8 * n + 2 * t);
        for (int c = 0; c < 4; ++c) {
          state[n][c] = decayed(state[n][c], c % 2 == 0 ? Decay{kept.x, gained.x} : Decay{kept.y, gained.y});
        }
      } else {
        for (int c = 0; c < 4; ++c) state[n][c] *= c % 2 == 0 ? gained.x : gained.y;
      }
    }
#pragma unroll
    for (int i = 0; i < N; i += 16) {
      const Tile k = Tile::template of_columns<Operand::second>(&factors.k[0][i], Memory::kColumnPitch);
      for (int half = 0; half < 2; ++half) multiply(state[i / 8 + half], v, k, half);
    }
  }

  // Through all tokens; y, and r, only with outputs. While a chunk is multiplied the next one's factors are made, and
  // those after it are on their way.
  template <bool kOutputs>
  __device__ void run(const Element* r, const Element* k, const Element* v, Element* y, int tokens) {
    const int64_t chunk_stride = kTensorChunk * token_stride,
                  own_piece = copied_token() * token_stride + copied_channel();
    if constexpr (kOutputs) r += own_piece;
    k += own_piece, v += own_piece;
    int left = tokens;  // that no copy was started of
    const auto start_next = [&](int stage) {
      if (left <= 0) return __pipeline_commit();  // the groups are counted
      start_copy<kOutputs>(stage, r, k, v, left);
      if constexpr (kOutputs) r += chunk_stride;
      k += chunk_stride, v += chunk_stride, left -= kTensorChunk;
    };
    for (int stage = 0; stage < kStages - 1; ++stage) start_next(stage);
    __pipeline_wait_prior(kStages - 2);
    __syncthreads();
    prepare<kOutputs>(0, shared.factors[0], tokens);
    int stage = 0, next = 1, which = 0;
    for (; tokens > 0; tokens -= kTensorChunk) {
      __pipeline_wait_prior(kStages - 3);
      __syncthreads();  // the factors are made and the next chunk is there, for all; the last one's memory is free
      start_next(stage == 0 ? kStages - 1 : stage - 1);
      if (tokens > kTensorChunk) prepare<kOutputs>(next, shared.factors[1 - which], tokens - kTensorChunk);
      const Factors& factors = shared.factors[which];
      const Tile v_tile =
          Tile::template of_columns<Operand::first>(&shared.arrival[stage].v[0][columns], Memory::kArrivalPitch);
      if constexpr (kOutputs) {
        outputs(factors, v_tile, y, tokens);
        y += chunk_stride;
      }
      advance(factors, v_tile, tokens >= kTensorChunk);
      stage = next, next = next == kStages - 1 ? 0 : next + 1, which = 1 - which;
    }
  }
};

}  // namespace wkv::kernels
