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

constexpr int64_t kSpan = 16;  // rows

// Spans of rows of a problem that forgets: the first one of the first entry, the last one of the last, others between.
Sample sample_of_spans(const Operator& op, const Problem& problem, double reference_flops, std::mt19937_64& random) {
  const int64_t rows = problem.new_tokens(), run = op.forgets_after + kSpan;
  const double row_flops = op.cost(problem).flops / static_cast<double>(problem.B * rows);
  const double affordable = reference_flops / (2 * row_flops * static_cast<double>(run));  // parameters are read too
  const int64_t count = std::clamp(static_cast<int64_t>(affordable), int64_t{3}, rows / run);
  const std::vector<int64_t> begins = spread(rows - kSpan + 1, count, random);
  Sample sample;
  for (int64_t i = 0; i < count; ++i) {
    Slice slice{.batch = i * problem.B / count, .head = 0, .times = std::vector<int64_t>(kSpan)};
    if (i == count - 1) slice.batch = problem.B - 1;
    std::iota(slice.times.begin(), slice.times.end(), begins[static_cast<size_t>(i)]);
    sample.slices.push_back(std::move(slice));
  }
  sample.description =
      fmt::format("{} spans of {} rows, each of one of {} batch entries with {} rows", count, kSpan, problem.B, rows);
  return sample;
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
  constexpr double kFlopsPerByte = 4;  // what reading and widening an input takes
  constexpr int64_t kLeastHeads = 4, kLeastRows = 16;
  const int64_t H = op.heads_apart ? problem.H : 1, heads = problem.B * H, rows = problem.new_tokens();
  const Cost cost = op.cost(problem);
  const double share = std::min(1.0, reference_flops / (cost.flops + kFlopsPerByte * cost.bytes));
  std::mt19937_64 random(seed);
  if (share < 1 && op.forgets_after > 0 && rows > 4 * (op.forgets_after + kSpan)) {
    return sample_of_spans(op, problem, reference_flops, random);
  }
  const auto part = [](int64_t size, double share, int64_t least) {
    return std::clamp(static_cast<int64_t>(share * static_cast<double>(size)), std::min(size, least), size);
  };
  // Heads and rows about equally thinned out, where rows can be had alone.
  const int64_t sampled_heads = part(heads, op.sequential ? share : std::sqrt(share), kLeastHeads);
  const double share_of_heads = static_cast<double>(sampled_heads) / static_cast<double>(heads);
  const int64_t sampled_rows = op.sequential ? rows : part(rows, std::min(1.0, share / share_of_heads), kLeastRows);

  Sample sample;
  for (const int64_t head : spread(heads, sampled_heads, random)) {
    Slice slice{.batch = head / H, .head = head % H, .times = {}};
    if (sampled_rows < rows) slice.times = spread(rows, sampled_rows, random);
    sample.slices.push_back(std::move(slice));
  }
  sample.description = "all";
  if (sampled_heads < heads || sampled_rows < rows) {
    sample.description = fmt::format("{} of {} {}, {} of {} rows", sampled_heads, heads,
                                     op.heads_apart ? "heads" : "batch entries", sampled_rows, rows);
  }
  return sample;
}

Workload::Workload(const Operator& op, const Problem& problem, InputSource source, int sets, Executor& executor,
                   double reference_flops)
    : op_(&op),
      problem_(problem),
      source_(std::move(source)),
      sample_(sample_of(op, problem, reference_flops, source_.seed)),
      expected_(static_cast<size_t>(sets)) {
  for (int set = 0; set < sets; ++set) {
    sets_.push_back({.tensors = TensorSet(op.tensors(problem)), .contents = set, .checksums = {}});
  }
  for (int set = 0; set < sets; ++set) restore(set, executor);
}

size_t Workload::working_set_bytes() const {
  return std::accumulate(sets_.begin(), sets_.end(), size_t{0},
                         [](size_t sum, const Set& set) { return sum + set.tensors.total_bytes(); });
}

size_t Workload::set_bytes(const Operator& op, const Problem& problem) {
  size_t bytes = 0;
  for (const TensorSpec& spec : op.tensors(problem)) bytes += spec.bytes();
  return bytes;
}

const ExpectedSample& Workload::expected(int set, Executor& executor) {
  const auto& [tensors, contents, checksums] = at(set);
  ExpectedSample& expected = expected_[static_cast<size_t>(contents)];
  if (expected.empty()) {
    ExpectedSample slices(sample_.slices.size());
    executor.parallel_for(static_cast<int64_t>(slices.size()), [&, &inputs = tensors](int64_t i, int) {
      auto& outputs = slices[static_cast<size_t>(i)];
      outputs = op_->reference(inputs, problem_, sample_.slices[static_cast<size_t>(i)]);
      for (const ExpectedOutput& output : outputs) require_representable(output);
    });
    expected = std::move(slices);
  }
  return expected;
}

const ExpectedSample& Workload::given() {
  if (given_.empty() && source_.given) {
    for (const Slice& slice : sample_.slices) given_.push_back(source_.given(problem_, slice));
  }
  return given_;
}

void Workload::exchange_inputs(int one, int other, Executor& executor) {
  for (const TensorSpec& spec : at(one).tensors.specs()) {
    if (spec.role != Role::input) continue;
    const auto a = at(one).tensors.bytes(spec), b = at(other).tensors.bytes(spec);
    constexpr size_t kBlock = 1 << 18;
    executor.parallel_for(static_cast<int64_t>((a.size() + kBlock - 1) / kBlock), [&](int64_t block, int) {
      const size_t begin = static_cast<size_t>(block) * kBlock, size = std::min(kBlock, a.size() - begin);
      std::swap_ranges(a.data() + begin, a.data() + begin + size, b.data() + begin);
    });
  }
  std::swap(at(one).contents, at(other).contents);
  std::swap(at(one).checksums, at(other).checksums);
}

void Workload::restore(int set, Executor& executor) {
  auto& [tensors, contents, checksums] = at(set);
  tensors.restore_guards();
  source_.fill(tensors, contents, executor);
  checksums.clear();
  for (const TensorSpec& spec : tensors.specs()) {
    if (spec.role == Role::input) checksums.push_back(tensors.checksum(spec, &executor));
  }
}

std::string Workload::changed_input(int set, Executor* executor) const {
  const auto& [tensors, contents, checksums] = at(set);
  auto checksum = checksums.begin();
  for (const TensorSpec& spec : tensors.specs()) {
    if (spec.role == Role::input && tensors.checksum(spec, executor) != *checksum++) return spec.name;
  }
  return {};
}

}  // namespace wkv
