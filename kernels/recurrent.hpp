// What the operators LSTM and GRU share: their tensors, their reference's inputs, and how far fp32 may be off.
#pragma once

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>
#include <vector>

#include "harness/operator.hpp"
#include "reference/lstm.hpp"

namespace wkv::kernels {

// The tensors but for the cell state. Weights and biases are drawn as PyTorch initialises them, +-1/sqrt(C); extreme
// sequences drive the gates into saturation, or hardly at all.
inline std::vector<TensorSpec> recurrent_tensors(const Problem& p, int64_t gates) {
  const int64_t C = p.channels();
  const std::vector<Dim> sequence{{Axis::batch, p.B}, {Axis::time, p.new_tokens()}, {Axis::channel, C}};
  const std::vector<Dim> weight{{Axis::channel, gates * C}, {Axis::channel, C}}, bias{{Axis::channel, gates * C}};
  const std::vector<Dim> state{{Axis::batch, p.B}, {Axis::channel, C}};
  const float bound = 1 / std::sqrt(static_cast<float>(C));
  return {
      {.name = "x", .dims = sequence, .dtype = p.dtype, .extreme = 64},
      {.name = "w_ih", .dims = weight, .values = Values::uniform, .scale = bound},
      {.name = "w_hh", .dims = weight, .values = Values::uniform, .scale = bound},
      {.name = "b_ih", .dims = bias, .values = Values::uniform, .scale = bound},
      {.name = "b_hh", .dims = bias, .values = Values::uniform, .scale = bound},
      {.name = "h", .dims = state, .values = Values::uniform},
      {.name = "y", .dims = sequence, .dtype = p.dtype, .role = Role::output},
      {.name = "h_out", .dims = state, .role = Role::output},
  };
}

// Two products with gates * C x C matrices a token; what is done with their sums does not count.
inline Cost recurrent_cost(const Problem& p, int64_t gates, const std::vector<TensorSpec>& tensors) {
  const auto C = static_cast<double>(p.channels()), tokens = static_cast<double>(p.B * p.new_tokens());
  Cost cost{.flops = 4.0 * static_cast<double>(gates) * C * C * tokens};
  for (const TensorSpec& spec : tensors) cost.bytes += static_cast<double>(spec.bytes());
  return cost;
}

// Rows after which hardly anything is left of a state: the reference's error bound halves, or nearly, with each.
inline constexpr int64_t kForgottenAfter = 64;

// What the reference needs for a slice, in double precision: all rows of a batch entry from its state, or those of a
// span and `before` others in front of it, from a state of zeros that is not the right one.
struct RecurrentInputs {
  RecurrentInputs(const TensorSet& set, const Problem& p, const Slice& slice, int64_t before)
      : C(p.channels()), set_(set), run_{.batch = slice.batch, .head = 0, .times = {}} {
    const int64_t T = p.new_tokens(), begin = slice.times.empty() ? 0 : slice.times.front(),
                  end = slice.times.empty() ? T : slice.times.back() + 1, from = std::max<int64_t>(0, begin - before);
    for (int64_t t = from; t < end; ++t) run_.times.push_back(t);
    skipped = from, first = begin - from, to_the_end = end == T;
    x = matrix("x"), h = state("h");
    weights = {matrix("w_ih"), matrix("w_hh"), vector("b_ih"), vector("b_hh")};
  }

  bool knows_state() const { return skipped == 0; }
  reference::Vector state(std::string_view tensor) const {
    return knows_state() ? vector(tensor) : reference::Vector::Zero(C);
  }
  reference::Matrix matrix(std::string_view tensor) const {
    const std::vector<double> values = read_slice(set_, tensor, run_);
    return Eigen::Map<const reference::Matrix>(values.data(), static_cast<Eigen::Index>(values.size()) / C, C);
  }
  reference::Vector vector(std::string_view tensor) const {
    const std::vector<double> values = read_slice(set_, tensor, run_);
    return Eigen::Map<const reference::Vector>(values.data(), static_cast<Eigen::Index>(values.size()));
  }
  // The rows of the slice.
  reference::Matrix compared(const reference::Matrix& y) const { return y.bottomRows(y.rows() - first); }

  Eigen::Index C;
  int64_t skipped;      // rows of the batch entry
  Eigen::Index first;   // row of x that is compared
  bool to_the_end;      // with the state after the last row
  reference::Matrix x;  // rows x C
  reference::Vector h;
  reference::RecurrentWeights weights;

 private:
  const TensorSet& set_;
  Slice run_;
};

using Errors = Eigen::ArrayXd;  // one for each channel, in units of fp32's roundoff

// Of a state that is not known, in each channel, where it lies within +-size.
inline Errors unknown(Eigen::Index C, double size) { return Errors::Constant(C, size / unit_roundoff(DType::f32)); }

// Whether what is open from an unknown state still counts beside what rounding makes of a known one.
inline bool shows(double rounding, double open) { return open > 1.1 * rounding + 1; }

inline Errors sigmoid(const Errors& x) { return 1 / (1 + (-x).exp()); }

// How errors come about and go on in a recurrence that is not linear: along the reference's own trajectory, to first
// order. A sum of n products is off by 3.5 sqrt(n) roundoffs of its size at most (compare.cpp says why), and as the
// errors of h's channels have nothing to do with each other, it takes them over as a root of a sum of squares. From
// there on everything is elementwise, and errors are added up at their largest: an elementary function is off by up to
// 4 roundoffs of 1 (its result is at most 1), a sum or product by one of its size, and a change of an argument counts
// as much as the derivative says. The gates lie below 1, so that what is carried along stays bounded.
class ProductErrors {
 public:
  explicit ProductErrors(const reference::RecurrentWeights& weights)
      : input_(weights.input.rowwise().norm() / root(weights)),
        recurrent_(weights.recurrent.rowwise().norm() / root(weights)),
        bias_(weights.input_bias.array().abs() + weights.recurrent_bias.array().abs()),
        deviations_(3.5 * std::sqrt(2.0) * root(weights)) {}

  // Of W x + R h + b_W + b_R, or of its parts (GRU), for all gates; `sum` is what they are. The root mean squares of x
  // and h, and of h's errors, stand for each of their channels.
  Errors rounding(const Errors& sum, double x_norm, double h_norm) const {
    const Errors products = (x_norm * input_).square() + (h_norm * recurrent_).square() + bias_.square();
    return deviations_ * sum.abs().max(products.sqrt());
  }
  Errors carried(const Errors& h_error) const { return recurrent_ * h_error.matrix().norm(); }

 private:
  static double root(const reference::RecurrentWeights& weights) {
    return std::sqrt(static_cast<double>(weights.input.cols()));
  }

  Eigen::ArrayXd input_, recurrent_, bias_;
  double deviations_;
};

inline constexpr double kFunctionError = 4;  // of sigmoid and tanh

// Expected values, with the errors as a multiple of max(1, |value|).
inline ExpectedOutput expected_within(std::string tensor, std::vector<double> value, double drift) {
  std::vector<double> scale(value.size());
  std::transform(value.begin(), value.end(), scale.begin(), [](double v) { return std::max(1.0, std::abs(v)); });
  return {.tensor = std::move(tensor), .value = std::move(value), .scale = std::move(scale), .drift = drift};
}

inline std::vector<double> flat(const auto& m) { return {m.data(), m.data() + m.size()}; }

}  // namespace wkv::kernels
