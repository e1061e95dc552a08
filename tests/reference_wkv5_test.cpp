#include <catch2/catch.hpp>
#include <cmath>
#include <random>

#include "reference/wkv5.hpp"

namespace wkv::reference {
namespace {

Matrix random_matrix(std::mt19937_64& rng, Eigen::Index rows, Eigen::Index cols) {
  std::normal_distribution<double> normal;
  return Matrix::NullaryExpr(rows, cols, [&] { return normal(rng); });
}

Wkv5Head random_head(Eigen::Index T, Eigen::Index N, unsigned seed) {
  std::mt19937_64 rng(seed);
  Wkv5Head head{random_matrix(rng, T, N), random_matrix(rng, T, N), random_matrix(rng, T, N), Vector(N), Vector(N),
                random_matrix(rng, N, N)};
  std::uniform_real_distribution<double> decay(-9.2, 1.9), bonus(-1, 1);
  for (Eigen::Index i = 0; i < N; ++i) {
    head.w[i] = std::exp(-std::exp(decay(rng)));
    head.u[i] = bonus(rng);
  }
  return head;
}

TEST_CASE("reference wkv5: two tokens of one channel, worked out by hand") {
  Wkv5Head head{Matrix(2, 1), Matrix(2, 1), Matrix(2, 1), Vector(1), Vector(1), Matrix(1, 1)};
  head.r << 2, 3;
  head.k << 5, 7;
  head.v << 11, 13;
  head.w << 0.5;
  head.u << 0.25;
  head.state << 4;
  const Wkv5Result result = wkv5(head);
  REQUIRE(result.y(0, 0) == 2 * (4 + 0.25 * 55));
  REQUIRE(result.y(1, 0) == 3 * (57 + 0.25 * 91));
  REQUIRE(result.state(0, 0) == 0.5 * 57 + 91);
}

TEST_CASE("reference wkv5: the state is indexed by key channel, then value channel") {
  Wkv5Head head{Matrix(1, 2), Matrix(1, 2), Matrix(1, 2), Vector::Ones(2), Vector::Zero(2), Matrix::Zero(2, 2)};
  head.r << 1, 0;
  head.k << 1, 2;
  head.v << 3, 5;
  Matrix expected(2, 2);
  expected << 3, 5, 6, 10;
  REQUIRE(wkv5(head).state == expected);
}

TEST_CASE("reference wkv5: two pieces with the carried state equal one run") {
  const Wkv5Head head = random_head(29, 8, 1);
  const Wkv5Result whole = wkv5(head);
  Wkv5Head first = head, second = head;
  first.r = head.r.topRows(11), first.k = head.k.topRows(11), first.v = head.v.topRows(11);
  second.r = head.r.bottomRows(18), second.k = head.k.bottomRows(18), second.v = head.v.bottomRows(18);
  const Wkv5Result a = wkv5(first);
  second.state = a.state;
  const Wkv5Result b = wkv5(second);
  REQUIRE(a.y.isApprox(whole.y.topRows(11), 1e-14));
  REQUIRE(b.y.isApprox(whole.y.bottomRows(18), 1e-14));
  REQUIRE(b.state.isApprox(whole.state, 1e-14));
}

TEST_CASE("reference wkv5: with w = 0 only the newest token stays in the state") {
  Wkv5Head head = random_head(5, 4, 2);
  head.w.setZero();
  const Matrix newest = head.k.row(4).transpose() * head.v.row(4);
  REQUIRE(wkv5(head).state.isApprox(newest, 1e-15));
}

TEST_CASE("reference wkv5: u enters linearly and leaves the state alone") {
  Wkv5Head head = random_head(7, 4, 3), doubled = head, none = head;
  doubled.u *= 2;
  none.u.setZero();
  const Wkv5Result one = wkv5(head), two = wkv5(doubled), zero = wkv5(none);
  REQUIRE((two.y - one.y).isApprox(one.y - zero.y, 1e-12));
  REQUIRE(two.state == zero.state);
}

TEST_CASE("reference wkv5: the T x T decay-matrix form agrees with the recurrence") {
  const Eigen::Index T = 17, N = 6;
  const Wkv5Head head = random_head(T, N, 4);
  Matrix scores = Matrix::Zero(T, T), y(T, N);
  for (Eigen::Index t = 0; t < T; ++t) {
    for (Eigen::Index s = 0; s <= t; ++s) {
      for (Eigen::Index i = 0; i < N; ++i) {
        const double decay = s == t ? head.u[i] : std::pow(head.w[i], double(t - 1 - s));
        scores(t, s) += head.r(t, i) * decay * head.k(s, i);
      }
    }
    const Vector decayed = head.r.row(t).transpose().array() * head.w.array().pow(double(t));
    y.row(t) = decayed.transpose() * head.state;
  }
  y += scores * head.v;
  REQUIRE(wkv5(head).y.isApprox(y, 1e-12));
}

}  // namespace
}  // namespace wkv::reference
