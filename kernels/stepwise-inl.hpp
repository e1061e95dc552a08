// A recurrent network step by step: the input's products for a block of tokens at once, then h's products and the cell
// token by token. LSTM and GRU differ in their cell.
// One instance per Highway target: include after hwy/foreach_target.h, use inside HWY_NAMESPACE.
#if defined(WKV_KERNELS_STEPWISE_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef WKV_KERNELS_STEPWISE_INL_HPP
#undef WKV_KERNELS_STEPWISE_INL_HPP
#else
#define WKV_KERNELS_STEPWISE_INL_HPP
#endif

#include <algorithm>

#include "harness/barrier.hpp"
#include "harness/executor.hpp"
#include "harness/problem.hpp"
#include "kernels/dots-inl.hpp"
#include "kernels/panels-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace wkv::kernels::HWY_NAMESPACE {

inline int64_t padded_channels(int64_t C) { return (C + 31) / 32 * 32; }  // whole panels, cache lines and vectors

// Steps of which the input's products are made at once: their tokens, read once for each channel, stay in L2.
inline int64_t steps_of_block(const Problem& p) {
  constexpr int64_t kBytes = 1 << 18;
  const int64_t tokens = std::max<int64_t>(16, kBytes / (static_cast<int64_t>(sizeof(float)) * p.channels()));
  return std::clamp<int64_t>(tokens / p.B, 1, p.new_tokens());
}

// Whether weights are packed first, which costs as much as a use by some tens of tokens. Those of h are used by B
// tokens at a time, and few of them leave the multiply-adds waiting for each other.
inline bool packs_input(const Problem& p) { return p.B * p.new_tokens() >= 256; }
inline bool packs_recurrent(const Problem& p) { return p.B >= 4 && packs_input(p); }

// Scratch memory of a run, in floats: rows of padded channels, and panels.
template <int kGates>
struct StepwiseScratch {
  float* input;      // (tokens of a block, gates): W x + b_W
  float* recurrent;  // (B, gates): R h
  float* h[2];       // (B): before the step and after it, in turns
  float* c;          // (B), for LSTM
  float* own;        // (threads, rows_of_thread): tokens packed or widened; before that, rows on their way to a panel
  float* panels[2];  // of w_ih and w_hh, where they are packed

  static int64_t rows_of_thread(const Problem& p) { return std::max<int64_t>(steps_of_block(p) * p.B, kLanes); }
  static int64_t rows(const Problem& p, int threads) {
    return steps_of_block(p) * p.B * kGates + p.B * kGates + 3 * p.B + threads * rows_of_thread(p);
  }
  static int64_t panel_floats(const Problem& p) {
    return kGates * padded_channels(p.channels()) / kPanel * PanelProducts<kGates>::floats(p.channels());
  }
  static size_t bytes(const Problem& p, int threads) {
    return static_cast<size_t>(rows(p, threads) * padded_channels(p.channels()) +
                               (packs_input(p) + packs_recurrent(p)) * panel_floats(p)) *
           sizeof(float);
  }
  StepwiseScratch(std::byte* memory, const Problem& p, int threads) {
    const int64_t row = padded_channels(p.channels()), tokens = steps_of_block(p) * p.B;
    input = reinterpret_cast<float*>(memory);
    recurrent = input + tokens * kGates * row;
    h[0] = recurrent + p.B * kGates * row;
    h[1] = h[0] + p.B * row;
    c = h[1] + p.B * row;
    own = c + p.B * row;
    panels[0] = own + threads * rows_of_thread(p) * row;
    panels[1] = panels[0] + panel_floats(p);
  }
};

// A thread's part: some channels, with all their gates. Cell has
//   kGates and Tensors (x, w_ih, w_hh, b_ih, b_hh, h, y, h_out),
//   begin and end, which bring in and out what a batch entry carries on beside h (c, for the part's channels),
//   step, which returns h of kLanes channels after a step.
template <class Cell, class Element>
class StepwisePart {
 public:
  static constexpr int kGates = Cell::kGates;
  using Scratch = StepwiseScratch<kGates>;

  StepwisePart(const Problem& p, const typename Cell::Tensors& tensors, const Scratch& scratch, Barrier& barrier,
               int thread, int threads)
      : tensors_(tensors), scratch_(scratch), barrier_(barrier), B_(p.B), T_(p.new_tokens()), C_(p.channels()) {
    const int64_t panels = row_ / kPanel;
    first_ = std::min(C_, panels * thread / threads * kPanel);
    last_ = std::min(C_, panels * (thread + 1) / threads * kPanel);
    steps_ = steps_of_block(p);
    own_ = scratch.own + thread * Scratch::rows_of_thread(p) * row_;
    packs_input_ = packs_input(p);
    packs_recurrent_ = packs_recurrent(p);
  }

