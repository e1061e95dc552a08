#include "kernels/aft/aft.hpp"

#include <cmath>
#include <numeric>

#include "harness/operator.hpp"
#include "reference/aft.hpp"

namespace wkv::kernels {
namespace {

using reference::Matrix;
using reference::Vector;

std::vector<TensorSpec> tensors(const Problem& p) {
  const AftWindow window(p);
  const std::vector<Dim> query{
      {Axis::batch, p.B}, {Axis::time, p.new_tokens()}, {Axis::head, p.H}, {Axis::channel, p.N}};
  const std::vector<Dim> context{{Axis::batch, p.B}, {Axis::time, p.T}, {Axis::head, p.H}, {Axis::channel, p.N}};
  constexpr float kGate = 8;    // 1 / (1 + exp(-q)) has no smaller value in fp32 than for q = -88
  constexpr float kSharp = 30;  // exponents up to a hundred: the weighted mean becomes a choice
  std::vector<TensorSpec> specs{
      {.name = "q", .dims = query, .dtype = p.dtype, .extreme = kGate},
      {.name = "k", .dims = context, .dtype = p.dtype, .extreme = kSharp},
      {.name = "v", .dims = context, .dtype = p.dtype, .extreme = 1e4f},
      {.name = "y", .dims = query, .dtype = p.dtype, .role = Role::output},
  };
  if (window.W > 0) {
    specs.push_back(
        {.name = "bias", .dims = {{Axis::channel, window.queries}, {Axis::channel, window.W}}, .extreme = kSharp});
  }
  return specs;
}

// For numerator and denominator: a pair of query and key with a bias takes a product and a sum each, other keys a sum,
// once for all queries. Then an exponential for a key, and the gate and the quotient for a query.
Cost cost(const Problem& p) {
  const AftWindow window(p);
  double pairs = 0;
  if (p.mode == Mode::decode) {
    pairs = static_cast<double>(window.W);
  } else {  // the first W queries have one more each, the others W
    const auto T = static_cast<double>(p.T), W = static_cast<double>(window.W);
    pairs = W * (W + 1) / 2 + (T - W) * W;
  }
  Cost cost{.flops = static_cast<double>(p.B * p.channels()) *
                     (4 * pairs + 4 * static_cast<double>(p.T) + 5 * static_cast<double>(p.new_tokens()))};
  for (const TensorSpec& spec : tensors(p)) cost.bytes += static_cast<double>(spec.bytes());
  return cost;
}

Matrix matrix(const std::vector<double>& values, Eigen::Index columns) {
  return Eigen::Map<const Matrix>(values.data(), static_cast<Eigen::Index>(values.size()) / columns, columns);
}

// How often the largest exponent so far is replaced, in the column where that happens most.
double records(const Matrix& exponent) {
  Eigen::ArrayXd largest = exponent.row(0).transpose(), count = Eigen::ArrayXd::Zero(exponent.cols());
  for (Eigen::Index i = 1; i < exponent.rows(); ++i) {
    const auto row = exponent.row(i).transpose().array();
    count += (row > largest).cast<double>();
    largest = largest.max(row);
  }
  return count.maxCoeff();
}

// The keys and biases of a row, where the keys outside of the window are one (reference::aft_means).
struct Row {
  Matrix k, v, v_size;
  Vector bias;
};

class Rows {
 public:
  Rows(const TensorSet& set, const Problem& p, const Slice& slice)
      : window_(p), bias_(window_.W > 0 ? set.as<float>("bias") : nullptr) {
    k_ = matrix(read_slice(set, "k", slice.batch, slice.head), p.N);
    v_ = matrix(read_slice(set, "v", slice.batch, slice.head), p.N);
    if (window_.W < window_.T) {
      means_ = reference::aft_means(k_, v_);
      mean_size_ = reference::aft_means(k_, v_.cwiseAbs()).v;
    }
  }

