#include "reference/lstm.hpp"

namespace wkv::reference {

LstmResult lstm(const RecurrentWeights& weights, const Matrix& x, const Vector& h, const Vector& c) {
  const Eigen::Index C = h.size();
  const auto sigmoid = [](const auto& a) -> Eigen::ArrayXd { return 1 / (1 + (-a.array()).exp()); };
  LstmResult result{Matrix(x.rows(), C), h, c};
  for (Eigen::Index t = 0; t < x.rows(); ++t) {
    const Vector gates = weights.input * x.row(t).transpose() + weights.input_bias + weights.recurrent * result.h +
                         weights.recurrent_bias;
    const Eigen::ArrayXd input = sigmoid(gates.segment(0, C)), forget = sigmoid(gates.segment(C, C));
    const Eigen::ArrayXd cell = gates.segment(2 * C, C).array().tanh(), output = sigmoid(gates.segment(3 * C, C));
    result.c = forget * result.c.array() + input * cell;
    result.h = output * result.c.array().tanh();
    result.y.row(t) = result.h;
  }
  return result;
}

}  // namespace wkv::reference
