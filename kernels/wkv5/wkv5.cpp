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

std::vector<ExpectedOutput> expected(const TensorSet& set, const Problem& p, const Slice& slice) {
  const auto read = [&](std::string_view tensor) {
    return matrix(read_slice(set, tensor, slice.batch, slice.head), p.N);
  };
  reference::Wkv5Head head{
      read("r"),    read("k"), read("v"), reference::Vector(read("w").row(0)), reference::Vector(read("u").row(0)),
      read("state")};
  // The state is rounded once a token, and an error lives as long as the state remembers: sum of w^2n = 1 / (1 - w^2)
  // roundings of the slowest channel, at most T. The sum over i rounds N times more. Independent errors add as roots.
  // Not independent are the roundings of w S for a w next to 1: what it takes off S is then of the size of the rounding
  // itself, which goes the same way every time, and the errors add up as they are.
  const double w = head.w.maxCoeff();
  constexpr double kNextTo1 = 16;  // units of roundoff
  const bool coherent = ((1 - head.w.array()) / unit_roundoff(DType::f32))
                            .unaryExpr([](double units) { return units > 0 && units < kNextTo1; })
                            .any();
  const auto tokens = static_cast<double>(p.new_tokens());
  const double remembered = w * w * tokens < tokens - 1 ? std::min(tokens, 1 / (1 - w * w)) : tokens;
  const double growth = std::sqrt(static_cast<double>(p.N) + remembered) + (coherent ? tokens : 0);
  const auto value = reference::wkv5(head);
  const auto squares = reference::wkv5(squared(std::move(head)));
  return {{.tensor = "y", .value = flat(value.y), .scale = scale_of(value.y, squares.y), .growth = growth},
          {.tensor = "state_out",
           .value = flat(value.state),
           .scale = scale_of(value.state, squares.state),
           .growth = growth}};
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
