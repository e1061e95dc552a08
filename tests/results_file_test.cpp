#include "harness/results_file.hpp"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <functional>

#include "harness/arguments.hpp"
#include "harness/machine.hpp"
#include "tests/example_cells.hpp"
#include "tests/process.hpp"
#include "tests/temporary_directory.hpp"

namespace wkv {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using Json = nlohmann::ordered_json;
using test::skipped_cell;
using test::timed_cell;

void write(const fs::path& path, const std::string& text) { std::ofstream(path) << text; }

Json read(const fs::path& path) { return Json::parse(std::ifstream(path)); }

TEST_CASE("results file: complete after every cell, a cell replaces its earlier outcome, nothing is left lying") {
  const TemporaryDirectory directory;
  const auto path = directory / "new/run.json";
  ResultsFile file = ResultsFile::create(path);
  file.set_context(make_context({}, 7, {"--seq", "1..8"}));
  file.add(timed_cell(1, 10));
  CHECK(read(path)["benchmarks"].size() == 7);
  file.add(skipped_cell(2));
  CHECK(read(path)["benchmarks"].size() == 8);
  file.add(timed_cell(2, 20));
  CHECK(read(path)["benchmarks"].size() == 14);
  CHECK(read(path)["benchmarks"][13]["family_index"] == 1);
  CHECK(std::distance(fs::directory_iterator(path.parent_path()), {}) == 1);

  const ResultsFile loaded = ResultsFile::load(path);
  CHECK(loaded.seed() == 7);
  CHECK(loaded.arguments() == std::vector<std::string>{"--seq", "1..8"});
  CHECK(loaded.cells().size() == 2);
  CHECK(loaded.find(timed_cell(2, 1).name())->median_ns() == 20);
  CHECK(!loaded.find("another"));
}

TEST_CASE("results file: the context names the machine, the build and the run") {
  const Ceilings ceilings{.copy = {{1000, 5e9}}, .fma_flops_per_second = 1e11};
  const Json context = make_context({{2, ceilings}}, 7, {"--seq", "1"});
  CHECK(context["cpu_model"] == cpu_model());
  CHECK(context["seed"] == 7);
  CHECK(context["compiler"] == compiler());
  CHECK(context.contains("git_revision"));
  CHECK(context["ceilings"][0]["threads"] == 2);
  CHECK(context["ceilings"][0]["fma_flops_per_second"] == 1e11);
  CHECK(context["ceilings"][0]["copy"][0]["working_set_bytes"] == 1000);
}

TEST_CASE("results file: a damaged or foreign file gets one clear line") {
  const TemporaryDirectory directory;
  const auto path = directory / "run.json";
  ResultsFile file = ResultsFile::create(path);
  file.add(timed_cell(1, 10));
  const Json good = read(path);
  const auto refused = [&](const std::string& text, const std::string& because) {
    write(path, text);
    CAPTURE(text.substr(0, 200));
    CHECK_THROWS_AS(ResultsFile::load(path), UsageError);
    CHECK_THROWS_WITH(ResultsFile::load(path), Contains("run.json") && Contains(because) && !Contains("\n"));
  };
  refused("", "JSON");
  refused(good.dump().substr(0, good.dump().size() / 2), "JSON");
  refused("[1, 2]", "context");
  refused("null", "context");
  refused(R"({"context": 3, "benchmarks": []})", "context");
  refused(R"({"context": {}, "benchmarks": []})", "cpu_model");
  const auto changed = [&](const std::function<void(Json&)>& change) {
    Json bad = good;
    change(bad);
    return bad.dump();
  };
  refused(changed([](Json& j) { j["benchmarks"] = "none"; }), "benchmarks");
  refused(changed([](Json& j) { j["benchmarks"][0] = 5; }), "entry 0");
  refused(changed([](Json& j) { j["benchmarks"][3]["T"] = "long"; }), "entry 3");
  refused(changed([](Json& j) { j["benchmarks"][3]["T"] = 1.5; }), "T is not");
  refused(changed([](Json& j) { j["benchmarks"][2].erase("variant"); }), "variant");
  refused(changed([](Json& j) { j["benchmarks"][1]["real_time"] = nullptr; }), "real_time");
  refused(changed([](Json& j) { j["benchmarks"][1]["run_type"] = 0; }), "run_type");
  refused(changed([](Json& j) { j["context"]["seed"] = "x"; }), "seed");
  refused(changed([](Json& j) { j["context"]["arguments"] = Json::array({1}); }), "argument");
  refused(changed([](Json& j) { j["context"]["device"] = {{"name", 5}}; }), "device");
  CHECK_THROWS_AS(ResultsFile::load(directory / "missing.json"), UsageError);
  CHECK_THROWS_AS(ResultsFile::load(directory / "."), UsageError);
}

TEST_CASE("results file: only a results file is replaced, and only by a file that can be written") {
  const TemporaryDirectory directory;
  write(directory / "thesis.txt", "three years of work");
  CHECK_THROWS_WITH(ResultsFile::create(directory / "thesis.txt"), Contains("thesis.txt"));
  CHECK(fs::file_size(directory / "thesis.txt") == 19);
  CHECK_THROWS_AS(ResultsFile::create("/dev/null"), UsageError);
  CHECK_THROWS_AS(ResultsFile::create("/proc/run.json"), UsageError);
  CHECK_THROWS_AS(ResultsFile::create(directory / "thesis.txt/run.json"), UsageError);
  ResultsFile::create(directory / "run.json");
  CHECK_NOTHROW(ResultsFile::create(directory / "run.json"));
}

TEST_CASE("results file: measurements of another machine are not mixed with this one's") {
  const TemporaryDirectory directory;
  ResultsFile file = ResultsFile::create(directory / "run.json");
  CHECK_NOTHROW(check_same_machine(file, ""));
  Json context = file.context();
  context["cpu_model"] = "Abacus 3000";
  file.set_context(context);
  CHECK_THROWS_WITH(check_same_machine(file, ""), Contains("Abacus 3000") && Contains(cpu_model()));
  context = make_context({}, 0, {});
  context["num_cpus"] = 12345;
  file.set_context(context);
  CHECK_THROWS_WITH(check_same_machine(file, ""), Contains("12345"));
}

TEST_CASE("results file: nor are those of another device") {
  const TemporaryDirectory directory;
  ResultsFile file = ResultsFile::create(directory / "run.json");
  CHECK_THROWS_WITH(check_same_machine(file, "GPU A"), Contains("the CPU") && Contains("GPU A"));
  Json context = file.context();
  context["device"] = {{"name", "GPU A"}};
  file.set_context(context);
  CHECK_NOTHROW(check_same_machine(file, "GPU A"));
  CHECK_THROWS_WITH(check_same_machine(file, "GPU B"), Contains("GPU A") && Contains("GPU B"));
  CHECK_THROWS_WITH(check_same_machine(file, ""), Contains("GPU A") && Contains("the CPU"));
}

TEST_CASE("results file: Google Benchmark's compare.py reads it, skipped cells and all") {
  const std::string script = "/usr/share/benchmark/compare.py";
  const bool available =
      fs::exists(script) && test::run({"/usr/bin/python3", "-c", "import scipy, numpy"}).exit_code == 0;
  if (!available) {
    WARN("SKIPPED: no " << script << ", or no scipy for it");
    return;
  }
  const TemporaryDirectory directory;
  for (const auto& [name, factor] : {std::pair("old.json", 1.0), std::pair("new.json", 2.0)}) {
    ResultsFile file = ResultsFile::create(directory / name);
    file.add(timed_cell(1, 1000 * factor));
    file.add(skipped_cell(2));
  }
  const auto outcome = test::run({"/usr/bin/python3", script, "--no-color", "benchmarks",
                                  (directory / "old.json").string(), (directory / "new.json").string()});
  CAPTURE(outcome.out, outcome.err);
  CHECK(outcome.exit_code == 0);
  CHECK_THAT(outcome.out, Contains("wkv5/cpu_naive/f32/prefill/B:2/T:1/H:4/N:8/threads:2/realistic_median"));
  CHECK_THAT(outcome.out, Contains("+1.0000"));
  CHECK_THAT(outcome.out, Contains("OVERALL_GEOMEAN"));
}

}  // namespace
}  // namespace wkv
