#include "kernels/attention/attention.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "harness/operator.hpp"
#include "reference/attention.hpp"

namespace wkv::kernels {
namespace {

std::vector<TensorSpec> tensors(const Problem& p) {
  const std::vector<Dim> query{
      {Axis::batch, p.B}, {Axis::time, p.new_tokens()}, {Axis::head, p.H}, {Axis::channel, p.N}};
  const std::vector<Dim> context{{Axis::batch, p.B}, {Axis::time, p.T}, {Axis::head, p.H}, {Axis::channel, p.N}};
  constexpr float kSharp = 8;  // scores up to some hundreds: softmax becomes a maximum, exponents underflow
  return {
      {.name = "q", .dims = query, .dtype = p.dtype, .extreme = kSharp},
      {.name = "k", .dims = context, .dtype = p.dtype, .extreme = kSharp},
      {.name = "v", .dims = context, .dtype = p.dtype, .extreme = 1e4f},
      {.name = "y", .dims = query, .dtype = p.dtype, .role = Role::output},
  };
}

// q . k and p v: 2 N FLOPs each for every pair of the causal half, the diagonal included.
Cost cost(const Problem& p) {
  const auto T = static_cast<double>(p.T);
  const double pairs = p.mode == Mode::decode ? T : T * (T + 1) / 2;
  Cost cost{.flops = 4.0 * static_cast<double>(p.N * p.B * p.H) * pairs};
  for (const TensorSpec& spec : tensors(p)) cost.bytes += static_cast<double>(spec.bytes());
  return cost;
}

reference::Matrix matrix(const std::vector<double>& values, Eigen::Index columns) {
  return Eigen::Map<const reference::Matrix>(values.data(), static_cast<Eigen::Index>(values.size()) / columns,
                                             columns);
}

std::vector<ExpectedOutput> expected(const TensorSet& set, const Problem& p, const Slice& slice) {
  const auto read = [&](std::string_view tensor) {
    return matrix(read_slice(set, tensor, slice.batch, slice.head), p.N);
  };
  const reference::Matrix q = read("q"), k = read("k"), v = read("v");
  std::vector<int64_t> times = slice.times;
  if (times.empty()) {
    times.resize(static_cast<size_t>(p.new_tokens()));
    std::iota(times.begin(), times.end(), 0);
  }
  const reference::Matrix v_squared = v.cwiseAbs2();
  const reference::Vector k_norm = k.rowwise().norm();
  ExpectedOutput y{.tensor = "y", .value = {}, .scale = {}};
  double growth = 0, sharpest = 0;
  for (const int64_t t : times) {
    const int64_t context = p.mode == Mode::decode ? p.T : t + 1;
    const auto row = reference::attention_row(q.row(t), k.topRows(context), v.topRows(context));
    // A score is a sum of N products: it is off by sqrt(N) roundoffs of their size, and its exponential by as much
    // relatively. The weighted sum over the context rounds once a key.
    const reference::Vector scale =
        row.y.cwiseAbs().cwiseMax((v_squared.topRows(context).transpose() * row.weight.cwiseAbs2()).cwiseSqrt());
    y.value.insert(y.value.end(), row.y.begin(), row.y.end());
    y.scale.insert(y.scale.end(), scale.begin(), scale.end());
    const double score = q.row(t).norm() * k_norm.head(context).maxCoeff() / std::sqrt(p.N);
    sharpest = std::max(sharpest, score);
    growth = std::max(growth, std::sqrt(static_cast<double>(context)) + std::sqrt(static_cast<double>(p.N)) + score);
  }
  y.growth = growth;
  y.factor_growth += sharpest;  // what rounded factors do to a score, relatively to its exponential
  return {y};
}

const RegisteredOperator registered{{.name = std::string(Attention::kName),
                                     .summary = "causal softmax attention",
                                     .tensors = tensors,
                                     .cost = cost,
                                     .reference = expected,
                                     .sequential = false}};

}  // namespace

AttentionTensors Attention::bind(const TensorAddresses& set) {
  return {.q = set.data("q"), .k = set.data("k"), .v = set.data("v"), .y = set.data("y")};
}

}  // namespace wkv::kernels
