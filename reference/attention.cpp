#include "reference/attention.hpp"

#include <cmath>

namespace wkv::reference {

AttentionRow attention_row(const Vector& q, const Eigen::Ref<const Matrix>& k, const Eigen::Ref<const Matrix>& v) {
  const Vector score = k * q / std::sqrt(static_cast<double>(q.size()));
  const Vector unnormalised = (score.array() - score.maxCoeff()).exp();
  const Vector weight = unnormalised / unnormalised.sum();
  return {weight, v.transpose() * weight};
}

Matrix attention(const Matrix& q, const Matrix& k, const Matrix& v) {
  Matrix y(q.rows(), v.cols());
  for (Eigen::Index t = 0; t < q.rows(); ++t) {
    y.row(t) = attention_row(q.row(t), k.topRows(t + 1), v.topRows(t + 1)).y;
  }
  return y;
}

}  // namespace wkv::reference
