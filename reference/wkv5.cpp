#include "reference/wkv5.hpp"

namespace wkv::reference {

Wkv5Result wkv5(const Wkv5Head& head) {
  Wkv5Result result{Matrix(head.r.rows(), head.r.cols()), head.state};
  Matrix& state = result.state;
  for (Eigen::Index t = 0; t < head.r.rows(); ++t) {
    const Vector r = head.r.row(t), k = head.k.row(t), v = head.v.row(t);
    const Matrix kv = k * v.transpose();
    result.y.row(t) = r.transpose() * (state + head.u.asDiagonal() * kv);
    state = head.w.asDiagonal() * state;
    state += kv;
  }
  return result;
}

}  // namespace wkv::reference
