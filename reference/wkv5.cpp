#include "reference/wkv5.hpp"

namespace wkv::reference {

Wkv5Result wkv5(const Wkv5Head& head) {
  const Eigen::Index T = head.r.rows(), N = head.r.cols();
  Wkv5Result result{Matrix::Zero(T, N), head.state};
  Matrix& state = result.state;
  for (Eigen::Index t = 0; t < T; ++t) {
    for (Eigen::Index i = 0; i < N; ++i) {  // over all j at once
      result.y.row(t) += head.r(t, i) * (state.row(i) + head.u[i] * head.k(t, i) * head.v.row(t));
      state.row(i) = head.w[i] * state.row(i) + head.k(t, i) * head.v.row(t);
    }
  }
  return result;
}

}  // namespace wkv::reference
