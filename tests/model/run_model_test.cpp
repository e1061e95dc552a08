// run_model and bench_model as a user runs them.
#include <catch2/catch.hpp>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "harness/input_file.hpp"
#include "harness/model/sampler.hpp"
#include "harness/runner.hpp"
#include "harness/safetensors.hpp"
#include "harness/verify.hpp"
#include "tests/model/test_models.hpp"
#include "tests/process.hpp"
#include "tests/temporary_directory.hpp"

namespace wkv::model {
namespace {

using Catch::Contains;

constexpr ModelConfig kBytes{.layers = 2, .channels = 32, .hidden = 64, .vocabulary = 256, .head_size = 8};

struct Model {
  Model() { write_checkpoint(directory / "model.safetensors", drafts_of(kBytes, values)); }
  std::string file(const std::string& name) const { return (directory / name).string(); }
  test::Outcome run(std::vector<std::string> more) const {
    std::vector<std::string> command{WKV_RUN_MODEL, "--model", file("model.safetensors"), "--threads", "2"};
    command.insert(command.end(), more.begin(), more.end());
    return test::run(command);
  }

  TemporaryDirectory directory;
  Values values = random_values(kBytes, 8);
};

TEST_CASE("run_model: --logits are those of the reference, in both modes") {
  const Model model;
  const std::vector<double> expected = expected_logits(kBytes, model.values, {34, 105, 110});
  for (const std::string mode : {"parallel", "sequential"}) {
    const auto outcome = model.run({"--tokens", "34,105,110", "--mode", mode, "--logits", model.file("l.safetensors")});
    CAPTURE(outcome.err);
    REQUIRE(outcome.exit_code == 0);
    CHECK(outcome.out.empty());
    const SafetensorsFile logits(model.file("l.safetensors"));
    CHECK(logits.tensor("logits").shape == std::vector<int64_t>{3, 256});
    CHECK(largest_difference(logits.floats("logits"), expected) < 1e-4);
  }
}

TEST_CASE("run_model: text is the prompt and what follows, the same for the same seed") {
  const Model model;
  const std::vector<std::string> arguments{"--prompt", "ab", "--length", "5", "--seed", "3", "--temperature", "2"};
  const auto first = model.run(arguments), again = model.run(arguments);
  REQUIRE(first.exit_code == 0);
  CHECK(first.out.size() == 2 + 5 + 1);
  CHECK(first.out.starts_with("ab"));
  CHECK(first.out == again.out);
  CHECK_THAT(first.err, Contains("prefill: 2 tokens in ") && Contains("decode: 4 tokens in ") && Contains("tokens/s"));
}

TEST_CASE("run_model: --dump-wkv stores what bench_wkv --inputs reads, outputs and all") {
  const Model model;
  REQUIRE(model.run({"--prompt", "abcdefgh", "--dump-wkv", "1", model.file("d.safetensors")}).exit_code == 0);
  const InputFile file = read_input_file(model.file("d.safetensors"), "wkv5");
  CHECK(to_string(file.problem) == "f32/prefill/B:1/T:8/H:4/N:8");
  REQUIRE(file.source.given);
  Executor executor(1);
  Workload workload(operator_named("wkv5"), file.problem, file.source, 2, executor);
  const Variant* naive = variants_of("wkv5").at(0);
  for (const Variant* variant : variants_of("wkv5")) {
    if (variant->name == "cpu_naive") naive = variant;
  }
  const auto runner = make_runner(*naive, workload, executor);
  CHECK(verify(*runner, workload, executor).failure == "");
}

TEST_CASE("run_model: what is wrong is said in one line, with exit code 2") {
  const Model model;
  const auto error = [](const test::Outcome& outcome) {
    CHECK(outcome.exit_code == 2);
    CHECK(std::count(outcome.err.begin(), outcome.err.end(), '\n') == 1);
    return outcome.err;
  };
  CHECK_THAT(error(model.run({"--tokens", "1,256"})),
             Contains("--tokens: \"256\" is not a whole number from 0 to 255"));
  CHECK_THAT(error(model.run({"--prompt", "a", "--top-p", "0"})), Contains("--top-p"));
  CHECK_THAT(error(model.run({"--prompt", "a", "--mixer", "wkv5:cpu_fast"})), Contains("wkv5:cpu_serial"));
  CHECK_THAT(error(model.run({"--prompt", "a", "--dump-wkv", "2", "x"})), Contains("0 to 1"));
  CHECK_THAT(error(model.run({"--prompt", "a", "--mode", "serial"})), Contains("parallel, sequential"));
  CHECK_THAT(error(model.run({})), Contains("--prompt"));
  CHECK_THAT(error(test::run({WKV_RUN_MODEL, "--prompt", "a"})), Contains("--model FILE is missing"));
  CHECK_THAT(error(test::run({WKV_RUN_MODEL, "--model", "/nowhere", "--prompt", "a"})), Contains("/nowhere"));
}

TEST_CASE("sampler: the likeliest at temperature 0, top-p keeps the likeliest, frequencies are the probabilities") {
  const std::vector<float> logits{std::log(0.1f), std::log(0.6f), std::log(0.3f)};
  CHECK(Sampler(0, 1, 1).sample(logits) == 1);
  Sampler all(1, 1, 1), two(1, 0.8, 1), one(1, 0.5, 1), sharp(0.5, 1, 1);
  constexpr int kDraws = 20000;
  std::vector<int> counts(3), counts_of_two(3), counts_of_sharp(3);
  for (int i = 0; i < kDraws; ++i) {
    ++counts[static_cast<size_t>(all.sample(logits))];
    ++counts_of_two[static_cast<size_t>(two.sample(logits))];
    ++counts_of_sharp[static_cast<size_t>(sharp.sample(logits))];
    if (i < 100) REQUIRE(one.sample(logits) == 1);
  }
  // Four standard deviations of a count at most.
  const auto near = [](int count, double probability) {
    return std::abs(count - probability * kDraws) < 4 * std::sqrt(probability * (1 - probability) * kDraws) + 1;
  };
  CHECK((near(counts[0], 0.1) && near(counts[1], 0.6) && near(counts[2], 0.3)));
  CHECK((counts_of_two[0] == 0 && near(counts_of_two[1], 0.6 / 0.9)));
  CHECK(near(counts_of_sharp[1], 0.36 / 0.46));
  CHECK_THROWS(all.sample(std::vector<float>{1, std::numeric_limits<float>::infinity()}));
}

TEST_CASE("bench_model: times every part of a model and its twins, and tells what is skipped") {
  const Model model;
  const std::string out = model.file("results.json");
  const auto outcome = test::run({WKV_BENCH_MODEL, "--model", model.file("model.safetensors"), "--seq", "1,4,65536",
                                  "--run-seconds", "200", "--cell-seconds", "0.3", "--out", out});
  CAPTURE(outcome.err);
  REQUIRE(outcome.exit_code == 0);
  const auto document = nlohmann::json::parse(std::ifstream(out));
  CHECK(document["context"]["program"] == "bench_model");
  CHECK(document["context"]["gemm"]["flops_per_second"] > 0);
  CHECK(document["cells"].size() == 4 * 3 * 3);
  int timed = 0, skipped = 0;
  for (const auto& cell : document["cells"]) {
    CAPTURE(cell.dump());
    const int64_t T = cell["T"];
    if (cell["architecture"] == "rwkv-5.2") CHECK(cell["state_bytes"] == 2 * (2 + 8) * 32 * 4);
    if (cell["architecture"] == "transformer") CHECK(cell["state_bytes"] == 2 * (32 + 2 * 32 * T) * 4);
    if (cell["status"] == "skipped") {
      ++skipped;
      CHECK_THAT(cell["reason"].get<std::string>(), Contains("predicted to take"));
      continue;
    }
    ++timed;
    double parts = 0;
    for (const auto& [name, ns] : cell["parts_ns"].items()) parts += ns.get<double>();
    const double mean = [&] {
      double sum = 0;
      for (const double time : cell["times_ns"]) sum += time;
      return sum / static_cast<double>(cell["times_ns"].size());
    }();
    CHECK(parts > 0.3 * mean);
    CHECK(parts < 1.1 * mean);
  }
  CHECK(timed >= 4 * 3 * 2);
  CHECK(skipped > 0);

  const auto too_large = test::run({WKV_BENCH_MODEL, "--model", "7b", "--memory", "1G"});
  CHECK(too_large.exit_code == 2);
  CHECK_THAT(too_large.err, Contains("--model 7b in f32 needs 28") && Contains("--dtype bf16 needs 14"));
}

}  // namespace
}  // namespace wkv::model
