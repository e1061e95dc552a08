#include "reference/wkv4.hpp"

namespace wkv::reference {
namespace {

// The sums with one more token of the given exponent and value.
Wkv4State with_token(const Wkv4State& sums, const Vector& exponent, const Vector& v) {
  const Vector largest = sums.exponent.cwiseMax(exponent);
  const Eigen::ArrayXd old_weight = (sums.exponent - largest).array().exp();
  const Eigen::ArrayXd new_weight = (exponent - largest).array().exp();
  return {old_weight * sums.numerator.array() + new_weight * v.array(),
          old_weight * sums.denominator.array() + new_weight, largest};
}

}  // namespace

Wkv4State empty_wkv4_state(Eigen::Index channels) {
  return {Vector::Zero(channels), Vector::Zero(channels), Vector::Constant(channels, -1e30)};
}

Wkv4Result wkv4(const Wkv4Problem& problem) {
  Wkv4Result result{Matrix(problem.k.rows(), problem.k.cols()), problem.state};
  for (Eigen::Index t = 0; t < problem.k.rows(); ++t) {
    const Vector k = problem.k.row(t), v = problem.v.row(t);
    const Wkv4State with_bonus = with_token(result.state, problem.u + k, v);
    result.y.row(t) = with_bonus.numerator.cwiseQuotient(with_bonus.denominator);
    // The newest token enters undecayed: seen from t + 1 it has the age 0 of the formula, and all older ones one more.
    result.state.exponent -= problem.w;
    result.state = with_token(result.state, k, v);
  }
  return result;
}

}  // namespace wkv::reference
