#include "kernels/gemm/gemm.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "harness/operator.hpp"
#include "reference/matrix.hpp"

namespace wkv::kernels {
namespace {

std::vector<TensorSpec> tensors(const Problem& p) {
  const int64_t C = p.channels(), M = Gemm::outputs(p);
  const auto sequence = [&](int64_t channels) -> std::vector<Dim> {
    return {{Axis::batch, p.B}, {Axis::time, p.new_tokens()}, {Axis::channel, channels}};
  };
  const float bound = 1 / std::sqrt(static_cast<float>(C));
  return {
      {.name = "x", .dims = sequence(C), .dtype = p.dtype, .extreme = 1e3f},
      {.name = "w",
       .dims = {{Axis::channel, M}, {Axis::channel, C}},
       .dtype = p.dtype,
       .values = Values::uniform,
       .scale = bound},
      {.name = "y", .dims = sequence(M), .dtype = p.dtype, .role = Role::output},
  };
}

Cost cost(const Problem& p) {
  const auto C = static_cast<double>(p.channels()), M = static_cast<double>(Gemm::outputs(p));
  Cost cost{.flops = 2.0 * C * M * static_cast<double>(p.B * p.new_tokens())};
  for (const TensorSpec& spec : tensors(p)) cost.bytes += static_cast<double>(spec.bytes());
  return cost;
}

// The sum of C products rounds C times; the products themselves are exact or round once more.
std::vector<ExpectedOutput> expected(const TensorSet& set, const Problem& p, const Slice& slice) {
  const auto C = static_cast<Eigen::Index>(p.channels());
  const auto read = [&](std::string_view tensor) -> reference::Matrix {
    const std::vector<double> values = read_slice(set, tensor, slice.batch, 0);
    return Eigen::Map<const reference::Matrix>(values.data(), static_cast<Eigen::Index>(values.size()) / C, C);
  };
  std::vector<int64_t> times = slice.times;
  if (times.empty()) {
    times.resize(static_cast<size_t>(p.new_tokens()));
    std::iota(times.begin(), times.end(), 0);
  }
  const reference::Matrix x = read("x")(times, Eigen::all), w = read("w");
  const reference::Matrix y = x * w.transpose();
  const reference::Matrix scale = (x.cwiseAbs2() * w.cwiseAbs2().transpose()).cwiseSqrt().cwiseMax(y.cwiseAbs());
  return {{.tensor = "y",
           .value = {y.data(), y.data() + y.size()},
           .scale = {scale.data(), scale.data() + scale.size()},
           .growth = std::sqrt(static_cast<double>(C)) + 1}};
}

const RegisteredOperator registered{{.name = std::string(Gemm::kName),
                                     .summary = "a model's projection: tokens times a matrix of H N x H N",
                                     .tensors = tensors,
                                     .cost = cost,
                                     .reference = expected,
                                     .sequential = false,
                                     .heads_apart = false}};

}  // namespace

GemmTensors Gemm::bind(const TensorAddresses& set) {
  return {.x = set.data("x"), .w = set.data("w"), .y = set.data("y")};
}

}  // namespace wkv::kernels
