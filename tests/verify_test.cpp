// Variants with a planted fault, each of which verification must catch and name.
#include "harness/verify.hpp"

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstring>
#include <map>
#include <new>
#include <stdexcept>
#include <thread>
#include <utility>

namespace wkv {
namespace {

using Catch::Contains;
using Catch::StartsWith;
using namespace std::chrono_literals;
using Run = std::function<void(const TensorSet&, const Problem&, Executor&)>;

void compute(const TensorSet& set, const Problem& problem, Executor& executor) {
  const auto variants = variants_of("wkv5");
  const auto naive = std::find_if(variants.begin(), variants.end(), [](auto* v) { return v->name == "cpu_naive"; });
  (*naive)->run(set.addresses(), problem, executor);
}

// A run that also knows the shapes of the workload's set that it is given.
Variant planted(const Workload& workload, Run run) {
  return {.op = "wkv5",
          .name = "planted",
          .dtypes = {workload.problem().dtype},
          .unsupported = nullptr,
          .extra_bytes = nullptr,
          .run = [&workload, run = std::move(run)](const TensorAddresses& tensors, const Problem& problem,
                                                   Executor& executor) {
            int index = 0;
            while (workload.set(index).data("y") != tensors.data("y")) ++index;
            run(workload.set(index), problem, executor);
          }};
}

// The right outputs, and then a fault.
Run spoiled(std::function<void(const TensorSet&)> spoil) {
  return [spoil](const TensorSet& set, const Problem& problem, Executor& executor) {
    compute(set, problem, executor);
    spoil(set);
  };
}

void put(const TensorSet& set, std::string_view tensor, int64_t offset, float value) {
  if (set.spec(tensor).dtype == DType::f32) {
    set.as<float>(tensor)[offset] = value;
  } else {
    set.as<BFloat16>(tensor)[offset] = BFloat16(value);
  }
}

void add(const TensorSet& set, std::string_view tensor, int64_t offset, float value) {
  put(set, tensor, offset, static_cast<float>(element(set.data(tensor), set.spec(tensor).dtype, offset)) + value);
}

// As before the run.
void unwrite(const TensorSet& set, std::string_view tensor, int64_t offset, int64_t count) {
  const size_t size = size_of(set.spec(tensor).dtype);
  for (int64_t i = offset; i < offset + count; ++i) {
    std::memcpy(set.data(tensor) + static_cast<size_t>(i) * size, &TensorSet::kPoison, size);
  }
}

struct Cell {
  explicit Cell(DType dtype = DType::f32, double reference_flops = Workload::kReferenceFlops)
      : problem{.B = 2, .T = 20, .H = 3, .N = 16, .dtype = dtype},
        workload(operator_named("wkv5"), problem, generated_inputs(InputKind::realistic, 7), 2, executor,
                 reference_flops) {}

  Verification verify(Run run) {
    const Variant variant = planted(workload, std::move(run));
    const auto runner = make_runner(variant, workload, executor);
    return wkv::verify(*runner, workload, executor);
  }

  int64_t elements(std::string_view tensor) const { return workload.set(0).spec(tensor).elements(); }

