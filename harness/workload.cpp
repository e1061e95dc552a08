#include "harness/workload.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <stdexcept>
#include <utility>

namespace wkv {
namespace {

// Of minimal FLOPs for one set: about a second on two cores, since the references are plain and run more than once.
constexpr double kReferenceFlops = 1e9;

// `count` of [0, size): ascending, the first and the last and one at random from each equal part between them.
std::vector<int64_t> spread(int64_t size, int64_t count, std::mt19937_64& random) {
  std::vector<int64_t> positions;
  if (count >= size) {
    positions.resize(static_cast<size_t>(size));
    std::iota(positions.begin(), positions.end(), 0);
    return positions;
  }
  const int64_t inner = count - 2;
  positions.push_back(0);
  for (int64_t i = 0; i < inner; ++i) {
    const int64_t begin = 1 + i * (size - 2) / inner, end = 1 + (i + 1) * (size - 2) / inner;
    positions.push_back(begin + static_cast<int64_t>(random() % static_cast<uint64_t>(end - begin)));
  }
  positions.push_back(size - 1);
  return positions;
}

// An output that the tensor's type cannot hold makes every variant wrong: that is the inputs' fault, not theirs.
void require_representable(const ExpectedOutput& output) {
  const auto within = [](double value) { return std::abs(value) < std::numeric_limits<float>::max(); };
  if (!std::all_of(output.value.begin(), output.value.end(), within)) {
    throw std::runtime_error(
        fmt::format("the inputs make values of output \"{}\" that are not finite in fp32", output.tensor));
  }
}

}  // namespace

InputSource generated_inputs(InputKind kind, uint64_t seed) {
  return {.name = std::string(name_of(kind)),
          .seed = seed,
          .fill = [kind, seed](const TensorSet& set, int index,
                               Executor& executor) { fill_inputs(set, kind, seed_of_set(seed, index), executor); },
          .given = nullptr};
}

Sample sample_of(const Operator& op, const Problem& problem, double reference_flops, uint64_t seed) {
  const int64_t heads = problem.B * problem.H, rows = problem.new_tokens();
  const double share = reference_flops / op.cost(problem).flops;
  int64_t sampled_heads = heads, sampled_rows = rows;
  if (share < 1 && op.sequential) {
    sampled_heads = static_cast<int64_t>(share * static_cast<double>(heads));
  } else if (share < 1) {
    // Heads and rows about equally thinned out.
    sampled_heads = static_cast<int64_t>(std::sqrt(share) * static_cast<double>(heads));
  }
  constexpr int64_t kLeastHeads = 2, kLeastRows = 16;
  sampled_heads = std::clamp(sampled_heads, std::min(heads, kLeastHeads), heads);
  if (share < 1 && !op.sequential) {
    const double rows_for_all = share * static_cast<double>(heads * rows);
    sampled_rows = std::clamp(static_cast<int64_t>(rows_for_all / static_cast<double>(sampled_heads)),
                              std::min(rows, kLeastRows), rows);
  }

  std::mt19937_64 random(seed);
  Sample sample;
  for (const int64_t head : spread(heads, sampled_heads, random)) {
    Slice slice{.batch = head / problem.H, .head = head % problem.H, .times = {}};
    if (sampled_rows < rows) slice.times = spread(rows, sampled_rows, random);
    sample.slices.push_back(std::move(slice));
  }
  sample.description = "all";
  if (sampled_heads < heads || sampled_rows < rows) {
    sample.description = fmt::format("{} of {} heads, {} of {} rows", sampled_heads, heads, sampled_rows, rows);
  }
  return sample;
}

Workload::Workload(const Operator& op, const Problem& problem, InputSource source, int sets, Executor& executor)
    : op_(&op),
      problem_(problem),
      source_(std::move(source)),
      sample_(sample_of(op, problem, kReferenceFlops, source_.seed)) {
  for (int index = 0; index < sets; ++index) sets_.emplace_back(op.tensors(problem));
  expected_.resize(sets_.size());
  checksums_.resize(sets_.size());
  for (int index = 0; index < sets; ++index) refill(index, index, executor);
}

size_t Workload::working_set_bytes() const {
  return std::accumulate(sets_.begin(), sets_.end(), size_t{0},
                         [](size_t sum, const TensorSet& set) { return sum + set.total_bytes(); });
}

size_t Workload::set_bytes(const Operator& op, const Problem& problem) {
  size_t bytes = 0;
  for (const TensorSpec& spec : op.tensors(problem)) bytes += spec.bytes();
  return bytes;
}

const std::vector<std::vector<ExpectedOutput>>& Workload::expected(int set, Executor& executor) {
  auto& expected = expected_[static_cast<size_t>(set)];
  if (expected.empty()) {
    std::vector<std::vector<ExpectedOutput>> slices(sample_.slices.size());
    executor.parallel_for(static_cast<int64_t>(slices.size()), [&](int64_t i, int) {
      auto& outputs = slices[static_cast<size_t>(i)];
      outputs = op_->reference(sets_[static_cast<size_t>(set)], problem_, sample_.slices[static_cast<size_t>(i)]);
      for (const ExpectedOutput& output : outputs) require_representable(output);
    });
    expected = std::move(slices);
  }
  return expected;
}

const std::vector<std::vector<ExpectedOutput>>& Workload::given() {
  if (given_.empty() && source_.given) {
    for (const Slice& slice : sample_.slices) given_.push_back(source_.given(problem_, slice));
  }
  return given_;
}

void Workload::refill(int set, int like, Executor& executor) {
  const TensorSet& tensors = sets_[static_cast<size_t>(set)];
  source_.fill(tensors, like, executor);
  auto& checksums = checksums_[static_cast<size_t>(set)];
  checksums.clear();
  for (const TensorSpec& spec : tensors.specs()) {
    if (spec.role == Role::input) checksums.push_back(tensors.checksum(spec));
  }
}

std::string Workload::changed_input(int set) const {
  const TensorSet& tensors = sets_[static_cast<size_t>(set)];
  auto checksum = checksums_[static_cast<size_t>(set)].begin();
  for (const TensorSpec& spec : tensors.specs()) {
    if (spec.role == Role::input && tensors.checksum(spec) != *checksum++) return spec.name;
  }
  return {};
}

}  // namespace wkv