  void run() {
    if (packs_input_) panels_of_input().pack(first_, last_, tensors_.w_ih, own_);
    if (packs_recurrent_) panels_of_h().pack(first_, last_, tensors_.w_hh, own_);
    for (int64_t b = 0; b < B_; ++b) {
      std::copy(tensors_.h + b * C_ + first_, tensors_.h + b * C_ + last_, scratch_.h[0] + b * row_ + first_);
      Cell::begin(tensors_, scratch_.c + b * row_, b * C_, first_, last_);
    }
    int which = 0;
    for (int64_t t0 = 0; t0 < T_; t0 += steps_) {
      const int64_t steps = std::min(steps_, T_ - t0);
      input_products(t0, steps);
      for (int64_t step = 0; step < steps; ++step) {
        barrier_.wait();  // all of h is there
        advance(t0 + step, step, scratch_.h[which], scratch_.h[1 - which]);
        which = 1 - which;
      }
    }
    for (int64_t b = 0; b < B_; ++b) {
      const float* h = scratch_.h[which] + b * row_;
      std::copy(h + first_, h + last_, tensors_.h_out + b * C_ + first_);
      Cell::end(tensors_, scratch_.c + b * row_, b * C_, first_, last_);
    }
  }

 private:
  PanelProducts<kGates> panels_of_input() const {
    return {scratch_.panels[0], C_, scratch_.input, kGates * row_, row_};
  }
  PanelProducts<kGates> panels_of_h() const {
    return {scratch_.panels[1], C_, scratch_.recurrent, kGates * row_, row_};
  }

  // Of steps [t0, t0 + steps), ordered by step and batch entry.
  void input_products(int64_t t0, int64_t steps) {
    const auto* x = reinterpret_cast<const Element*>(tensors_.x);
    const auto at = [&](int64_t token) { return x + (token % B_ * T_ + t0 + token / B_) * C_; };
    const GateProducts<kGates> products{tensors_.w_ih, C_, scratch_.input, kGates * row_, row_};
    if (packs_input_) {
      panels_of_input().run(first_, last_, steps * B_, at, own_);
    } else if constexpr (std::is_same_v<Element, float>) {
      products.run(first_, last_, steps * B_, at);
    } else {
      for (int64_t token = 0; token < steps * B_; ++token) {
        for (int64_t k = 0; k < C_; ++k) own_[token * row_ + k] = static_cast<float>(at(token)[k]);
      }
      products.run(first_, last_, steps * B_, [&](int64_t token) { return own_ + token * row_; });
    }
    for (int64_t token = 0; token < steps * B_; ++token) {
      for (int64_t gate = 0; gate < kGates; ++gate) {
        float* sums = scratch_.input + (token * kGates + gate) * row_;
        for (int64_t channel = first_; channel < last_; ++channel) sums[channel] += tensors_.b_ih[gate * C_ + channel];
      }
    }
  }

  void advance(int64_t t, int64_t step, const float* h, float* next_h) {
    const GateProducts<kGates> products{tensors_.w_hh, C_, scratch_.recurrent, kGates * row_, row_};
    const auto at = [&](int64_t b) { return h + b * row_; };
    if (packs_recurrent_) {
      panels_of_h().run(first_, last_, B_, at, own_);
    } else {
      products.run(first_, last_, B_, at);
    }
    auto* y = reinterpret_cast<Element*>(tensors_.y);
    for (int64_t b = 0; b < B_; ++b) {
      const float* input = scratch_.input + (step * B_ + b) * kGates * row_;
      float* recurrent = scratch_.recurrent + b * kGates * row_;
      for (int64_t gate = 0; gate < kGates; ++gate) {
        for (int64_t channel = first_; channel < last_; ++channel)
          recurrent[gate * row_ + channel] += tensors_.b_hh[gate * C_ + channel];
      }
      Element* y_row = y + (b * T_ + t) * C_;
      for (int64_t channel = first_; channel < last_; channel += kLanes) {  // at the end into the padding
        const Vec value = Cell::step(input + channel, recurrent + channel, row_, h + b * row_ + channel,
                                     scratch_.c + b * row_ + channel);
        float* to = next_h + b * row_ + channel;
        store_vec(value, to);
        if (channel + kLanes <= last_) {
          store_vec(value, y_row + channel);
        } else {
          for (int64_t i = 0; channel + i < last_; ++i) y_row[channel + i] = Element(to[i]);
        }
      }
    }
  }

  const typename Cell::Tensors& tensors_;
  const Scratch& scratch_;
  Barrier& barrier_;
  int64_t B_, T_, C_, row_ = padded_channels(C_), first_, last_, steps_;
  float* own_;
  bool packs_input_, packs_recurrent_;
};

template <class Cell, class Element>
void run_stepwise(const Problem& p, const typename Cell::Tensors& tensors, Executor& executor) {
  using Scratch = StepwiseScratch<Cell::kGates>;
  constexpr int64_t kLeastProducts = 1 << 16;  // of a thread's step: some microseconds, a few barriers' worth
  const int64_t products = p.B * Cell::kGates * p.channels() * p.channels();
  const int parts = static_cast<int>(std::clamp<int64_t>(products / kLeastProducts, 1, executor.threads()));
  const Scratch scratch(executor.scratch(Scratch::bytes(p, executor.threads())).data(), p, executor.threads());
  Barrier barrier(parts);
  executor.parallel_for(parts, [&](int64_t task, int) {
    StepwisePart<Cell, Element>(p, tensors, scratch, barrier, static_cast<int>(task), parts).run();
  });
}

}  // namespace wkv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
