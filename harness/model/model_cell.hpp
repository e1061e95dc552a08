// What bench_model measures of one model at one length, and its results file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "harness/model/engine.hpp"

namespace wkv::model {

struct ModelCell {
  std::string architecture;  // "rwkv-5.2"
  // prefill: T tokens, with the logits after the last one; decode: one token after a context of T; generation: T
  // tokens, each from the one before, from an empty context on.
  std::string kind;
  std::string dtype, mixer, gemm;
  int64_t T = 0;
  int run_threads = 0;
  int64_t layers = 0, channels = 0, hidden = 0, vocabulary = 0, parameters = 0;
  std::string status{};            // "timed" or "skipped"
  std::string reason{};            // why it was skipped
  std::vector<double> times_ns{};  // one per repetition; decode's contexts grow by a token each
  PartSeconds part_seconds{};      // of a repetition, on average
  size_t weight_bytes = 0, activation_bytes = 0, state_bytes = 0;
  double flops = 0, bytes = 0;  // of a repetition, the least: weights, states and caches read once for tokens at once
  double read_bytes_per_second = 0;  // of memory on as many threads, measured last: after a cell of single tokens

  std::string name() const;  // "rwkv-5.2/prefill/f32/T:1024/threads:2"
  double median_ns() const;  // of a timed cell
  int64_t tokens() const { return kind == "decode" ? 1 : T; }
};

nlohmann::ordered_json json_of(const ModelCell& cell);

// {"context": ..., "cells": [...]}, complete on disk after every cell.
class ModelResultsFile {
 public:
  ModelResultsFile(std::filesystem::path path, nlohmann::ordered_json context);

  void add(const ModelCell& cell);
  void write() const;
  const std::filesystem::path& path() const { return path_; }
  const std::vector<ModelCell>& cells() const { return cells_; }

 private:
  std::filesystem::path path_;
  nlohmann::ordered_json context_;
  std::vector<ModelCell> cells_;
};

}  // namespace wkv::model
