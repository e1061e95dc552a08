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

// As a part of a document at this depth.
std::string text_of(const Json& json, int depth) {
  const std::string text = json.dump(1, ' ', false, Json::error_handler_t::replace);
  std::string indented;
  for (const char c : text) {
    indented += c;
    if (c == '\n') indented.append(static_cast<size_t>(depth), ' ');
  }
  return indented;
}

}  // namespace

ResultsFile::ResultsFile(std::filesystem::path path, Json context)
    : path_(std::move(path)), context_(std::move(context)) {}

ResultsFile::ResultsFile(ResultsFile&& other)
    : path_(std::move(other.path_)),
      context_(std::move(other.context_)),
      cells_(std::move(other.cells_)),
      texts_(std::move(other.texts_)),
      index_(std::move(other.index_)) {}

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
    for (CellResult& cell : cells_of(document["benchmarks"])) file.put(std::move(cell));
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
  put(std::move(cell));
  write();
}

void ResultsFile::put(CellResult cell) {
  const auto [place, is_new] = index_.try_emplace(cell.name(), cells_.size());
  const size_t index = place->second;
  if (is_new) {
    cells_.emplace_back();
    texts_.emplace_back();
  }
  texts_[index].clear();
  for (Json& entry : entries_of(cell)) {
    entry["family_index"] = index;  // Google Benchmark saw each cell as the only one of its run
    if (!texts_[index].empty()) texts_[index] += ",";
    texts_[index] += "\n  " + text_of(entry, 2);
  }
  cells_[index] = std::move(cell);
}

std::vector<CellResult> ResultsFile::cells() const {
  const std::scoped_lock lock(mutex_);
  return cells_;
}

std::optional<CellResult> ResultsFile::find(const std::string& name) const {
  const std::scoped_lock lock(mutex_);
  const auto found = index_.find(name);
  return found == index_.end() ? std::nullopt : std::optional(cells_[found->second]);
}

std::string ResultsFile::document() const {
  const std::scoped_lock lock(mutex_);
  std::string text = "{\n \"context\": " + text_of(context_, 1) + ",\n \"benchmarks\": [";
  const char* separator = "";
  for (const std::string& entries : texts_) {
    if (entries.empty()) continue;
    text += separator + entries;
    separator = ",";
  }
  return text + (*separator == '\0' ? "]\n}\n" : "\n ]\n}\n");
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
