// The command line of bench_wkv.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "harness/arguments.hpp"
#include "harness/dtype.hpp"
#include "harness/presets.hpp"
#include "harness/problem.hpp"
#include "harness/variant.hpp"

namespace wkv {

enum class Format { table, json, csv };

struct Options {
  std::vector<std::string> ops;
  std::vector<std::string> variants;  // empty: all
  DeviceKind device = DeviceKind::cpu;
  std::vector<int64_t> lengths, batches;
  std::vector<HeadShape> shapes;
  std::optional<int64_t> window;  // none: no limit
  std::vector<DType> dtypes;
  bool dtypes_given = false;  // if not, an input file decides
  std::vector<Mode> modes;
  std::vector<int> threads;
  std::string inputs;            // "realistic", "extreme" or a path
  std::optional<uint64_t> seed;  // none: drawn afresh
  int repetitions = 0;
  double cell_seconds = 0, run_seconds = 0;
  size_t memory_bytes = 0;
  std::filesystem::path out, resume;
  Format format = Format::table;
  bool list = false, verify_only = false, ceilings_only = false, keep_failed = false;
  std::string help;                    // to be printed instead of a run, where it was asked for
  std::vector<std::string> arguments;  // as given; a resumed run goes on with those of its file

  bool inputs_from_file() const { return inputs != "realistic" && inputs != "extreme"; }
};

// The arguments after the program's name. Throws UsageError.
Options parse_options(const std::vector<std::string>& arguments);

}  // namespace wkv
