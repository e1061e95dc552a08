#include "harness/operator.hpp"

#include <fmt/format.h>

#include <map>
#include <stdexcept>

namespace wkv {
namespace {

using OperatorMap = std::map<std::string, Operator, std::less<>>;

OperatorMap& registry() {
  static OperatorMap operators;  // inside a function: registered from other files' static initialisers
  return operators;
}

}  // namespace

std::vector<int64_t> slice_offsets(const TensorSpec& spec, const Slice& slice) {
  std::vector<int64_t> offsets{0};
  for (const Dim& dim : spec.dims) {
    std::vector<int64_t> positions;
    if (dim.axis == Axis::batch) {
      positions = {slice.batch};
    } else if (dim.axis == Axis::head) {
      positions = {slice.head};
    } else if (dim.axis == Axis::time && !slice.times.empty()) {
      positions = slice.times;
    } else {
      for (int64_t i = 0; i < dim.size; ++i) positions.push_back(i);
    }
    std::vector<int64_t> next;
    next.reserve(offsets.size() * positions.size());
    for (const int64_t offset : offsets) {
      for (const int64_t position : positions) next.push_back(offset * dim.size + position);
    }
    offsets = std::move(next);
  }
  return offsets;
}

std::vector<double> read_slice(const TensorSet& set, std::string_view tensor, int64_t batch, int64_t head) {
  return read_slice(set, tensor, {.batch = batch, .head = head, .times = {}});
}

std::vector<double> read_slice(const TensorSet& set, std::string_view tensor, const Slice& slice) {
  TensorSpec rows = set.spec(tensor);  // of channels, read as they lie
  int64_t row_size = 1;
  while (!rows.dims.empty() && rows.dims.back().axis == Axis::channel) {
    row_size *= rows.dims.back().size;
    rows.dims.pop_back();
  }
  const std::byte* data = set.data(tensor);
  const std::vector<int64_t> offsets = slice_offsets(rows, slice);
  std::vector<double> values;
  values.reserve(offsets.size() * static_cast<size_t>(row_size));
  for (const int64_t row : offsets) {
    for (int64_t i = 0; i < row_size; ++i) values.push_back(element(data, rows.dtype, row * row_size + i));
  }
  return values;
}

RegisteredOperator::RegisteredOperator(Operator op) {
  const std::string name = op.name;
  registry().emplace(name, std::move(op));
}

std::vector<const Operator*> all_operators() {
  std::vector<const Operator*> operators;
  for (const auto& [name, op] : registry()) operators.push_back(&op);
  return operators;
}

const Operator& operator_named(std::string_view name) {
  const auto found = registry().find(name);
  if (found == registry().end()) throw std::out_of_range(fmt::format("no operator named \"{}\"", name));
  return found->second;
}

}  // namespace wkv
