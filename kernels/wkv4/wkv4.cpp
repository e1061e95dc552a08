#include "kernels/wkv4/wkv4.hpp"

#include <algorithm>
#include <cmath>

#include "harness/operator.hpp"
#include "reference/wkv4.hpp"

namespace wkv::kernels {
namespace {

std::vector<TensorSpec> tensors(const Problem& p) {
  const std::vector<Dim> sequence{
      {Axis::batch, p.B}, {Axis::time, p.new_tokens()}, {Axis::head, p.H}, {Axis::channel, p.N}};
  const std::vector<Dim> parameter{{Axis::head, p.H}, {Axis::channel, p.N}};
  const std::vector<Dim> state{{Axis::batch, p.B}, {Axis::head, p.H}, {Axis::channel, p.N}};
  constexpr float kSharp = 30;  // exponents up to a hundred: the weighted mean becomes a choice
  constexpr float kLarge = 1e4f;
  return {
      {.name = "k", .dims = sequence, .dtype = p.dtype, .extreme = kSharp},
      {.name = "v", .dims = sequence, .dtype = p.dtype, .extreme = kLarge},
      {.name = "w", .dims = parameter, .values = Values::decay_rate},
      {.name = "u", .dims = parameter, .scale = 0.5f},
      {.name = "numerator", .dims = state, .extreme = kLarge},
      {.name = "denominator", .dims = state, .values = Values::above_one},
      {.name = "exponent", .dims = state, .extreme = kSharp},
      {.name = "y", .dims = sequence, .dtype = p.dtype, .role = Role::output},
      {.name = "numerator_out", .dims = state, .role = Role::output},
      {.name = "denominator_out", .dims = state, .role = Role::output},
      {.name = "exponent_out", .dims = state, .role = Role::output},
  };
}

// A token and channel: w and u once (2), the difference to the exponent so far and the larger one, twice (4), an
// exponential, twice (2), a product and a sum for numerator and denominator, twice (6; one weight is 1), a division.
Cost cost(const Problem& p) {
  Cost cost{.flops = 15.0 * static_cast<double>(p.B * p.new_tokens() * p.channels())};
  for (const TensorSpec& spec : tensors(p)) cost.bytes += static_cast<double>(spec.bytes());
  return cost;
}

reference::Matrix matrix(const std::vector<double>& values, Eigen::Index columns) {
  return Eigen::Map<const reference::Matrix>(values.data(), static_cast<Eigen::Index>(values.size()) / columns,
                                             columns);
}

template <class Dense>
std::vector<double> flat(const Dense& m) {
  return {m.data(), m.data() + m.size()};
}

// A bound of what rounding does to the two sums of one channel, in units of roundoff, relative to their sizes: the sum
// of weight times |v|, and of weights. y, their quotient, is off by both; its scale is the weighted mean of |v|.
class Rounding {
 public:
  Rounding(double w, double numerator, double denominator, double exponent)
      : w_(w),
        numerator_(std::abs(numerator)),
        denominator_(denominator),
        exponent_(exponent),
        own_error_(std::abs(exponent)) {}

  void token(double k, double v);
  double drift() const { return sums_error_; }
  double exponent_drift() const { return own_error_ + moved_error_ + kept_error_; }
  double exponent_size() const { return std::max(1.0, std::abs(exponent_)); }
  double growth() const { return std::sqrt(variance_); }

 private:
  // An exponential of x, computed as a power of two: its own error of a few units, that of x in fp32 and of x log2(e).
  static double exp_error(double x) { return x == 0 ? 0 : 4 + 2 * std::min(std::abs(x), 100.0); }

