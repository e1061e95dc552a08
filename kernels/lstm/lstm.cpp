#include "kernels/lstm/lstm.hpp"

#include "kernels/recurrent.hpp"

namespace wkv::kernels {
namespace {

std::vector<TensorSpec> tensors(const Problem& p) {
  std::vector<TensorSpec> specs = recurrent_tensors(p, Lstm::kGates);
  const std::vector<Dim> state{{Axis::batch, p.B}, {Axis::channel, p.channels()}};
  specs.push_back({.name = "c", .dims = state, .extreme = 64});
  specs.push_back({.name = "c_out", .dims = state, .role = Role::output});
  return specs;
}

Cost cost(const Problem& p) { return recurrent_cost(p, Lstm::kGates, tensors(p)); }

// The largest errors of y and of c_T, relative to max(1, |c|); recurrent.hpp says how they come about.
struct Rounding {
  double y = 0, c = 0;
};

Rounding accumulated_rounding(const RecurrentInputs& in, const reference::Vector& first_c,
                              const reference::LstmResult& result) {
  const ProductErrors products(in.weights);
  const Eigen::Index C = in.C;
  Errors h_error = Errors::Zero(C), c_error = Errors::Zero(C), c = first_c;
  Rounding rounding;
  for (Eigen::Index t = 0; t < in.x.rows(); ++t) {
    const Errors sums = result.gates.row(t).transpose();
    const double h_norm = t == 0 ? in.h.norm() : result.y.row(t - 1).norm();
    const Errors sum_error = products.rounding(sums, in.x.row(t).norm(), h_norm) + products.carried(h_error);
    const Errors i = sigmoid(sums.segment(0, C)), f = sigmoid(sums.segment(C, C)), g = sums.segment(2 * C, C).tanh(),
                 o = sigmoid(sums.segment(3 * C, C));
    const Errors i_error = i * (1 - i) * sum_error.segment(0, C) + kFunctionError,
                 f_error = f * (1 - f) * sum_error.segment(C, C) + kFunctionError,
                 g_error = (1 - g.square()) * sum_error.segment(2 * C, C) + kFunctionError,
                 o_error = o * (1 - o) * sum_error.segment(3 * C, C) + kFunctionError;
    c_error = f * c_error + c.abs() * f_error + i * g_error + g.abs() * i_error + (f * c).abs() + (i * g).abs();
    c = f * c + i * g;
    c_error += c.abs();
    const Errors tanh_c = c.tanh();
    h_error = o * ((1 - tanh_c.square()) * c_error + kFunctionError) + tanh_c.abs() * o_error + 1;
    rounding.y = std::max(rounding.y, h_error.maxCoeff());
  }
  rounding.c = (c_error / c.abs().max(1)).maxCoeff();
  return rounding;
}

std::vector<ExpectedOutput> expected(const TensorSet& set, const Problem& p, const Slice& slice) {
  const RecurrentInputs in(set, p, slice.batch);
  const reference::Vector c = in.vector("c");
  const auto result = reference::lstm(in.weights, in.x, in.h, c);
  const Rounding rounding = accumulated_rounding(in, c, result);
  return {expected_within("y", flat(result.y), rounding.y), expected_within("h_out", flat(result.h), rounding.y),
          expected_within("c_out", flat(result.c), rounding.c)};
}

const RegisteredOperator registered{{.name = std::string(Lstm::kName),
                                     .summary = "LSTM with hidden size H N, as PyTorch and cuDNN define it",
                                     .tensors = tensors,
                                     .cost = cost,
                                     .reference = expected,
                                     .heads_apart = false}};

}  // namespace

LstmTensors Lstm::bind(const TensorAddresses& set) {
  return {.x = set.data("x"),
          .w_ih = set.as<float>("w_ih"),
          .w_hh = set.as<float>("w_hh"),
          .b_ih = set.as<float>("b_ih"),
          .b_hh = set.as<float>("b_hh"),
          .h = set.as<float>("h"),
          .c = set.as<float>("c"),
          .y = set.data("y"),
          .h_out = set.as<float>("h_out"),
          .c_out = set.as<float>("c_out")};
}

}  // namespace wkv::kernels
