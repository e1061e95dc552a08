// Operators with a state: a sequence that is run in pieces, the state carried, gives what one run gives.
#include <fmt/format.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "harness/compare.hpp"
#include "harness/runner.hpp"
#include "harness/workload.hpp"

namespace wkv {
namespace {

// The input that takes what an output hands on: "state" for "state_out". Empty for other outputs.
std::string taken_by(const TensorSet& set, const std::string& output) {
  constexpr std::string_view kSuffix = "_out";
  if (!output.ends_with(kSuffix)) return {};
  const std::string input = output.substr(0, output.size() - kSuffix.size());
  return set.contains(input) ? input : std::string();
}

bool has_state(const Operator& op) {
  const TensorSet set(op.tensors({.T = 1, .H = 1, .N = 8}));
  return std::any_of(set.specs().begin(), set.specs().end(),
                     [&](const TensorSpec& spec) { return !taken_by(set, spec.name).empty(); });
}

std::vector<int64_t> times(int64_t begin, int64_t count) {
  std::vector<int64_t> times(static_cast<size_t>(count));
  std::iota(times.begin(), times.end(), begin);
  return times;
}

// `count` times of a tensor from one set to another; a tensor without times whole.
void copy(const TensorSet& from, const std::string& source, int64_t from_time, const TensorSet& to,
          const std::string& target, int64_t to_time, int64_t count, const Problem& problem) {
  const TensorSpec &from_spec = from.spec(source), &to_spec = to.spec(target);
  const size_t size = size_of(from_spec.dtype);
  for (int64_t head = 0; head < problem.B * problem.H; ++head) {
    const int64_t b = head / problem.H, h = head % problem.H;
    const auto from_offsets = slice_offsets(from_spec, {.batch = b, .head = h, .times = times(from_time, count)});
    const auto to_offsets = slice_offsets(to_spec, {.batch = b, .head = h, .times = times(to_time, count)});
    REQUIRE(from_offsets.size() == to_offsets.size());
    for (size_t i = 0; i < from_offsets.size(); ++i) {
      std::memcpy(to.data(target) + static_cast<size_t>(to_offsets[i]) * size,
                  from.data(source) + static_cast<size_t>(from_offsets[i]) * size, size);
    }
  }
}

struct Piece {
  int64_t tokens;
  Mode mode = Mode::prefill;
};

// Runs the inputs of a whole sequence piece by piece and puts the outputs together.
class PieceByPiece {
 public:
  PieceByPiece(const Variant& variant, const Workload& whole, Executor& executor)
      : variant_(variant), whole_(whole), executor_(executor), outputs_(whole.op().tensors(whole.problem())) {
    outputs_.poison_outputs();
  }

  void run(Piece piece) {
    Problem problem = whole_.problem();
    problem.mode = piece.mode;
    problem.T = piece.mode == Mode::decode ? done_ + piece.tokens : piece.tokens;
    InputSource source{.name = "piece", .seed = 0, .fill = nullptr, .given = nullptr};
    source.fill = [&](const TensorSet& set, int, Executor&) { fill(set, piece.tokens); };
    const Workload workload(whole_.op(), problem, source, 1, executor_);
    workload.set(0).poison_outputs();
    const auto runner = make_runner(variant_, workload, executor_);
    runner->upload(0);
    runner->run(0);
    runner->download(0);
    for (const TensorSpec& spec : outputs_.specs()) {
      if (spec.role != Role::output) continue;
      copy(workload.set(0), spec.name, 0, outputs_, spec.name, done_, piece.tokens, whole_.problem());
    }
    done_ += piece.tokens;
  }

  const TensorSet& outputs() const { return outputs_; }
  int64_t done() const { return done_; }

 private:
  void fill(const TensorSet& set, int64_t tokens) const {
    for (const TensorSpec& spec : set.specs()) {
      if (spec.role != Role::input) continue;
      copy(whole_.set(0), spec.name, done_, set, spec.name, 0, tokens, whole_.problem());
    }
    for (const TensorSpec& spec : set.specs()) {
      const std::string input = spec.role == Role::output ? taken_by(set, spec.name) : std::string();
      if (done_ > 0 && !input.empty()) copy(outputs_, spec.name, 0, set, input, 0, 1, whole_.problem());
    }
  }

  const Variant& variant_;
  const Workload& whole_;
  Executor& executor_;
  TensorSet outputs_;
  int64_t done_ = 0;  // tokens
};

// Nothing, or why the variant cannot run one of the pieces.
std::optional<std::string> unsupported_piece(const Variant& variant, Problem problem,
                                             const std::vector<Piece>& pieces) {
  for (const Piece& piece : pieces) {
    problem.T = piece.tokens, problem.mode = piece.mode;
    if (auto reason = unsupported(variant, problem)) return reason;
  }
  return std::nullopt;
}

TEST_CASE("variants: a sequence in pieces with the state carried gives what the reference gives for the whole") {
  const auto [dtype, kind] = GENERATE(table<DType, InputKind>({{DType::f32, InputKind::realistic},
                                                               {DType::f32, InputKind::extreme},
                                                               {DType::bf16, InputKind::realistic},
                                                               {DType::bf16, InputKind::extreme},
                                                               {DType::f16, InputKind::extreme}}));
  // Of all lengths, in one mode or the other; then lengths that are done in segments of time; then only single tokens.
  const auto [N, pieces] = GENERATE(table<int64_t, std::vector<Piece>>({
      {64, {{1}, {16}, {47}, {1, Mode::decode}, {1, Mode::decode}, {70}, {1}}},
      {32, {{200}, {133}, {64}}},
      {128, {{300}, {257}}},
      {64, std::vector<Piece>(20, {1, Mode::decode})},
  }));
  const int64_t T = std::accumulate(pieces.begin(), pieces.end(), int64_t{0},
                                    [](int64_t sum, const Piece& piece) { return sum + piece.tokens; });
  const Problem problem{.B = 2, .T = T, .H = 2, .N = N, .dtype = dtype};
  Executor executor(2);
  int operators_with_state = 0;
  for (const Operator* op : all_operators()) {
    if (!has_state(*op)) continue;
    ++operators_with_state;
    Workload whole(*op, problem, generated_inputs(kind, 11), 1, executor);
    REQUIRE(whole.sample().description == "all");
    for (const Variant* variant : variants_of(op->name)) {
      CAPTURE(op->name, variant->name, name_of(dtype), name_of(kind), N, T);
      if (const auto reason = unsupported_piece(*variant, problem, pieces)) {
        fmt::print("SKIPPED {} {}: {}\n", op->name, variant->name, *reason);
        continue;
      }
      // A recurrent network has no segments of time, and waits of all blocks for each other take the emulator long.
      if (variant->device == DeviceKind::cuda && op->forgets_after > 0 && T > 200) continue;
      PieceByPiece run(*variant, whole, executor);
      for (const Piece& piece : pieces) run.run(piece);
      REQUIRE(run.done() == problem.T);
      CHECK(find_unwritten(run.outputs()) == "");
      const Comparison comparison = compare(run.outputs(), whole.sample().slices, whole.expected(0, executor),
                                            products(*variant, problem), "the reference of the whole");
      CHECK(comparison.failure == "");
    }
  }
  REQUIRE(operators_with_state > 0);
}

}  // namespace
}  // namespace wkv