  double w_, numerator_, denominator_, exponent_;
  // Of the exponent, absolute: all sums stand for too much or too little by that, relatively.
  double own_error_;  // of the key that it is of
  double moved_error_ = 0, kept_error_ = 0;
  double sums_error_ = 0;
  double variance_ = 0;  // of the roundings of the sums, which are independent of each other
};

// An exponent that has decayed since its token is rounded in proportion to itself, to w and to what w has made of it. A
// variant may move it on to a later token, as one does that joins runs of tokens: a dozen times for a run, by halves
// and within, and from run to run. w being the same every time, these errors go the same way; they add up until a
// larger key takes the exponent's place. They then are what the older terms are wrong by; before, what the newer ones
// are. Errors of terms count by their share of the sums.
void Rounding::token(double k, double v) {
  const double old = exponent_ - w_, largest = std::max(old, k);
  constexpr double kMovesOfRun = 12, kRun = 64;  // tokens, at least
  if (w_ > 0) {
    moved_error_ = kMovesOfRun * (std::abs(old) + w_ + own_error_);
    kept_error_ += (std::abs(old) + w_) / kRun;
  }
  const double own = std::abs(k);  // of k log2(e)
  const double a = std::exp(old - largest), b = std::exp(k - largest);
  const double numerator = a * numerator_ + b * std::abs(v), denominator = a * denominator_ + b;
  const auto share = [](double part, double whole) { return whole > 0 ? part / whole : 0; };
  const double kept = std::max(share(a * numerator_, numerator), share(a * denominator_, denominator));
  const double fresh = std::max(share(b * std::abs(v), numerator), share(b, denominator));
  const double apart = exponent_drift() + own;
  sums_error_ = kept * (sums_error_ + exp_error(old - largest) + (k > old ? apart : 0)) +
                fresh * (exp_error(k - largest) + (k > old ? 0 : apart));
  variance_ = kept * kept * variance_ + 2;
  if (k > old) own_error_ = own, moved_error_ = kept_error_ = 0;
  numerator_ = numerator, denominator_ = denominator, exponent_ = largest;
}

reference::Wkv4Result with_absolute_values(reference::Wkv4Problem problem) {
  problem.v = problem.v.cwiseAbs();
  problem.state.numerator = problem.state.numerator.cwiseAbs();
  return reference::wkv4(problem);
}

std::vector<ExpectedOutput> expected(const TensorSet& set, const Problem& p, const Slice& slice) {
  const auto read = [&](std::string_view tensor) {
    return matrix(read_slice(set, tensor, slice.batch, slice.head), p.N);
  };
  const auto vector = [&](std::string_view tensor) { return reference::Vector(read(tensor).row(0)); };
  const reference::Wkv4Problem problem{
      read("k"), read("v"), vector("w"), vector("u"), {vector("numerator"), vector("denominator"), vector("exponent")}};
  double drift = 0, growth = 1, exponent_drift = 0;
  for (Eigen::Index c = 0; c < p.N; ++c) {
    Rounding rounding(problem.w[c], problem.state.numerator[c], problem.state.denominator[c],
                      problem.state.exponent[c]);
    for (Eigen::Index t = 0; t < problem.k.rows(); ++t) {
      // y sees the sums before the token, apart from it by the error of the exponent, and the token with its bonus.
      const double bonus = std::abs(problem.k(t, c)) + std::abs(problem.u[c]);
      drift = std::max(drift, rounding.drift() + rounding.exponent_drift() + 2 * bonus + 4);
      rounding.token(problem.k(t, c), problem.v(t, c));
      drift = std::max(drift, rounding.drift());
      growth = std::max(growth, rounding.growth());
    }
    exponent_drift = std::max(exponent_drift, rounding.exponent_drift() / rounding.exponent_size());
  }
  // A variant that is parallel in time joins a term to others as often as T can be halved: an exponential each time.
  drift += 4 * std::log2(static_cast<double>(problem.k.rows()));

  const reference::Wkv4Result value = reference::wkv4(problem), size = with_absolute_values(problem);
  ExpectedOutput y{
      .tensor = "y", .value = flat(value.y), .scale = flat(size.y), .growth = 2 * growth, .drift = 2 * drift};
  ExpectedOutput numerator{.tensor = "numerator_out",
                           .value = flat(value.state.numerator),
                           .scale = flat(size.state.numerator),
                           .growth = growth,
                           .drift = drift};
  ExpectedOutput denominator{.tensor = "denominator_out",
                             .value = flat(value.state.denominator),
                             .scale = flat(value.state.denominator),
                             .growth = growth,
                             .drift = drift};
  // Back to natural units it is rounded in proportion to itself; an error of 1 would be one of exp(1).
  const reference::Vector exponent_size = value.state.exponent.cwiseAbs().cwiseMax(1);
  ExpectedOutput exponent{.tensor = "exponent_out",
                          .value = flat(value.state.exponent),
                          .scale = flat(exponent_size),
                          .growth = 3,
                          .drift = exponent_drift};
  return {y, numerator, denominator, exponent};
}

const RegisteredOperator registered{{.name = std::string(Wkv4::kName),
                                     .summary = "RWKV-4 weighted mean with exponential decay, per channel",
                                     .tensors = tensors,
                                     .cost = cost,
                                     .reference = expected}};

}  // namespace

Wkv4Tensors Wkv4::bind(const TensorAddresses& set) {
  return {.k = set.data("k"),
          .v = set.data("v"),
          .w = set.as<float>("w"),
          .u = set.as<float>("u"),
          .numerator = set.as<float>("numerator"),
          .denominator = set.as<float>("denominator"),
          .exponent = set.as<float>("exponent"),
          .y = set.data("y"),
          .numerator_out = set.as<float>("numerator_out"),
          .denominator_out = set.as<float>("denominator_out"),
          .exponent_out = set.as<float>("exponent_out")};
}

}  // namespace wkv::kernels