  Executor executor{2};
  Problem problem;
  Workload workload;
};

TEST_CASE("verify: a right variant passes, and its error is measured") {
  Cell cell(GENERATE(DType::f32, DType::bf16));
  const Verification verification = cell.verify(compute);
  REQUIRE(verification.failure == "");
  REQUIRE(verification.error > 0);
  REQUIRE(verification.tolerance_ratio > 0);
  REQUIRE(verification.tolerance_ratio < 1);
  REQUIRE(verification.fastest_seconds > 0);
}

TEST_CASE("verify: one wrong element is found, wherever it is") {
  Cell cell(GENERATE(DType::f32, DType::bf16));
  SECTION("in the middle of y") {
    const int64_t offset = ((1 * 20 + 7) * 3 + 2) * 16 + 5;
    const auto verification = cell.verify(spoiled([&](const TensorSet& set) { add(set, "y", offset, 1); }));
    REQUIRE_THAT(verification.failure, StartsWith("y(b=1, t=7, h=2, n=5) is wrong: expected "));
    REQUIRE_THAT(verification.failure, Contains(" got ") && Contains("tolerance") && Contains("1 of 3456 elements"));
    REQUIRE(verification.tolerance_ratio > 1);
  }
  SECTION("the last of y") {
    const auto last = cell.elements("y") - 1;
    const auto verification = cell.verify(spoiled([&](const TensorSet& set) { add(set, "y", last, 1); }));
    REQUIRE_THAT(verification.failure, StartsWith("y(b=1, t=19, h=2, n=15) is wrong"));
  }
  SECTION("the last of state_out, by little") {
    const auto last = cell.elements("state_out") - 1;
    const auto verification = cell.verify(spoiled([&](const TensorSet& set) { add(set, "state_out", last, 1e-3f); }));
    REQUIRE_THAT(verification.failure, StartsWith("state_out(b=1, h=2, n=15, n=15) is wrong"));
  }
  SECTION("the first one is named") {
    const auto verification =
        cell.verify(spoiled([&](const TensorSet& set) { add(set, "y", 3, 1), add(set, "y", 9, 1); }));
    REQUIRE_THAT(verification.failure, StartsWith("y(b=0, t=0, h=0, n=3) is wrong") && Contains("2 of "));
  }
}

TEST_CASE("verify: writing out of bounds is found, before and behind a tensor") {
  Cell cell;
  const auto writes = [](std::string_view tensor, int64_t offset) {
    return spoiled([=](const TensorSet& set) { set.as<float>(tensor)[offset] = 0; });
  };
  REQUIRE_THAT(cell.verify(writes("y", -1)).failure, StartsWith("writes out of bounds of y"));
  REQUIRE_THAT(cell.verify(writes("y", cell.elements("y"))).failure, StartsWith("writes out of bounds of y"));
  REQUIRE_THAT(cell.verify(writes("state_out", -1000)).failure, StartsWith("writes out of bounds of state_out"));
  REQUIRE_THAT(cell.verify(writes("w", cell.elements("w") + 1000)).failure, StartsWith("writes out of bounds of w"));
}

TEST_CASE("verify: outputs that are not written are found") {
  Cell cell(GENERATE(DType::f32, DType::bf16));
  SECTION("none") {
    const auto verification = cell.verify([](const TensorSet&, const Problem&, Executor&) {});
    REQUIRE_THAT(verification.failure, StartsWith("y(b=0, t=0, h=0, n=0) is not written"));
  }
  SECTION("one row") {
    const int64_t row = ((1 * 20 + 4) * 3 + 1) * 16;
    const auto verification = cell.verify(spoiled([&](const TensorSet& set) { unwrite(set, "y", row, 16); }));
    REQUIRE_THAT(verification.failure, StartsWith("y(b=1, t=4, h=1, n=0) is not written"));
  }
  SECTION("the last of state_out") {
    const auto last = cell.elements("state_out") - 1;
    const auto verification = cell.verify(spoiled([&](const TensorSet& set) { unwrite(set, "state_out", last, 1); }));
    REQUIRE_THAT(verification.failure, StartsWith("state_out(b=1, h=2, n=15, n=15) is not written"));
  }
}

TEST_CASE("verify: changing an input is found; changing it and back is not a fault") {
  Cell cell;
  REQUIRE_THAT(cell.verify(spoiled([](const TensorSet& set) { set.as<float>("v")[17] += 1; })).failure,
               StartsWith("changes its input v"));
  REQUIRE_THAT(cell.verify(spoiled([](const TensorSet& set) {
                     std::copy_n(set.as<float>("state_out"), 16, set.as<float>("state"));
                   }))
                   .failure,
               StartsWith("changes its input state"));
  REQUIRE(cell.verify([](const TensorSet& set, const Problem& problem, Executor& executor) {
                set.as<float>("v")[17] *= 2;
                set.as<float>("v")[17] /= 2;
                compute(set, problem, executor);
              })
              .failure == "");
}

TEST_CASE("verify: what is not finite is found") {
  Cell cell(GENERATE(DType::f32, DType::bf16));
  const float value = GENERATE(std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity());
  const auto verification = cell.verify(spoiled([&](const TensorSet& set) { put(set, "y", 16, value); }));
  REQUIRE_THAT(verification.failure, StartsWith("y(b=0, t=0, h=1, n=0) is ") && (Contains("nan") || Contains("-inf")));
}

TEST_CASE("verify: taking scratch memory for zero is found") {
  Cell cell;
  const Verification verification = cell.verify([](const TensorSet& set, const Problem& problem, Executor& executor) {
    compute(set, problem, executor);
    add(set, "y", 5, reinterpret_cast<const float*>(executor.scratch(64).data())[3]);
  });
  CHECK_THAT(verification.failure, Contains("y(b=0, t=0, h=0, n=5) is") && Contains("nan"));
}

TEST_CASE("verify: writing past scratch memory is found") {
  Cell cell;
  const Verification verification = cell.verify([](const TensorSet& set, const Problem& problem, Executor& executor) {
    compute(set, problem, executor);
    executor.scratch(100).data()[100] = std::byte{1};
  });
  CHECK(verification.failure == "writes out of bounds of its scratch memory");
}

TEST_CASE("verify: being right on the first call only is found") {
  Cell cell;
  int calls = 0;
  SECTION("nothing is done later") {
    const auto verification = cell.verify([&](const TensorSet& set, const Problem& problem, Executor& executor) {
      if (++calls == 1) compute(set, problem, executor);
    });
    REQUIRE_THAT(verification.failure,
                 StartsWith("right at first, but in run 2: y(b=0, t=0, h=0, n=0) is not written"));
  }
  SECTION("something wrong is done later") {
    const auto verification = cell.verify([&](const TensorSet& set, const Problem& problem, Executor& executor) {
      compute(set, problem, executor);
      if (++calls > 1) add(set, "y", 0, 1);
    });
    REQUIRE_THAT(verification.failure, StartsWith("right at first, but in run 2: y(b=0, t=0, h=0, n=0) is wrong"));
  }
}

// Outputs of an earlier run.
struct Kept {
  std::vector<float> y, state;
};

// Computes once for each key, and replays then.
template <class Key>
Run replaying(std::function<Key(const TensorSet&, const Problem&)> key_of) {
  return [key_of, kept = std::make_shared<std::map<Key, Kept>>()](const TensorSet& set, const Problem& problem,
                                                                  Executor& executor) {
    float *y = set.as<float>("y"), *state = set.as<float>("state_out");
    const auto [found, is_new] = kept->try_emplace(key_of(set, problem));
    if (is_new) {
      compute(set, problem, executor);
      found->second = {{y, y + set.spec("y").elements()}, {state, state + set.spec("state_out").elements()}};
    }
    std::copy(found->second.y.begin(), found->second.y.end(), y);
    std::copy(found->second.state.begin(), found->second.state.end(), state);
  };
}

TEST_CASE("verify: replaying a kept result is found") {
  Cell cell;
  SECTION("one for every problem") {
    const auto verification = cell.verify(
        replaying<std::string>([](const TensorSet&, const Problem& problem) { return to_string(problem); }));
    REQUIRE_THAT(verification.failure, StartsWith("replays in run 2 the outputs of run 1"));
  }
  SECTION("one for every place in memory") {
    const auto verification = cell.verify(
        replaying<const void*>([](const TensorSet& set, const Problem&) -> const void* { return set.data("r"); }));
    REQUIRE_THAT(verification.failure, StartsWith("replays in run 3 the outputs of run 1"));
  }
  SECTION("every second call") {
    int calls = 0;
    const auto verification =
        cell.verify(replaying<int>([&](const TensorSet&, const Problem&) { return calls++ % 2; }));
    REQUIRE_THAT(verification.failure, StartsWith("replays in run 3 the outputs of run 1"));
  }
}

TEST_CASE("verify: going on after the return is found") {
  Cell cell;
  std::jthread late;  // ends before the memory that it writes
  SECTION("all of the work") {
    const auto verification = cell.verify([&](const TensorSet& set, const Problem& problem, Executor&) {
      late = std::jthread([&set, problem] {
        std::this_thread::sleep_for(60ms);
        Executor executor(1);
        compute(set, problem, executor);
      });
    });
    REQUIRE_THAT(verification.failure, StartsWith("goes on working after it returned"));
  }
  SECTION("the last row only") {
    const auto verification = cell.verify([&](const TensorSet& set, const Problem& problem, Executor& executor) {
      compute(set, problem, executor);
      float* row = set.as<float>("y") + set.spec("y").elements() - 16;
      std::vector<float> values(row, row + 16);
      unwrite(set, "y", row - set.as<float>("y"), 16);
      late = std::jthread([row, values] {
        std::this_thread::sleep_for(60ms);
        std::copy(values.begin(), values.end(), row);
      });
    });
    REQUIRE_THAT(verification.failure, StartsWith("goes on working after it returned"));
  }
  SECTION("on outputs that were right") {
    const auto verification = cell.verify([&](const TensorSet& set, const Problem& problem, Executor& executor) {
      compute(set, problem, executor);
      std::this_thread::sleep_for(40ms);  // one that takes its time is given time
      std::atomic<bool> started = false;
      late = std::jthread([&started, word = set.as<volatile uint32_t>("y")](const std::stop_token& stop) {
        started = true;
        while (!stop.stop_requested()) *word = *word + 1;
      });
      while (!started) std::this_thread::yield();
    });
    REQUIRE_THAT(verification.failure, Contains("goes on working after it returned"));
  }
}

TEST_CASE("verify: an exception is a failure, but no memory is passed on") {
  Cell cell;
  const auto throws = [](auto value) { return [value](const TensorSet&, const Problem&, Executor&) { throw value; }; };
  REQUIRE(cell.verify(throws(std::runtime_error("no luck"))).failure == "throws an exception: no luck");
  REQUIRE(cell.verify(throws(42)).failure == "throws an exception of unknown type");
  REQUIRE_THROWS_AS(cell.verify(throws(std::bad_alloc())), std::bad_alloc);
  REQUIRE(cell.verify([](const TensorSet&, const Problem&, Executor& executor) {
                executor.parallel_for(4, [](int64_t task, int) {
                  if (task == 3) throw std::runtime_error("on another thread");
                });
              })
              .failure == "throws an exception: on another thread");
}

TEST_CASE("verify: what a faulty variant did to the sets does not harm the next one") {
  Cell cell;
  const auto faulty = cell.verify(spoiled([](const TensorSet& set) {
    std::fill_n(set.as<float>("y") - 5, 10, 0.0f);
    set.as<float>("r")[3] = 100;
  }));
  REQUIRE(!faulty.passed());
  REQUIRE_THROWS(cell.verify([](const TensorSet& set, const Problem&, Executor&) {
    set.as<float>("w")[0] = 0;
    throw std::bad_alloc();
  }));
  REQUIRE(cell.verify(compute).failure == "");
  REQUIRE(cell.verify(compute).failure == "");
}

TEST_CASE("verify: where only some heads are compared, all are still looked at") {
  Cell cell(DType::f32, 1);
  const auto& slices = cell.workload.sample().slices;
  REQUIRE(slices.size() == 4);
  int64_t unsampled = 0;  // of the B H heads
  while (std::any_of(slices.begin(), slices.end(),
                     [&](const Slice& slice) { return slice.batch * 3 + slice.head == unsampled; })) {
    ++unsampled;
  }
  const int64_t offset = unsampled * 16 * 16 + 100;  // in state_out
  REQUIRE(cell.verify(compute).failure == "");
  REQUIRE_THAT(cell.verify(spoiled([&](const TensorSet& set) { unwrite(set, "state_out", offset, 1); })).failure,
               Contains("is not written"));
  REQUIRE_THAT(
      cell.verify(spoiled([&](const TensorSet& set) { put(set, "state_out", offset, std::nanf("")); })).failure,
      Contains("is nan"));
  int calls = 0;
  REQUIRE_THAT(cell.verify(spoiled([&](const TensorSet& set) {
                     if (++calls == 3) add(set, "state_out", offset, 10);
                   }))
                   .failure,
               StartsWith("state_out(b=") && Contains("in one run") && Contains("in another on the same inputs"));
}

TEST_CASE("verify: outputs that came with the inputs are compared too") {
  Executor executor(1);
  const Problem problem{.B = 1, .T = 9, .H = 2, .N = 8};
  const Operator& op = operator_named("wkv5");
  InputSource source = generated_inputs(InputKind::realistic, 3);
  source.name = "some.safetensors";
  const double shift = GENERATE(0.0, 0.5);
  source.given = [&, fill = source.fill](const Problem&, const Slice& slice) {
    const TensorSet set(op.tensors(problem));
    fill(set, 0, executor);
    auto outputs = op.reference(set, problem, slice);
    outputs[0].value[3] += shift;
    return outputs;
  };
  Workload workload(op, problem, source, 2, executor);
  const Variant variant = planted(workload, compute);
  const auto runner = make_runner(variant, workload, executor);
  const Verification verification = verify(*runner, workload, executor);
  if (shift == 0) {
    REQUIRE(verification.failure == "");
  } else {
    REQUIRE_THAT(verification.failure, StartsWith("y(b=0, t=0, h=0, n=3) is wrong") && Contains("by some.safetensors"));
  }
}

TEST_CASE("check_outputs: finds what a timed run did wrong") {
  Cell cell;
  bool idle = false, greedy = false;
  const Variant variant = planted(cell.workload, [&](const TensorSet& set, const Problem& problem, Executor& executor) {
    if (!idle) compute(set, problem, executor);
    if (greedy) set.as<float>("k")[0] += 1;
  });
  const auto runner = make_runner(variant, cell.workload, cell.executor);
  REQUIRE(verify(*runner, cell.workload, cell.executor).failure == "");
  const auto timed = [&](int set) {
    cell.workload.set(set).poison_outputs();
    runner->timed_run(set);
    return check_outputs(*runner, cell.workload, set, cell.executor).failure;
  };
  REQUIRE(timed(0) == "");
  REQUIRE(timed(1) == "");
  idle = true;
  REQUIRE_THAT(timed(1), Contains("is not written"));
  idle = false, greedy = true;
  REQUIRE_THAT(timed(1), StartsWith("changes its input k"));
}

}  // namespace
}  // namespace wkv
