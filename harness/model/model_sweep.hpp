// The measurements of bench_model: one model over lengths.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "harness/model/language_model.hpp"
#include "harness/model/model_cell.hpp"

namespace wkv::model {

struct ModelSweepSettings {
  std::vector<int64_t> lengths;  // ascending
  int threads = 1;               // of the executor
  int repetitions = 5;
  double cell_seconds = 60;  // a cell that is predicted to take longer is skipped
  double seconds = 600;      // for all of this model: cells that would not end by then are skipped
  size_t memory_bytes = 0;   // a cell that needs more, the weights included, is skipped
};

// Decode first, then generation, then prefill, each over all lengths. The context of decode is the state after 64
// tokens; where there are more, keys and values of these are repeated: no time depends on their values.
void sweep_model(LanguageModel& model, const ModelSweepSettings& settings,
                 const std::function<void(const ModelCell&)>& ended);

// The least FLOPs of tokens after so many others, with the logits after the last one; and the least bytes.
Cost cost_of(const ModelConfig& config, DType dtype, int64_t tokens, int64_t tokens_before);

// FLOP/s of the best variant of gemm on matrices like those of a model of so many channels.
struct GemmRate {
  std::string variant;
  double flops_per_second = 0;
};
GemmRate measure_gemm(DType dtype, int64_t channels, Executor& executor);

}  // namespace wkv::model
