// bench_wkv as a user runs it.
#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/process.hpp"
#include "tests/temporary_directory.hpp"

namespace wkv::test {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using Json = nlohmann::json;
using Arguments = std::vector<std::string>;

class Bench {
 public:
  static Arguments command(Arguments arguments) {
    arguments.insert(arguments.begin(), WKV_BENCH_WKV);
    return arguments;
  }
  static Outcome run(Arguments arguments) { return test::run(command(std::move(arguments))); }

  std::string file(const std::string& name) const { return (directory_ / name).string(); }
  Json read(const std::string& name) const { return Json::parse(std::ifstream(file(name))); }
  // A small sweep that writes to a file.
  Outcome sweep(Arguments more) const {
    Arguments arguments{"--heads", "2", "--head-size", "16", "--repetitions", "3", "--threads", "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }

 private:
  TemporaryDirectory directory_;
};

std::vector<std::string> iteration_names(const Json& document) {
  std::vector<std::string> names;
  for (const Json& entry : document["benchmarks"]) {
    if (entry["run_type"] == "iteration") names.push_back(entry["name"]);
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

int lines(const std::string& text) { return static_cast<int>(std::count(text.begin(), text.end(), '\n')); }

TEST_CASE("bench_wkv --help has every option and examples") {
  const Outcome outcome = Bench::run({"--help"});
  CHECK(outcome.exit_code == 0);
  CHECK(outcome.err.empty());
  for (const auto* option : {"--seq",
                             "--op",
                             "--variant",
                             "--device",
                             "--batch",
                             "--heads",
                             "--head-size",
                             "--dtype",
                             "--mode",
                             "--threads",
                             "--seed",
                             "--repetitions",
                             "--out",
                             "--format",
                             "--list",
                             "--verify-only",
                             "--preset",
                             "--inputs",
                             "--resume",
                             "--cell-seconds",
                             "--run-seconds",
                             "--keep-failed",
                             "--ceilings",
                             "--memory",
                             "0.4b",
                             "1.5b",
                             "3b",
                             "7b",
                             "Examples:",
                             "bench_wkv --seq 1..65536"}) {
    CHECK_THAT(outcome.out, Contains(option));
  }
}

TEST_CASE("bench_wkv: a wrong value gets one line on stderr and exit code 2") {
  const auto arguments = GENERATE(values<Arguments>({{"--seq", "0"},
                                                     {"--op", "wkv55"},
                                                     {"--variant", "cpu_naif"},
                                                     {"--threads", "none"},
                                                     {"--wrong"},
                                                     {"--seq"},
                                                     {"--resume", "/nowhere.json"},
                                                     {"--out", "/proc/x.json", "--seq", "1"},
                                                     {"--out", "/dev/null", "--seq", "1"},
                                                     {"--inputs", "missing.safetensors"}}));
  const Outcome outcome = Bench::run(arguments);
  CAPTURE(arguments, outcome.err);
  CHECK(outcome.exit_code == 2);
  CHECK(outcome.out.empty());
  CHECK(lines(outcome.err) == 1);
}

TEST_CASE("bench_wkv --list shows operators and variants, and runs nothing") {
  const Outcome outcome = Bench::run({"--list"});
  CHECK(outcome.exit_code == 0);
  CHECK_THAT(outcome.out, Contains("wkv5") && Contains("attention") && Contains("cpu_naive") && Contains("yes"));
}

TEST_CASE("bench_wkv: a tiny sweep ends with a table, a results file and exit code 0") {
  const Bench bench;
  const Outcome outcome = bench.sweep({"--seq", "1..4", "--variant", "cpu_naive", "--out", bench.file("run.json")});
  CAPTURE(outcome.err);
  CHECK(outcome.exit_code == 0);
  CHECK_THAT(outcome.out, Contains("wkv5") && Contains("attention") && Contains("cpu_naive") && Contains("of floor"));
  CHECK_THAT(outcome.err,
             Contains("[6/6]") && Contains(bench.file("run.json")) && !Contains("\033") && !Contains("\r"));

  const Json document = bench.read("run.json");
  CHECK(iteration_names(document).size() == 6);
  CHECK(document["benchmarks"].size() == 6 * (3 + 4));
  for (const Json& entry : document["benchmarks"]) {
    CHECK(entry["status"] == "timed");
    CHECK(entry["tolerance_ratio"].get<double>() < 1);
    CHECK(entry["floor_ns"].get<double>() > 0);
    CHECK(entry["seed"] == document["context"]["seed"]);
  }
  CHECK(document["context"]["arguments"][0] == "--heads");
  CHECK(document["context"]["ceilings"][0]["threads"] == 1);
}

TEST_CASE("bench_wkv: with --format json stdout is the document, with csv a line per cell") {
  const Bench bench;
  const Arguments tiny{"--op", "wkv5", "--variant", "cpu_naive", "--seq", "1,2", "--out", bench.file("run.json")};
  Arguments arguments = tiny;
  arguments.insert(arguments.end(), {"--format", "json"});
  const Outcome json = bench.sweep(arguments);
  CHECK(Json::parse(json.out) == bench.read("run.json"));
  arguments.back() = "csv";
  const Outcome csv = bench.sweep(arguments);
  CHECK(lines(csv.out) == 3);
  CHECK_THAT(csv.out, Contains("median_ns") && Contains("wkv5,cpu_naive,cpu,prefill,f32"));
}

TEST_CASE("bench_wkv: the same seed gives the same errors, and without one the inputs are drawn afresh") {
  const Bench bench;
  const auto errors = [&](const Arguments& seed) {
    Arguments arguments{"--verify-only", "--op", "wkv5",  "--variant",           "cpu_naive",
                        "--seq",         "64",   "--out", bench.file("run.json")};
    arguments.insert(arguments.end(), seed.begin(), seed.end());
    CHECK(bench.sweep(arguments).exit_code == 0);
    return bench.read("run.json")["benchmarks"][0]["error"].get<double>();
  };
  const double first = errors({"--seed", "5"});
  CHECK(errors({"--seed", "5"}) == first);
  CHECK(errors({"--seed", "6"}) != first);
  errors({});
  const auto drawn = bench.read("run.json")["context"]["seed"];
  errors({});
  CHECK(bench.read("run.json")["context"]["seed"] != drawn);
}

TEST_CASE("bench_wkv: what is over the budget is listed with the reason") {
  const Bench bench;
  const Outcome outcome = bench.sweep({"--op", "wkv5", "--variant", "cpu_naive", "--seq", "1,100000", "--memory", "1M",
                                       "--out", bench.file("run.json")});
  CHECK(outcome.exit_code == 0);
  CHECK_THAT(outcome.out, Contains("Skipped") && Contains("T=100000: needs") && Contains("--memory"));
  CHECK(bench.read("run.json")["benchmarks"].back()["status"] == "skipped");
}

Json when_cells(const Bench& bench, const std::string& name, size_t cells, const Process& process) {
  while (process.running()) {
    if (fs::exists(bench.file(name))) {
      Json document = bench.read(name);  // complete at every moment, or this throws
      if (iteration_names(document).size() >= cells) return document;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  FAIL("ended before it could be interrupted");
  return {};
}

TEST_CASE("bench_wkv: an interrupted run keeps what is complete, and resuming measures only the rest") {
  const int signal = GENERATE(SIGINT, SIGTERM);
  const Bench bench;
  const Arguments cells{
      "--op",    "wkv5", "--variant", "cpu_naive", "--seq",         "1..4096", "--threads", "1",
      "--heads", "4",    "--seed",    "1",         "--repetitions", "3",       "--out",     bench.file("run.json")};
  Process process(Bench::command(cells));
  when_cells(bench, "run.json", 3, process);
  process.interrupt(signal);
  const auto start = std::chrono::steady_clock::now();
  const Outcome interrupted = process.wait();
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(2));
  CAPTURE(interrupted.err);
  CHECK(interrupted.exit_code == 130);
  CHECK_THAT(interrupted.err, Contains("--resume " + bench.file("run.json")));
  CHECK_THAT(interrupted.out, Contains("cpu_naive"));  // the table of what is complete
  const Json before = bench.read("run.json");
  const size_t complete = iteration_names(before).size();
  REQUIRE(complete >= 3);
  REQUIRE(complete < 13);
  CHECK(std::distance(fs::directory_iterator(fs::path(bench.file("run.json")).parent_path()), {}) == 1);

  const Outcome resumed = Bench::run({"--resume", bench.file("run.json")});
  CAPTURE(resumed.err);
  CHECK(resumed.exit_code == 0);
  CHECK_THAT(resumed.err, Contains(fmt::format("{} of 13 cells", complete)));
  const Json after = bench.read("run.json");
  CHECK(iteration_names(after).size() == 13);
  CHECK(after["context"]["seed"] == before["context"]["seed"]);
  for (const Json& entry : before["benchmarks"]) {
    const auto& entries = after["benchmarks"];
    CHECK(std::find(entries.begin(), entries.end(), entry) != entries.end());  // not measured again
  }
}

TEST_CASE("bench_wkv: resuming measures again what was asked for differently") {
  const Bench bench;
  const std::string file = bench.file("run.json");
  REQUIRE(bench.sweep({"--op", "wkv5", "--variant", "cpu_naive", "--seq", "1,2", "--out", file}).exit_code == 0);
  const auto times = [&] {
    std::vector<double> times;
    const Json document = bench.read("run.json");
    for (const Json& entry : document["benchmarks"]) {
      if (entry["run_type"] == "iteration") times.push_back(entry["real_time"]);
    }
    return times;
  };
  const auto first = times();
  CHECK(Bench::run({"--resume", file}).exit_code == 0);
  CHECK(times() == first);
  CHECK(Bench::run({"--resume", file, "--seq", "1,2,4"}).exit_code == 0);
  CHECK(times().size() == first.size() + 3);
  CHECK(Bench::run({"--resume", file, "--repetitions", "2"}).exit_code == 0);
  CHECK(times().size() == 2 * 2 + 3);  // T = 4 is not among the cells that the file began with
  CHECK(Bench::run({"--resume", file, "--seed", "12345"}).exit_code == 0);
  CHECK(bench.read("run.json")["benchmarks"][0]["seed"] == 12345);
}

TEST_CASE("bench_wkv: what failed is tried again by a resumed run, or kept as failed") {
  const Bench bench;
  const std::string file = bench.file("run.json");
  REQUIRE(bench.sweep({"--op", "wkv5", "--variant", "cpu_naive", "--seq", "1,2", "--verify-only", "--out", file})
              .exit_code == 0);
  Json document = bench.read("run.json");
  document["benchmarks"][0]["status"] = "failed";
  document["benchmarks"][0]["reason"] = "y(b=0) is wrong";
  std::ofstream(file) << document;
  const Outcome kept = Bench::run({"--resume", file, "--keep-failed"});
  CHECK(kept.exit_code == 1);
  CHECK_THAT(kept.out, Contains("y(b=0) is wrong"));
  CHECK_THAT(kept.err, Contains("1 verified, 1 failed\n"));
  CHECK(Bench::run({"--resume", file}).exit_code == 0);
  CHECK(bench.read("run.json")["benchmarks"][0]["status"] == "verified");
}

TEST_CASE("bench_wkv: cells that do not fit --run-seconds are listed and left to a resumed run") {
  const Bench bench;
  const std::string file = bench.file("run.json");
  const Outcome outcome =
      bench.sweep({"--op", "wkv5", "--variant", "cpu_naive", "--seq", "1,2", "--run-seconds", "1e-6", "--out", file});
  CHECK(outcome.exit_code == 0);
  CHECK_THAT(outcome.out, Contains("Skipped") && Contains("T=1, 2: no time left"));
  CHECK(Bench::run({"--resume", file, "--run-seconds", "60"}).exit_code == 0);
  CHECK(iteration_names(bench.read("run.json")).size() == 2);
}

TEST_CASE("bench_wkv --ceilings measures the machine and nothing else") {
  const Outcome outcome = Bench::run({"--ceilings", "--threads", "1"});
  CHECK(outcome.exit_code == 0);
  CHECK_THAT(outcome.out, Contains("GFLOP/s fp32 FMA") && Contains("GB/s in "));
  CHECK(outcome.err.empty());
}

TEST_CASE("bench_wkv: a damaged file cannot be resumed") {
  const Bench bench;
  REQUIRE(bench.sweep({"--op", "wkv5", "--variant", "cpu_naive", "--seq", "1", "--out", bench.file("run.json")})
              .exit_code == 0);
  fs::resize_file(bench.file("run.json"), 1000);
  const Outcome outcome = Bench::run({"--resume", bench.file("run.json")});
  CHECK(outcome.exit_code == 2);
  CHECK(lines(outcome.err) == 1);
  CHECK(fs::file_size(bench.file("run.json")) == 1000);  // left alone
}

}  // namespace
}  // namespace wkv::test
