#include "harness/run_times.hpp"

#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

namespace wkv {
namespace {

const Operator& wkv5() { return operator_named("wkv5"); }
const Variant& some_variant() { return *variants_of("wkv5").at(0); }

Problem of_length(int64_t T) { return {.T = T, .H = 2, .N = 16}; }

// What is predicted after runs of some lengths.
RunTimes::Prediction predicted(const std::vector<std::pair<int64_t, double>>& seconds_of, const Problem& problem) {
  RunTimes times;
  for (const auto& [T, seconds] : seconds_of) times.observe(some_variant(), of_length(T), 1, seconds);
  const auto prediction = times.predict(wkv5(), some_variant(), problem, 1);
  REQUIRE(prediction);
  return *prediction;
}

TEST_CASE("run times: nothing is predicted before the variant has run so") {
  RunTimes times;
  times.observe(some_variant(), of_length(8), 1, 1);
  const Variant other = some_variant();
  Problem bf16 = of_length(8);
  bf16.dtype = DType::bf16;
  CHECK_FALSE(times.predict(wkv5(), other, of_length(8), 1));
  CHECK_FALSE(times.predict(wkv5(), some_variant(), of_length(8), 2));
  CHECK_FALSE(times.predict(wkv5(), some_variant(), bf16, 1));
  CHECK(times.predict(wkv5(), some_variant(), of_length(8), 1));
}

TEST_CASE("run times: from one run they are in proportion to the work, which need not be so") {
  CHECK(predicted({{8, 0.5}}, of_length(64)).seconds == Approx(4));
  CHECK_FALSE(predicted({{8, 0.5}}, of_length(64)).founded);
  CHECK(predicted({{8, 0.5}, {8, 0.25}}, of_length(64)).seconds == Approx(2));  // the latest of a problem
  Problem wider = of_length(8);
  wider.H = 6;
  CHECK(predicted({{8, 0.5}}, wider).seconds == Approx(1.5));
}

TEST_CASE("run times: from a short and a long run, what does not grow with the length is not multiplied") {
  const auto seconds = [](double T) { return 2 + 0.01 * T; };
  for (const bool backwards : {false, true}) {
    std::vector<std::pair<int64_t, double>> runs{{1, seconds(1)}, {100, 2.9}, {400, seconds(400)}};
    if (backwards) std::swap(runs.front(), runs.back());
    const auto prediction = predicted(runs, of_length(10000));
    CHECK(prediction.seconds == Approx(seconds(10000)));
    CHECK(prediction.founded);
    CHECK(predicted(runs, of_length(200)).seconds == Approx(seconds(200)));
  }
}

TEST_CASE("run times: what has not shown its growth is predicted to grow by as much as noise may hide") {
  const auto prediction = predicted({{1, 2.0}, {2, 1.99}}, of_length(1024));
  CHECK_FALSE(prediction.founded);
  CHECK(prediction.seconds == Approx(1.99 + 0.199 * 1022));
}

TEST_CASE("run times: what grows faster than the work is predicted in proportion to it") {
  const auto prediction = predicted({{1, 0.001}, {100, 1}}, of_length(1000));
  CHECK(prediction.founded);
  CHECK(prediction.seconds == Approx(10));
}

TEST_CASE("run times: a probe ends with the length that shows growth, with the sequence, or when its time is over") {
  Variant planted = some_variant();
  int64_t flat = 0;  // the length up to which a run takes as long as at the start
  planted.run = [&](const TensorAddresses&, const Problem& problem, Executor&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(problem.T <= flat ? 25 : 150));
  };
  Executor executor(1);
  const auto lengths = [&](int64_t T, double most_seconds) {
    std::vector<int64_t> lengths;
    for (const TimedRun& run : probe(wkv5(), planted, of_length(T), executor, nullptr, most_seconds)) {
      lengths.push_back(run.problem.T);
    }
    return lengths;
  };
  const auto whole = lengths(40, 100);
  CHECK(whole.front() == 40);  // within milliseconds by the most pessimistic guess
  CHECK(whole.size() == 1);
  const auto hurried = lengths(1 << 15, 0);
  CHECK(hurried.size() == 1);
  const int64_t first = hurried.front();
  CHECK(first < 1 << 15);
  flat = 2 * first;
  CHECK(lengths(1 << 15, 100) == std::vector<int64_t>{first, 2 * first, 4 * first});
  CHECK(lengths(4 * first - 1, 100) == std::vector<int64_t>{first, 2 * first});
}

}  // namespace
}  // namespace wkv
