#include <catch2/catch.hpp>
#include <cmath>
#include <random>

#include "reference/attention.hpp"

namespace wkv::reference {
namespace {

Matrix random_matrix(Eigen::Index rows, Eigen::Index columns, unsigned seed) {
  std::mt19937_64 rng(seed);
  std::normal_distribution<double> normal;
  return Matrix::NullaryExpr(rows, columns, [&] { return normal(rng); });
}

TEST_CASE("reference attention: two tokens of four channels, worked out by hand") {
  Matrix q(2, 4), k(2, 4), v(2, 4);
  q << 1, 0, 0, 0,  //
      2, 0, 0, 0;
  k << 5, 0, 0, 0,  //
      5 + std::log(3.0), 7, 7, 7;
  v << 1, 2, 3, 4,  //
      5, 6, 7, 8;
  // Scores of the second token: 2 * 5 / sqrt(4) = 5 and 5 + log 3, so the weights are 1/4 and 3/4.
  Matrix expected(2, 4);
  expected << 1, 2, 3, 4,  //
      4, 5, 6, 7;
  REQUIRE(attention(q, k, v).isApprox(expected, 1e-14));
}

TEST_CASE("reference attention: the weights of a row are positive and sum to 1") {
  const AttentionRow row =
      attention_row(random_matrix(1, 8, 1).row(0), random_matrix(20, 8, 2), random_matrix(20, 8, 3));
  REQUIRE(row.weight.size() == 20);
  REQUIRE(row.weight.minCoeff() > 0);
  REQUIRE(row.weight.sum() == Approx(1).epsilon(1e-14));
}

TEST_CASE("reference attention: equal scores give the mean of the values so far") {
  const Matrix v = random_matrix(6, 4, 1);
  const Matrix y = attention(Matrix::Zero(6, 4), random_matrix(6, 4, 2), v);
  for (Eigen::Index t = 0; t < 6; ++t) {
    REQUIRE(y.row(t).isApprox(v.topRows(t + 1).colwise().mean(), 1e-14));
  }
}

TEST_CASE("reference attention: later tokens do not matter") {
  const Matrix q = random_matrix(9, 4, 1), k = random_matrix(9, 4, 2), v = random_matrix(9, 4, 3);
  const Matrix start = attention(q.topRows(5), k.topRows(5), v.topRows(5));
  REQUIRE(attention(q, k, v).topRows(5) == start);
}

TEST_CASE("reference attention: the order of the context does not matter") {
  const Vector q = random_matrix(1, 4, 1).row(0);
  const Matrix k = random_matrix(7, 4, 2), v = random_matrix(7, 4, 3);
  const Vector y = attention_row(q, k, v).y;
  REQUIRE(attention_row(q, k.colwise().reverse(), v.colwise().reverse()).y.isApprox(y, 1e-14));
}

TEST_CASE("reference attention: the same added to every key changes nothing") {
  const Vector q = random_matrix(1, 4, 1).row(0);
  const Matrix k = random_matrix(7, 4, 2), v = random_matrix(7, 4, 3);
  const Matrix shifted = k.rowwise() + random_matrix(1, 4, 4).row(0);
  REQUIRE(attention_row(q, shifted, v).y.isApprox(attention_row(q, k, v).y, 1e-13));
}

TEST_CASE("reference attention: a score of thousands picks its value") {
  const Matrix k = Matrix::Identity(4, 4), v = random_matrix(4, 4, 1);
  Vector q = Vector::Zero(4);
  q[2] = 1e4;
  REQUIRE(attention_row(q, k, v).y.transpose() == v.row(2));
}

}  // namespace
}  // namespace wkv::reference
