// A model's first block on the emulated device: its mixer, and in bf16 its projections too.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "harness/model/language_model.hpp"
#include "tests/model/test_models.hpp"

namespace wkv::model {
namespace {

std::vector<float> logits_of(LanguageModel& model, const std::vector<Token>& tokens, size_t piece) {
  const auto V = static_cast<size_t>(model.config().vocabulary);
  std::vector<float> logits(tokens.size() * V);
  ModelState state = model.initial_state();
  for (size_t first = 0; first < tokens.size(); first += piece) {
    model.forward(std::span(tokens).subspan(first, piece), state, std::span(logits).subspan(first * V, piece * V));
  }
  return logits;
}

std::vector<double> widened(const std::vector<float>& values) { return {values.begin(), values.end()}; }

TEST_CASE("model: a block with CUDA's mixer and projections gives the CPU's logits") {
  const ModelConfig config{.layers = 1, .channels = 64, .hidden = 96, .vocabulary = 32, .head_size = 32};
  const std::vector<Token> tokens = random_tokens(6, config.vocabulary);
  Executor executor(2);
  const auto model = [&](DType dtype, const KernelChoice& kernels) {
    return LanguageModel(Parameters::random(config, dtype, 4, executor), kernels, executor);
  };
  LanguageModel on_cpu = model(DType::f32, {}), mixed = model(DType::f32, {.mixer = "wkv5:cuda_serial", .gemm = ""}),
                rounded = model(DType::bf16, {.mixer = "wkv5:cuda_serial", .gemm = "cuda_mma"});
  const std::vector<double> expected = widened(logits_of(on_cpu, tokens, 6));
  CHECK(largest_difference(logits_of(mixed, tokens, 6), expected) < 1e-5);
  CHECK(largest_difference(logits_of(mixed, tokens, 1), expected) < 1e-5);
  double largest = 0;
  for (const double logit : expected) largest = std::max(largest, std::abs(logit));
  CHECK(largest_difference(logits_of(rounded, tokens, 6), expected) < 0.1 * largest);
}

TEST_CASE("model: a trained model's first block with CUDA's mixer gives the CPU's logits") {
  const auto file = std::filesystem::path(WKV_SOURCE_DIR) / "../shared/data/tiny-rwkv-4.safetensors";
  if (!std::filesystem::exists(file)) {
    fmt::print("SKIPPED a trained model on the emulated device: {} is not there\n", file.string());
    return;
  }
  const Checkpoint checkpoint(file);
  ModelConfig config = config_of(checkpoint);
  config.layers = 1;
  const std::vector<Token> tokens = random_tokens(9, config.vocabulary);
  Executor executor(2);
  LanguageModel on_cpu(Parameters::load(checkpoint, config, DType::f32, executor), {}, executor);
  LanguageModel mixed(Parameters::load(checkpoint, config, DType::f32, executor),
                      {.mixer = "wkv4:cuda_serial", .gemm = ""}, executor);
  CHECK(largest_difference(logits_of(mixed, tokens, 9), widened(logits_of(on_cpu, tokens, 9))) < 1e-4);
}

}  // namespace
}  // namespace wkv::model
