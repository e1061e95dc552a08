// The results file: one JSON document in Google Benchmark's format, complete on disk after every cell.
#pragma once

#include <filesystem>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "harness/ceilings.hpp"
#include "harness/results.hpp"

namespace wkv {

class ResultsFile {
 public:
  // A new file with nothing in it, in a new directory where needed; replaces an earlier results file, but nothing else.
  // Throws UsageError.
  static ResultsFile create(const std::filesystem::path& path);
  // Throws UsageError where the file cannot be read, is damaged or is not one of ours.
  static ResultsFile load(const std::filesystem::path& path);

  ResultsFile(ResultsFile&& other);

  const std::filesystem::path& path() const { return path_; }
  const nlohmann::ordered_json& context() const { return context_; }
  // Those of the run that began the file.
  std::vector<std::string> arguments() const;
  uint64_t seed() const;

  void set_context(nlohmann::ordered_json context);
  // Adds a cell in place of an earlier one of the same name, and writes the file. Throws std::runtime_error.
  void add(CellResult cell);
  void write() const;

  // In the order of their first addition. All of these are safe beside add on another thread.
  std::vector<CellResult> cells() const;
  std::optional<CellResult> find(const std::string& name) const;
  std::string document() const;
  // While it is held, no other thread changes or writes the file.
  std::unique_lock<std::recursive_mutex> hold() const { return std::unique_lock(mutex_); }

 private:
  ResultsFile(std::filesystem::path path, nlohmann::ordered_json context);
  void put(CellResult cell);

  std::filesystem::path path_;
  nlohmann::ordered_json context_;
  std::vector<CellResult> cells_;
  std::vector<std::string> texts_;  // of each cell in the document, so that thousands of cells stay quick
  std::unordered_map<std::string, size_t> index_;  // of cells, by name
  mutable std::recursive_mutex mutex_;
};

// The machine, the build and the run: Google Benchmark's own context, and what it does not know.
nlohmann::ordered_json make_context(const std::map<int, Ceilings>& ceilings_by_threads, uint64_t seed,
                                    const std::vector<std::string>& arguments);

// Throws UsageError if a file's measurements are from another machine than this one with a device of this name; "" for
// the CPU alone.
void check_same_machine(const ResultsFile& file, const std::string& device);

}  // namespace wkv
