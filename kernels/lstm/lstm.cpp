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

// From a state with these errors on.
Rounding accumulated_rounding(const RecurrentInputs& in, const reference::Vector& first_c,
                              const reference::LstmResult& result, Errors h_error, Errors c_error) {
  const ProductErrors products(in.weights);
  const Eigen::Index C = in.C;
  Errors c = first_c;
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
    h_error = h_error.min(unknown(C, 2));  // h lies within +-1
    if (t >= in.first) rounding.y = std::max(rounding.y, h_error.maxCoeff());
  }
  rounding.c = (c_error / c.abs().max(1)).maxCoeff();
  return rounding;
}

// Before the inputs' rows c has grown by 1 a row at most, and h lies within +-1.
Rounding rounding_from_unknown_state(const RecurrentInputs& in, const reference::Vector& c,
                                     const reference::LstmResult& result) {
  const double largest_c = in.vector("c").cwiseAbs().maxCoeff() + static_cast<double>(in.skipped);
  return accumulated_rounding(in, c, result, unknown(in.C, 1), unknown(in.C, largest_c));
}

std::vector<ExpectedOutput> expected(const TensorSet& set, const Problem& p, const Slice& slice, int64_t before) {
  const RecurrentInputs in(set, p, slice, before);
  const reference::Vector c = in.state("c");
  const auto result = reference::lstm(in.weights, in.x, in.h, c);
  Rounding rounding = accumulated_rounding(in, c, result, Errors::Zero(in.C), Errors::Zero(in.C));
  if (!in.knows_state()) {
    const Rounding open = rounding_from_unknown_state(in, c, result);
    if (shows(rounding.y, open.y) || shows(rounding.c, open.c)) return expected(set, p, slice, 4 * before);
    rounding = open;
  }
  std::vector<ExpectedOutput> outputs{expected_within("y", flat(in.compared(result.y)), rounding.y)};
  if (in.to_the_end) {
    outputs.push_back(expected_within("h_out", flat(result.h), rounding.y));
    outputs.push_back(expected_within("c_out", flat(result.c), rounding.c));
  }
  return outputs;
}

std::vector<ExpectedOutput> expected_of_slice(const TensorSet& set, const Problem& p, const Slice& slice) {
  return expected(set, p, slice, kForgottenAfter);
}

const RegisteredOperator registered{{.name = std::string(Lstm::kName),
                                     .summary = "LSTM with hidden size H N, as PyTorch and cuDNN define it",
                                     .tensors = tensors,
                                     .cost = cost,
                                     .reference = expected_of_slice,
                                     .forgets_after = kForgottenAfter,
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
