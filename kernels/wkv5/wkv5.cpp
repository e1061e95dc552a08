#include "kernels/wkv5/wkv5.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "harness/operator.hpp"
#include "reference/wkv5.hpp"

namespace wkv::kernels {
namespace {

std::vector<TensorSpec> tensors(const Problem& p) {
  const std::vector<Dim> sequence{
      {Axis::batch, p.B}, {Axis::time, p.new_tokens()}, {Axis::head, p.H}, {Axis::channel, p.N}};
  const std::vector<Dim> parameter{{Axis::head, p.H}, {Axis::channel, p.N}};
  const std::vector<Dim> state{{Axis::batch, p.B}, {Axis::head, p.H}, {Axis::channel, p.N}, {Axis::channel, p.N}};
  const float extreme = p.dtype == DType::f16 ? 2 : 1e4f;  // y grows with its third power and must stay below 65504
  return {
      {.name = "r", .dims = sequence, .dtype = p.dtype, .extreme = extreme},
      {.name = "k", .dims = sequence, .dtype = p.dtype, .extreme = extreme},
      {.name = "v", .dims = sequence, .dtype = p.dtype, .extreme = extreme},
      {.name = "w", .dims = parameter, .values = Values::decay},
      {.name = "u", .dims = parameter, .scale = 0.5f},
      {.name = "state", .dims = state, .extreme = extreme},
      {.name = "y", .dims = sequence, .dtype = p.dtype, .role = Role::output},
      {.name = "state_out", .dims = state, .role = Role::output},
  };
}

// Every algorithm multiplies and adds r into S and k^T v into S: 2 N^2 FLOPs each, per token and head.
Cost cost(const Problem& p) {
  Cost cost{.flops = 4.0 * static_cast<double>(p.B * p.H * p.new_tokens()) * static_cast<double>(p.N * p.N)};
  for (const TensorSpec& spec : tensors(p)) cost.bytes += static_cast<double>(spec.bytes());
  return cost;
}

reference::Matrix matrix(const std::vector<double>& values, Eigen::Index columns) {
  return Eigen::Map<const reference::Matrix>(values.data(), static_cast<Eigen::Index>(values.size()) / columns,
                                             columns);
}

std::vector<double> flat(const reference::Matrix& m) { return {m.data(), m.data() + m.size()}; }

std::vector<double> scale_of(const reference::Matrix& value, const reference::Matrix& squares) {
  return flat(value.cwiseAbs().cwiseMax(squares.cwiseSqrt()));
}

// The reference run on the squares of all inputs gives the sum of squares of every product r w^n k v that enters an
// output: its root is what independent relative errors of the products add up to.
reference::Wkv5Head squared(reference::Wkv5Head head) {
  for (reference::Matrix* matrix : {&head.r, &head.k, &head.v, &head.state}) *matrix = matrix->cwiseAbs2();
  for (reference::Vector* vector : {&head.w, &head.u}) *vector = vector->cwiseAbs2();
  return head;
}

// What roundings of the state add to the outputs' variance, in squared units of roundoff.
struct Rounding {
  reference::Matrix y, state;
};

// The state is rounded twice a token, in proportion to what it then is, and an error decays with it: the variance is
// carried along the recurrence. A state far from its mean square stays there as long as it remembers, so that the mean
// square alone would make the errors of a slow channel too small by the root of how far.
Rounding accumulated_rounding(const reference::Wkv5Head& head) {
  Rounding rounding{reference::Matrix(head.r.rows(), head.r.cols()),
                    reference::Matrix::Zero(head.state.rows(), head.state.cols())};
  reference::Matrix state = head.state;
  const auto decay = head.w.replicate(1, state.cols()).array();
  for (Eigen::Index t = 0; t < head.r.rows(); ++t) {
    rounding.y.row(t).noalias() = head.r.row(t).cwiseAbs2() * rounding.state;
    state.array() *= decay;
    state.noalias() += head.k.row(t).transpose() * head.v.row(t);
    rounding.state.array() = decay.square() * rounding.state.array() + 2 * state.array().square();
  }
  return rounding;
}

// Roundings of w S are not independent where they see nearly the same S again: what w takes off it is then rounded the
// same way. In units of S's last place that is (1 - w) / 2u, and it changes from token to token by as much as S does
// relatively. If that is less than one unit, the roundings drift: two a token, of w S and of its sum with k v, for as
// long as the state remembers. A w of 1 takes nothing off and is exact.
double drifting_roundings(const reference::Wkv5Head& head) {
  const auto tokens = static_cast<double>(head.k.rows()), N = static_cast<double>(head.k.cols());
  double drifting = 0;
  for (Eigen::Index i = 0; i < head.k.cols(); ++i) {
    const double taken = 1 - head.w[i];
    if (taken == 0) continue;
    const double remembered = std::min(tokens, 1 / taken);
    const double kv = head.k.col(i).norm() * head.v.norm() / (tokens * std::sqrt(N));
    const double state = std::max(head.state.row(i).cwiseAbs().maxCoeff(), kv * std::sqrt(remembered));
    if (taken * (kv + taken * state) < 2 * unit_roundoff(DType::f32) * state) {
      drifting = std::max(drifting, 2 * remembered);
    }
  }
  return drifting;
}

std::vector<ExpectedOutput> expected(const TensorSet& set, const Problem& p, const Slice& slice) {
  const auto read = [&](std::string_view tensor) {
    return matrix(read_slice(set, tensor, slice.batch, slice.head), p.N);
  };
  reference::Wkv5Head head{
      read("r"),    read("k"), read("v"), reference::Vector(read("w").row(0)), reference::Vector(read("u").row(0)),
      read("state")};
  const double drift = drifting_roundings(head);
  const Rounding rounding = accumulated_rounding(head);
  const auto value = reference::wkv5(head);
  const auto squares = reference::wkv5(squared(std::move(head)));
  // The sum over i rounds N times more.
  const auto growth = [&](const std::vector<double>& scale, const reference::Matrix& variance) {
    double largest = 0;
    for (size_t n = 0; n < scale.size(); ++n) {
      if (scale[n] > 0) largest = std::max(largest, variance.data()[n] / (scale[n] * scale[n]));
    }
    return std::sqrt(static_cast<double>(p.N) + largest);
  };
  ExpectedOutput y{.tensor = "y", .value = flat(value.y), .scale = scale_of(value.y, squares.y)};
  ExpectedOutput state{
      .tensor = "state_out", .value = flat(value.state), .scale = scale_of(value.state, squares.state)};
  y.drift = state.drift = drift;
  y.growth = growth(y.scale, rounding.y);
  state.growth = growth(state.scale, rounding.state);
  return {y, state};
}

const RegisteredOperator registered{{.name = std::string(Wkv5::kName),
                                     .summary = "RWKV-5.2 (Eagle) linear attention with per-channel decay",
                                     .tensors = tensors,
                                     .cost = cost,
                                     .reference = expected}};

}  // namespace

Wkv5Tensors Wkv5::bind(const TensorAddresses& set) {
  return {.r = set.data("r"),
          .k = set.data("k"),
          .v = set.data("v"),
          .w = set.as<float>("w"),
          .u = set.as<float>("u"),
          .state = set.as<float>("state"),
          .y = set.data("y"),
          .state_out = set.as<float>("state_out")};
}

}  // namespace wkv::kernels
