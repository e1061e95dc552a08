#include "kernels/gru/gru.hpp"

#include "kernels/recurrent.hpp"
#include "reference/gru.hpp"

namespace wkv::kernels {
namespace {

std::vector<TensorSpec> tensors(const Problem& p) { return recurrent_tensors(p, Gru::kGates); }

Cost cost(const Problem& p) { return recurrent_cost(p, Gru::kGates, tensors(p)); }

// The largest errors of y, relative to max(1, |y|); recurrent.hpp says how they come about. Only an initial h beyond 1
// makes y larger than 1. From an h with these errors on.
double accumulated_rounding(const RecurrentInputs& in, const reference::GruResult& result, Errors h_error) {
  const ProductErrors products(in.weights);
  const Eigen::Index C = in.C;
  Errors h = in.h;
  double largest = 0;
  for (Eigen::Index t = 0; t < in.x.rows(); ++t) {
    const Errors input = result.input.row(t).transpose(), recurrent = result.recurrent.row(t).transpose();
    const Errors size = input.abs().max(recurrent.abs()).max((input + recurrent).abs());
    const Errors sum_error = products.rounding(size, in.x.row(t).norm(), h.matrix().norm()) + products.carried(h_error);
    const Errors r = sigmoid(input.segment(0, C) + recurrent.segment(0, C)),
                 z = sigmoid(input.segment(C, C) + recurrent.segment(C, C)), inside = recurrent.segment(2 * C, C),
                 n = (input.segment(2 * C, C) + r * inside).tanh();
    const Errors r_error = r * (1 - r) * sum_error.segment(0, C) + kFunctionError,
                 z_error = z * (1 - z) * sum_error.segment(C, C) + kFunctionError,
                 n_error =
                     (1 - n.square()) * (sum_error.segment(2 * C, C) + inside.abs() * (r_error + 1)) + kFunctionError;
    h_error = (1 - z) * n_error + z * h_error + (h - n).abs() * z_error + 2 * n.abs() + 2 * h.abs();
    h = result.y.row(t).transpose();
    if (t >= in.first) largest = std::max(largest, (h_error / h.abs().max(1)).maxCoeff());
  }
  return largest;
}

std::vector<ExpectedOutput> expected(const TensorSet& set, const Problem& p, const Slice& slice, int64_t before) {
  const RecurrentInputs in(set, p, slice, before);
  const auto result = reference::gru(in.weights, in.x, in.h);
  double rounding = accumulated_rounding(in, result, Errors::Zero(in.C));
  if (!in.knows_state()) {
    const double largest_h = std::max(1.0, in.vector("h").cwiseAbs().maxCoeff());  // of every row
    const double open = accumulated_rounding(in, result, unknown(in.C, largest_h));
    if (shows(rounding, open)) return expected(set, p, slice, 4 * before);
    rounding = open;
  }
  std::vector<ExpectedOutput> outputs{expected_within("y", flat(in.compared(result.y)), rounding)};
  if (in.to_the_end) outputs.push_back(expected_within("h_out", flat(result.h), rounding));
  return outputs;
}

std::vector<ExpectedOutput> expected_of_slice(const TensorSet& set, const Problem& p, const Slice& slice) {
  return expected(set, p, slice, kForgottenAfter);
}

const RegisteredOperator registered{{.name = std::string(Gru::kName),
                                     .summary = "GRU with hidden size H N, as PyTorch and cuDNN define it",
                                     .tensors = tensors,
                                     .cost = cost,
                                     .reference = expected_of_slice,
                                     .forgets_after = kForgottenAfter,
                                     .heads_apart = false}};

}  // namespace

GruTensors Gru::bind(const TensorAddresses& set) {
  return {.x = set.data("x"),
          .w_ih = set.as<float>("w_ih"),
          .w_hh = set.as<float>("w_hh"),
          .b_ih = set.as<float>("b_ih"),
          .b_hh = set.as<float>("b_hh"),
          .h = set.as<float>("h"),
          .y = set.data("y"),
          .h_out = set.as<float>("h_out")};
}

}  // namespace wkv::kernels
