#include "reference/aft.hpp"

namespace wkv::reference {

AftRow aft_row(const Vector& q, const Matrix& k, const Matrix& v, const Vector& bias) {
  const Matrix exponent = k.colwise() + bias;
  const Eigen::RowVectorXd largest = exponent.colwise().maxCoeff();
  const Matrix weight = (exponent.rowwise() - largest).array().exp();
  const Eigen::ArrayXd denominator = weight.colwise().sum().transpose().array();
  const Eigen::ArrayXd gate = 1 / (1 + (-q.array()).exp());
  const Eigen::RowVectorXd factor = (gate / denominator).matrix().transpose();
  AftRow row{Vector(), weight.array().rowwise() * factor.array()};
  row.y = row.share.cwiseProduct(v).colwise().sum();
  return row;
}

AftMeans aft_means(const Matrix& k, const Matrix& v) {
  AftMeans means{k, v};
  for (Eigen::Index t = 1; t < k.rows(); ++t) {
    const Eigen::ArrayXd older = means.k.row(t - 1).transpose(), own = k.row(t).transpose();
    const Eigen::ArrayXd largest = older.max(own), older_weight = (older - largest).exp(),
                         own_weight = (own - largest).exp(), sum = older_weight + own_weight;
    means.k.row(t) = largest + sum.log();
    means.v.row(t) =
        (older_weight * means.v.row(t - 1).transpose().array() + own_weight * v.row(t).transpose().array()) / sum;
  }
  return means;
}

Matrix aft(const Matrix& q, const Matrix& k, const Matrix& v, const Matrix& bias, Eigen::Index window) {
  Matrix y(q.rows(), v.cols());
  for (Eigen::Index t = 0; t < q.rows(); ++t) {
    Vector row = bias.row(t).head(t + 1);
    const Eigen::Index outside = std::max<Eigen::Index>(0, t + 1 - window);
    row.head(outside).setZero();
    y.row(t) = aft_row(q.row(t), k.topRows(t + 1), v.topRows(t + 1), row).y;
  }
  return y;
}

}  // namespace wkv::reference
