#include "reference/lstm.hpp"

namespace wkv::reference {

LstmResult lstm(const RecurrentWeights& weights, const Matrix& x, const Vector& h, const Vector& c) {
  const Eigen::Index C = h.size();
  const auto sigmoid = [](const auto& a) -> Eigen::ArrayXd { return 1 / (1 + (-a.array()).exp()); };
  const Vector bias = weights.input_bias + weights.recurrent_bias;
  LstmResult result{Matrix(x.rows(), C), h, c, x * weights.input.transpose()};
  for (Eigen::Index t = 0; t < x.rows(); ++t) {
    const Vector gates = result.gates.row(t).transpose() + bias + weights.recurrent * result.h;
    result.gates.row(t) = gates;
    const Eigen::ArrayXd input = sigmoid(gates.segment(0, C)), forget = sigmoid(gates.segment(C, C));
    const Eigen::ArrayXd cell = gates.segment(2 * C, C).array().tanh(), output = sigmoid(gates.segment(3 * C, C));
    result.c = forget * result.c.array() + input * cell;
    result.h = output * result.c.array().tanh();
    result.y.row(t) = result.h;
  }
  return result;
}

}  // namespace wkv::reference
