// The references of the rivals: hand-worked cases, and properties that tie them to each other and to their definitions.
#include <catch2/catch.hpp>
#include <cmath>
#include <random>

#include "reference/aft.hpp"
#include "reference/gru.hpp"
#include "reference/lstm.hpp"
#include "reference/wkv4.hpp"

namespace wkv::reference {
namespace {

Matrix random_matrix(std::mt19937_64& rng, Eigen::Index rows, Eigen::Index cols) {
  std::normal_distribution<double> normal;
  return Matrix::NullaryExpr(rows, cols, [&] { return normal(rng); });
}

Wkv4Problem random_wkv4(Eigen::Index T, Eigen::Index C) {
  std::mt19937_64 rng(1);
  return {random_matrix(rng, T, C), random_matrix(rng, T, C), random_matrix(rng, 1, C).row(0).cwiseAbs(),
          random_matrix(rng, 1, C).row(0), empty_wkv4_state(C)};
}

RecurrentWeights random_weights(Eigen::Index gates, Eigen::Index C) {
  std::mt19937_64 rng(2);
  return {random_matrix(rng, gates * C, C), random_matrix(rng, gates * C, C), random_matrix(rng, 1, gates * C).row(0),
          random_matrix(rng, 1, gates * C).row(0)};
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

TEST_CASE("reference wkv4: the recurrence agrees with the sums of equation 16") {
  const Wkv4Problem problem = random_wkv4(13, 3);
  Matrix y(13, 3);
  for (Eigen::Index c = 0; c < 3; ++c) {
    for (Eigen::Index t = 0; t < 13; ++t) {
      double numerator = std::exp(problem.u[c] + problem.k(t, c)) * problem.v(t, c);
      double denominator = std::exp(problem.u[c] + problem.k(t, c));
      for (Eigen::Index i = 0; i < t; ++i) {
        const double weight = std::exp(-double(t - 1 - i) * problem.w[c] + problem.k(i, c));
        numerator += weight * problem.v(i, c);
        denominator += weight;
      }
      y(t, c) = numerator / denominator;
    }
  }
  REQUIRE(wkv4(problem).y.isApprox(y, 1e-13));
}

TEST_CASE("reference wkv4: keys far beyond the range of exp do not overflow") {
  Wkv4Problem problem = random_wkv4(4, 2);
  problem.k.array() += 5000;
  const Wkv4Problem moderate = random_wkv4(4, 2);
  REQUIRE(wkv4(problem).y.isApprox(wkv4(moderate).y, 1e-11));
}

TEST_CASE("reference wkv4: two pieces with the carried state equal one run") {
  const Wkv4Problem whole = random_wkv4(11, 4);
  Wkv4Problem first = whole, second = whole;
  first.k = whole.k.topRows(4), first.v = whole.v.topRows(4);
  second.k = whole.k.bottomRows(7), second.v = whole.v.bottomRows(7);
  second.state = wkv4(first).state;
  REQUIRE(wkv4(second).y.isApprox(wkv4(whole).y.bottomRows(7), 1e-13));
}

TEST_CASE("reference aft: with decaying position biases it is wkv4, gated") {
  const Wkv4Problem problem = random_wkv4(9, 1);
  Matrix bias(9, 9);
  for (Eigen::Index t = 0; t < 9; ++t) {
    for (Eigen::Index i = 0; i < 9; ++i) bias(t, i) = i == t ? problem.u[0] : -double(t - 1 - i) * problem.w[0];
  }
  std::mt19937_64 rng(3);
  const Matrix q = random_matrix(rng, 9, 1);
  const Matrix y = aft(q, problem.k, problem.v, bias, 9), expected = wkv4(problem).y;
  for (Eigen::Index t = 0; t < 9; ++t) REQUIRE(y(t, 0) == Approx(sigmoid(q(t, 0)) * expected(t, 0)).epsilon(1e-12));
}

TEST_CASE("reference aft: equal keys without bias give the gated mean of the values so far") {
  Matrix v(3, 1);
  v << 3, 5, 10;
  const Matrix y = aft(Matrix::Zero(3, 1), Matrix::Ones(3, 1), v, Matrix::Ones(3, 3), 0);
  REQUIRE(y(0, 0) == Approx(1.5));
  REQUIRE(y(1, 0) == Approx(2));
  REQUIRE(y(2, 0) == Approx(3));
}

TEST_CASE("reference aft: outside the window the position bias counts as zero") {
  std::mt19937_64 rng(4);
  const Matrix q = random_matrix(rng, 6, 2), k = random_matrix(rng, 6, 2), v = random_matrix(rng, 6, 2);
  const Matrix bias = random_matrix(rng, 6, 6);
  Matrix cut = bias;
  for (Eigen::Index t = 0; t < 6; ++t) {
    for (Eigen::Index i = 0; i + 2 <= t; ++i) cut(t, i) = 0;
  }
  REQUIRE(aft(q, k, v, bias, 2) == aft(q, k, v, cut, 6));
  REQUIRE_FALSE(aft(q, k, v, bias, 2).isApprox(aft(q, k, v, bias, 6), 1e-3));
}

TEST_CASE("reference aft: keys without bias can be replaced by what they amount to") {
  std::mt19937_64 rng(6);
  const Matrix q = random_matrix(rng, 6, 2), k = random_matrix(rng, 6, 2), v = random_matrix(rng, 6, 2);
  const Matrix bias = random_matrix(rng, 6, 6);
  const AftMeans means = aft_means(k, v);
  Matrix few_k(3, 2), few_v(3, 2);  // for keys 0 to 3, 4, 5
  few_k << means.k.row(3), k.bottomRows(2);
  few_v << means.v.row(3), v.bottomRows(2);
  const Vector few_bias = (Vector(3) << 0, bias(5, 4), bias(5, 5)).finished();
  REQUIRE(aft_row(q.row(5), few_k, few_v, few_bias).y.isApprox(aft(q, k, v, bias, 2).row(5).transpose(), 1e-13));
}

TEST_CASE("reference lstm: one channel, step by step, gates in the order input, forget, cell, output") {
  RecurrentWeights weights{Matrix(4, 1), Matrix(4, 1), Vector(4), Vector(4)};
  weights.input << 0.5, -0.25, 1, 2;
  weights.recurrent << -1, 0.75, 0.5, 0.125;
  weights.input_bias << 0.1, 0.2, 0.3, 0.4;
  weights.recurrent_bias << 0.01, 0.02, 0.03, 0.04;
  const double x = 1.5, h = 0.5, c = -2;
  const double new_c =
      sigmoid(-0.25 * x + 0.75 * h + 0.22) * c + sigmoid(0.5 * x - h + 0.11) * std::tanh(x + 0.5 * h + 0.33);
  const LstmResult result = lstm(weights, Matrix::Constant(1, 1, x), Vector::Constant(1, h), Vector::Constant(1, c));
  REQUIRE(result.c[0] == Approx(new_c).epsilon(1e-14));
  REQUIRE(result.h[0] == Approx(sigmoid(2 * x + 0.125 * h + 0.44) * std::tanh(new_c)).epsilon(1e-14));
}

TEST_CASE("reference gru: one channel, step by step, the reset gate on the recurrent product and its bias") {
  RecurrentWeights weights{Matrix(3, 1), Matrix(3, 1), Vector(3), Vector(3)};
  weights.input << 0.5, -0.25, 1;
  weights.recurrent << -1, 0.75, 0.5;
  weights.input_bias << 0.1, 0.2, 0.3;
  weights.recurrent_bias << 0.01, 0.02, 0.03;
  const double x = 1.5, h = 0.5;
  const double reset = sigmoid(0.5 * x - h + 0.11), update = sigmoid(-0.25 * x + 0.75 * h + 0.22);
  const double fresh = std::tanh(x + 0.3 + reset * (0.5 * h + 0.03));
  const GruResult result = gru(weights, Matrix::Constant(1, 1, x), Vector::Constant(1, h));
  REQUIRE(result.h[0] == Approx((1 - update) * fresh + update * h).epsilon(1e-14));
}

TEST_CASE("reference lstm and gru: two pieces with the carried state equal one run") {
  std::mt19937_64 rng(5);
  const Eigen::Index C = 5;
  const Matrix x = random_matrix(rng, 8, C);
  const RecurrentWeights four = random_weights(4, C), three = random_weights(3, C);
  const LstmResult a = lstm(four, x.topRows(3), Vector::Zero(C), Vector::Zero(C));
  REQUIRE(lstm(four, x.bottomRows(5), a.h, a.c)
              .y.isApprox(lstm(four, x, Vector::Zero(C), Vector::Zero(C)).y.bottomRows(5), 1e-13));
  const GruResult b = gru(three, x.topRows(3), Vector::Zero(C));
  REQUIRE(gru(three, x.bottomRows(5), b.h).y.isApprox(gru(three, x, Vector::Zero(C)).y.bottomRows(5), 1e-13));
}

}  // namespace wkv::reference
