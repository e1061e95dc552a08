#include "harness/workload.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>
#include <stdexcept>

namespace wkv {
namespace {

std::set<int64_t> heads_of(const Sample& sample, int64_t H) {
  std::set<int64_t> heads;
  for (const Slice& slice : sample.slices) heads.insert(slice.batch * H + slice.head);
  return heads;
}

TEST_CASE("sample: a small problem is compared whole") {
  for (const char* op : {"wkv5", "attention"}) {
    const Sample sample = sample_of(operator_named(op), {.B = 2, .T = 65, .H = 3, .N = 16}, 1e9, 1);
    REQUIRE(sample.slices.size() == 6);
    REQUIRE(heads_of(sample, 3).size() == 6);
    REQUIRE(std::all_of(sample.slices.begin(), sample.slices.end(), [](auto& slice) { return slice.times.empty(); }));
    REQUIRE(sample.description == "all");
  }
}

TEST_CASE("sample: a recurrence is compared in whole heads, the first and the last among them") {
  const Problem problem{.B = 2, .T = 4096, .H = 16, .N = 64};
  const Operator& op = operator_named("wkv5");
  const double flops = op.cost(problem).flops;
  const Sample sample = sample_of(op, problem, flops / 2, 1);
  const std::set<int64_t> heads = heads_of(sample, 16);
  REQUIRE(heads.size() == sample.slices.size());
  REQUIRE(heads.size() > 4);
  REQUIRE(heads.size() <= 16);
  REQUIRE(*heads.begin() == 0);
  REQUIRE(*heads.rbegin() == 31);
  for (const Slice& slice : sample.slices) REQUIRE(slice.times.empty());
  REQUIRE(sample.description == std::to_string(heads.size()) + " of 32 heads, 4096 of 4096 rows");
}

TEST_CASE("sample: rows are sampled where they can be had alone, the first and the last among them") {
  const Problem problem{.B = 1, .T = 65536, .H = 32, .N = 64};
  const Operator& op = operator_named("attention");
  const Sample sample = sample_of(op, problem, 1e9, 1);
  REQUIRE(sample.slices.size() >= 2);
  size_t rows = 0;
  for (const Slice& slice : sample.slices) {
    REQUIRE(slice.times.front() == 0);
    REQUIRE(slice.times.back() == 65535);
    REQUIRE(std::is_sorted(slice.times.begin(), slice.times.end()));
    REQUIRE(std::set<int64_t>(slice.times.begin(), slice.times.end()).size() == slice.times.size());
    REQUIRE(slice.times.size() >= 16);
    rows += slice.times.size();
  }
  REQUIRE(4.0 * 64 * 65536 / 2 * static_cast<double>(rows) < 1.1e9);
  REQUIRE(sample.slices[0].times != sample.slices[1].times);
}

TEST_CASE("sample: where all channels depend on each other a batch entry is one slice") {
  const Problem problem{.B = 9, .T = 64, .H = 4, .N = 8};
  const Operator& op = operator_named("lstm");
  REQUIRE(sample_of(op, problem, 1e9, 1).slices.size() == 9);
  const Sample sample = sample_of(op, problem, 1, 1);
  REQUIRE(sample.slices.size() == 4);
  REQUIRE(sample.slices.front().batch == 0);
  REQUIRE(sample.slices.back().batch == 8);
  for (const Slice& slice : sample.slices) REQUIRE((slice.head == 0 && slice.times.empty()));
  REQUIRE(sample.description == "4 of 9 batch entries, 64 of 64 rows");
}

TEST_CASE("sample: of what forgets, spans of rows are compared, the first and the last among them") {
  const Problem problem{.B = 2, .T = 5000, .H = 4, .N = 64};
  for (const double flops : {1.0, 1e9}) {
    const Sample sample = sample_of(operator_named("lstm"), problem, flops, 1);
    CAPTURE(flops, sample.description);
    REQUIRE(sample.slices.size() >= 3);
    REQUIRE((sample.slices.size() == 3) == (flops == 1));
    REQUIRE(sample.slices.front().times.front() == 0);
    REQUIRE(sample.slices.back().times.back() == 4999);
    for (const Slice& slice : sample.slices) {
      REQUIRE(slice.times.size() == 16);
      REQUIRE(slice.times.back() - slice.times.front() == 15);
    }
    REQUIRE(sample.slices.front().batch == 0);
    REQUIRE(sample.slices.back().batch == 1);
  }
  REQUIRE(sample_of(operator_named("lstm"), problem, 1, 1).description ==
          "3 spans of 16 rows, each of one of 2 batch entries with 5000 rows");
}

TEST_CASE("sample: another seed gives other heads and rows between the first and the last") {
  const Problem problem{.B = 1, .T = 65536, .H = 32, .N = 64};
  for (const char* op : {"wkv5", "attention"}) {
    const Sample a = sample_of(operator_named(op), problem, 1e9, 1),
                 same = sample_of(operator_named(op), problem, 1e9, 1),
                 b = sample_of(operator_named(op), problem, 1e9, 2);
    REQUIRE(heads_of(a, 32) == heads_of(same, 32));
    REQUIRE(a.slices[0].times == same.slices[0].times);
    REQUIRE(heads_of(a, 32) != heads_of(b, 32));
  }
}

struct Small {
  Problem problem{.B = 1, .T = 5, .H = 2, .N = 8};
  Executor executor{2};
  Workload workload{operator_named("wkv5"), problem, generated_inputs(InputKind::realistic, 1), 3, executor};
};

TEST_CASE("workload: sets have different inputs and expected outputs") {
  Small small;
  for (const char* tensor : {"r", "k", "v", "w", "u", "state"}) {
    std::set<uint64_t> checksums;
    for (int set = 0; set < 3; ++set) {
      checksums.insert(small.workload.set(set).checksum(small.workload.set(set).spec(tensor)));
    }
    REQUIRE(checksums.size() == 3);
  }
  REQUIRE(small.workload.expected(0, small.executor)[0][0].value !=
          small.workload.expected(1, small.executor)[0][0].value);
  REQUIRE(small.workload.expected(0, small.executor).size() == 2);
  REQUIRE(small.workload.working_set_bytes() == 3 * Workload::set_bytes(operator_named("wkv5"), small.problem));
}

TEST_CASE("workload: exchanged inputs are the other set's, and what is expected goes with them") {
  Small small;
  Workload& workload = small.workload;
  const auto first = workload.expected(0, small.executor)[0][0].value;
  const std::vector<double> r = read_slice(workload.set(0), "r", 0, 1), other = read_slice(workload.set(2), "r", 0, 1);
  workload.exchange_inputs(0, 2, small.executor);
  REQUIRE(read_slice(workload.set(2), "r", 0, 1) == r);
  REQUIRE(read_slice(workload.set(0), "r", 0, 1) == other);
  REQUIRE(workload.contents(2) == 0);
  REQUIRE(workload.changed_input(0) == "");
  REQUIRE(workload.changed_input(2) == "");
  REQUIRE(workload.expected(2, small.executor)[0][0].value == first);
  REQUIRE(workload.expected(0, small.executor)[0][0].value != first);
}

TEST_CASE("workload: a changed input is named, and restored to what the set held") {
  Small small;
  Workload& workload = small.workload;
  workload.exchange_inputs(0, 1, small.executor);
  const std::vector<double> u = read_slice(workload.set(1), "u", 0, 0);
  workload.set(1).as<float>("u")[2] += 1;
  workload.set(1).as<float>("u")[-1] += 1;
  REQUIRE(workload.changed_input(1) == "u");
  REQUIRE(workload.changed_input(0) == "");
  workload.restore(1, small.executor);
  REQUIRE(workload.changed_input(1) == "");
  REQUIRE(workload.set(1).overrun() == "");
  REQUIRE(read_slice(workload.set(1), "u", 0, 0) == u);
}

TEST_CASE("workload: inputs whose outputs fp32 cannot hold are refused") {
  Executor executor(1);
  InputSource source = generated_inputs(InputKind::realistic, 1);
  source.fill = [fill = source.fill](const TensorSet& set, int index, Executor& executor) {
    fill(set, index, executor);
    for (const char* tensor : {"r", "k", "v"}) set.as<float>(tensor)[0] = 1e20f;
  };
  Workload workload(operator_named("wkv5"), {.T = 3, .H = 1, .N = 8}, source, 2, executor);
  REQUIRE_THROWS_WITH(workload.expected(0, executor), Catch::Contains("output \"y\"") && Catch::Contains("not finite"));
}

}  // namespace
}  // namespace wkv
