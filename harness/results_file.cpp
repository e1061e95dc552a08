#include "harness/results_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "harness/arguments.hpp"
#include "harness/atomic_file.hpp"
#include "harness/ceiling_loops.hpp"
#include "harness/machine.hpp"
#include "harness/timing.hpp"

namespace wkv {
namespace {

using Json = nlohmann::ordered_json;

Json json_of(const Ceilings& ceilings, int threads) {
  Json copy = Json::array();
  for (const Bandwidth& level : ceilings.copy) {
    copy.push_back({{"working_set_bytes", level.working_set_bytes}, {"bytes_per_second", level.bytes_per_second}});
  }
  return {{"threads", threads},
          {"fma_flops_per_second", ceilings.fma_flops_per_second},
          {"bf16_dot_flops_per_second", ceilings.bf16_dot_flops_per_second},
          {"copy", copy}};
}

// What a key of the context must be for the file to be ours.
void check_context(const Json& context) {
  const auto require = [&](const char* key, bool (Json::*is)() const noexcept, const char* what) {
    if (!context.contains(key) || !(context[key].*is)()) {
      throw std::runtime_error(fmt::format("its context has no {} \"{}\"", what, key));
    }
  };
  require("cpu_model", &Json::is_string, "text");
  require("num_cpus", &Json::is_number_integer, "number");
  require("seed", &Json::is_number_unsigned, "number");
  require("arguments", &Json::is_array, "list");
  if (context.contains("device") && (!context["device"].is_object() || !context["device"].contains("name") ||
                                     !context["device"]["name"].is_string())) {
    throw std::runtime_error("its context has a device without a name");
  }
  const auto& arguments = context["arguments"];
  if (!std::all_of(arguments.begin(), arguments.end(), [](const Json& argument) { return argument.is_string(); })) {
    throw std::runtime_error("its context has an argument that is not a text");
  }
}

}  // namespace

ResultsFile::ResultsFile(std::filesystem::path path, Json context)
    : path_(std::move(path)), context_(std::move(context)) {}

ResultsFile::ResultsFile(ResultsFile&& other)
    : path_(std::move(other.path_)), context_(std::move(other.context_)), cells_(std::move(other.cells_)) {}

ResultsFile ResultsFile::create(const std::filesystem::path& path) {
  if (std::filesystem::exists(path)) {
    if (!std::filesystem::is_regular_file(path))
      throw UsageError(fmt::format("--out {} is no regular file", path.string()));
    if (std::filesystem::file_size(path) > 0) load(path);  // what is no results file is not ours to replace
  }
  const auto parent = std::filesystem::weakly_canonical(path);
  std::error_code ignored;  // writing says what is wrong
  std::filesystem::create_directories(parent.parent_path(), ignored);
  ResultsFile file(parent, make_context({}, 0, {}));
  try {
    file.write();
  } catch (const std::runtime_error& error) {
    throw UsageError(error.what());
  }
  return file;
}

ResultsFile ResultsFile::load(const std::filesystem::path& path) {
  std::ifstream stream(path);
  if (!stream || std::filesystem::is_directory(path)) {
    throw UsageError(fmt::format("cannot read the results file {}: {}", path.string(),
                                 std::filesystem::is_directory(path) ? "it is a directory" : std::strerror(errno)));
  }
  try {
    const Json document = Json::parse(stream);
    if (!document.is_object() || !document.contains("context") || !document["context"].is_object() ||
        !document.contains("benchmarks")) {
      throw std::runtime_error("it has no \"context\" and \"benchmarks\"");
    }
    check_context(document["context"]);
    ResultsFile file(path, document["context"]);
    file.cells_ = cells_of(document["benchmarks"]);
    return file;
  } catch (const Json::parse_error& error) {
    throw UsageError(
        fmt::format("{} is not a complete results file: no valid JSON at byte {}", path.string(), error.byte));
  } catch (const std::exception& error) {
    throw UsageError(fmt::format("{} is not a results file of bench_wkv: {}", path.string(), error.what()));
  }
}

std::vector<std::string> ResultsFile::arguments() const { return context_.at("arguments"); }
uint64_t ResultsFile::seed() const { return context_.at("seed"); }

void ResultsFile::set_context(Json context) {
  const std::scoped_lock lock(mutex_);
  context_ = std::move(context);
}

void ResultsFile::add(CellResult cell) {
  const std::scoped_lock lock(mutex_);
  const std::string name = cell.name();
  const auto old = std::find_if(cells_.begin(), cells_.end(), [&](const CellResult& c) { return c.name() == name; });
  if (old == cells_.end()) {
    cells_.push_back(std::move(cell));
  } else {
    *old = std::move(cell);
  }
  write();
}

std::vector<CellResult> ResultsFile::cells() const {
  const std::scoped_lock lock(mutex_);
  return cells_;
}

std::optional<CellResult> ResultsFile::find(const std::string& name) const {
  const std::scoped_lock lock(mutex_);
  const auto found = std::find_if(cells_.begin(), cells_.end(), [&](const CellResult& c) { return c.name() == name; });
  return found == cells_.end() ? std::nullopt : std::optional(*found);
}

std::string ResultsFile::document() const {
  const std::scoped_lock lock(mutex_);
  Json benchmarks = Json::array();
  for (size_t i = 0; i < cells_.size(); ++i) {
    for (Json& entry : entries_of(cells_[i])) {
      entry["family_index"] = i;  // Google Benchmark saw each cell as the only one of its run
      benchmarks.push_back(std::move(entry));
    }
  }
  const Json document{{"context", context_}, {"benchmarks", std::move(benchmarks)}};
  return document.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

void ResultsFile::write() const {
  const std::scoped_lock lock(mutex_);
  write_atomically(path_, document(), "the results file");
}

Json make_context(const std::map<int, Ceilings>& ceilings_by_threads, uint64_t seed,
                  const std::vector<std::string>& arguments) {
  Json context = benchmark_context();
  context["cpu_model"] = cpu_model();
  context["simd"] = simd_target();
  context["compiler"] = compiler();
  context["git_revision"] = git_revision();
  context["arguments"] = arguments;
  context["seed"] = seed;
  context["ceilings"] = Json::array();
  for (const auto& [threads, ceilings] : ceilings_by_threads) context["ceilings"].push_back(json_of(ceilings, threads));
  return context;
}

void check_same_machine(const ResultsFile& file, const std::string& device) {
  const std::string model = file.context().at("cpu_model");
  const int cpus = file.context().at("num_cpus");
  const Json here = benchmark_context();
  const int cpus_here = here.at("num_cpus");
  const auto measured = file.context().contains("device") ? file.context()["device"]["name"].get<std::string>() : "";
  if (measured != device) {
    const auto name_of = [](const std::string& name) { return name.empty() ? "the CPU" : name; };
    throw UsageError(fmt::format("{} was measured on {} and not on {}: begin a new file", file.path().string(),
                                 name_of(measured), name_of(device)));
  }
  if (model == cpu_model() && cpus == cpus_here) return;
  throw UsageError(
      fmt::format("{} was measured on another machine ({}, {} CPUs; this is {}, {} CPUs): begin a new file",
                  file.path().string(), model, cpus, cpu_model(), cpus_here));
}

}  // namespace wkv
