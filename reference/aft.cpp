#include "reference/aft.hpp"

namespace wkv::reference {

Vector aft_row(const Vector& q, const Matrix& k, const Matrix& v, const Vector& bias) {
  const Matrix exponent = k.colwise() + bias;
  const Eigen::RowVectorXd largest = exponent.colwise().maxCoeff();
  const Matrix weight = (exponent.rowwise() - largest).array().exp();
  const Vector numerator = weight.cwiseProduct(v).colwise().sum();
  const Vector denominator = weight.colwise().sum();
  const Eigen::ArrayXd gate = 1 / (1 + (-q.array()).exp());
  return gate * numerator.array() / denominator.array();
}

Matrix aft(const Matrix& q, const Matrix& k, const Matrix& v, const Matrix& bias, Eigen::Index window) {
  Matrix y(q.rows(), v.cols());
  for (Eigen::Index t = 0; t < q.rows(); ++t) {
    Vector row = bias.row(t).head(t + 1);
    const Eigen::Index outside = std::max<Eigen::Index>(0, t + 1 - window);
    row.head(outside).setZero();
    y.row(t) = aft_row(q.row(t), k.topRows(t + 1), v.topRows(t + 1), row);
  }
  return y;
}

}  // namespace wkv::reference