  Row at(int64_t query) const {
    const Eigen::Index outside = window_.outside(query), inside = window_.position(query) + 1 - outside,
                       rows = inside + (outside > 0 ? 1 : 0);
    Row row{Matrix(rows, k_.cols()), Matrix(rows, k_.cols()), Matrix(rows, k_.cols()), Vector::Zero(rows)};
    if (outside > 0) {
      row.k.row(0) = means_.k.row(outside - 1);
      row.v.row(0) = means_.v.row(outside - 1);
      row.v_size.row(0) = mean_size_.row(outside - 1);
    }
    row.k.bottomRows(inside) = k_.middleRows(outside, inside);
    row.v.bottomRows(inside) = v_.middleRows(outside, inside);
    row.v_size.bottomRows(inside) = v_.middleRows(outside, inside).cwiseAbs();
    for (Eigen::Index i = 0; i < inside; ++i) {
      row.bias[rows - inside + i] = bias_[window_.row(query) + outside + i];
    }
    return row;
  }
  const Matrix& k() const { return k_; }

 private:
  AftWindow window_;
  const float* bias_;
  Matrix k_, v_;
  reference::AftMeans means_;
  Matrix mean_size_;
};

// Roundings in units of roundoff, relative to sums of sizes. What an exponential is off by: in fp32 its argument is off
// in proportion to the numbers that it is made of, which are at most the largest key, the largest bias and as much
// again for what is subtracted from each, in natural units and again in powers of two; and a few units of its own.
// Where the largest exponent so far is replaced, the sums are multiplied by another one: their arguments add up to no
// more than the largest differences. All of that may go the same way, for numerator and denominator. Their sums round
// independently, twice a key.
std::vector<ExpectedOutput> expected(const TensorSet& set, const Problem& p, const Slice& slice) {
  const Matrix q = matrix(read_slice(set, "q", slice.batch, slice.head), p.N);
  const Rows rows(set, p, slice);
  std::vector<int64_t> times = slice.times;
  if (times.empty()) {
    times.resize(static_cast<size_t>(p.new_tokens()));
    std::iota(times.begin(), times.end(), 0);
  }
  ExpectedOutput y{.tensor = "y", .value = {}, .scale = {}};
  const double key_records = records(rows.k()), largest_key = rows.k().cwiseAbs().maxCoeff();
  double most_records = key_records, largest_bias = 0;
  for (const int64_t t : times) {
    const Row row = rows.at(t);
    const reference::AftRow result = reference::aft_row(q.row(t), row.k, row.v, row.bias);
    const Vector scale = result.share.cwiseProduct(row.v_size).colwise().sum();
    y.value.insert(y.value.end(), result.y.begin(), result.y.end());
    y.scale.insert(y.scale.end(), scale.begin(), scale.end());
    largest_bias = std::max(largest_bias, row.bias.cwiseAbs().maxCoeff());
    most_records = std::max(most_records, records(row.k.colwise() + row.bias) + key_records);
  }
  const double exponential = 4 * (largest_key + largest_bias) + 16;
  const double replaced = 4 * (largest_key + largest_bias) + 4 * most_records;
  const double gate = 2 * q.cwiseAbs().maxCoeff() + 16;
  y.drift = 2 * (exponential + replaced) + gate;
  y.growth = 2 * std::sqrt(static_cast<double>(p.T));
  return {y};
}

const RegisteredOperator registered{{.name = std::string(Aft::kName),
                                     .summary = "Attention Free Transformer: full, or by --window local or simple",
                                     .tensors = tensors,
                                     .cost = cost,
                                     .reference = expected,
                                     .sequential = false,
                                     .windowed = true}};

}  // namespace

AftTensors Aft::bind(const TensorAddresses& set) {
  return {.q = set.data("q"),
          .k = set.data("k"),
          .v = set.data("v"),
          .bias = set.contains("bias") ? set.as<float>("bias") : nullptr,
          .y = set.data("y")};
}

}  // namespace wkv::kernels
