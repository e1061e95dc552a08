#include "reference/gru.hpp"

namespace wkv::reference {

GruResult gru(const RecurrentWeights& weights, const Matrix& x, const Vector& h) {
  const Eigen::Index C = h.size();
  const auto sigmoid = [](const Vector& a) -> Eigen::ArrayXd { return 1 / (1 + (-a.array()).exp()); };
  GruResult result{Matrix(x.rows(), C), h, x * weights.input.transpose(), Matrix(x.rows(), 3 * C)};
  for (Eigen::Index t = 0; t < x.rows(); ++t) {
    const Vector input = result.input.row(t).transpose() + weights.input_bias;
    const Vector recurrent = weights.recurrent * result.h + weights.recurrent_bias;
    result.input.row(t) = input;
    result.recurrent.row(t) = recurrent;
    const Eigen::ArrayXd reset = sigmoid(input.segment(0, C) + recurrent.segment(0, C));
    const Eigen::ArrayXd update = sigmoid(input.segment(C, C) + recurrent.segment(C, C));
    const Eigen::ArrayXd fresh = (input.segment(2 * C, C).array() + reset * recurrent.segment(2 * C, C).array()).tanh();
    result.h = (1 - update) * fresh + update * result.h.array();
    result.y.row(t) = result.h;
  }
  return result;
}

}  // namespace wkv::reference
