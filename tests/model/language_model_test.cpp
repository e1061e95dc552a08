// Language models against the reference and, where they are there, against trained models' published logits.
#include "harness/model/language_model.hpp"

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "harness/arguments.hpp"
#include "tests/model/test_models.hpp"
#include "tests/temporary_directory.hpp"

namespace wkv::model {
namespace {

// Logits after each token, by calls of so many tokens; 0: all in one.
std::vector<float> logits_of(LanguageModel& model, const std::vector<Token>& tokens, size_t piece) {
  const auto V = static_cast<size_t>(model.config().vocabulary);
  std::vector<float> logits(tokens.size() * V);
  ModelState state = model.initial_state();
  if (piece == 0) piece = tokens.size();
  for (size_t first = 0; first < tokens.size(); first += piece) {
    const size_t count = std::min(piece, tokens.size() - first);
    model.forward(std::span(tokens).subspan(first, count), state, std::span(logits).subspan(first * V, count * V));
  }
  return logits;
}

std::optional<std::filesystem::path> data_folder() {
  const auto folder = std::filesystem::path(WKV_SOURCE_DIR) / "../shared/data";
  if (std::filesystem::exists(folder / "tiny-rwkv-4.safetensors")) return folder;
  fmt::print("SKIPPED trained models: {} is not there\n", folder.string());
  return std::nullopt;
}

struct Trained {
  Trained(const std::filesystem::path& folder, const std::string& version)
      : checkpoint(folder / ("tiny-rwkv-" + version + ".safetensors")),
        expected(folder / ("tiny-rwkv-" + version + "-expected.safetensors")) {
    for (const int64_t token : expected.integers("long_tokens")) tokens.push_back(static_cast<Token>(token));
  }
  Checkpoint checkpoint;
  SafetensorsFile expected;
  std::vector<Token> tokens;
};

TEST_CASE("model: the reference gives the logits that trained models are published with") {
  const auto folder = data_folder();
  if (!folder) return;
  const std::string version = GENERATE(as<std::string>{}, "4", "5.2");
  const Trained trained(*folder, version);
  const ModelConfig config = config_of(trained.checkpoint);
  Values values;
  for (const ParameterSpec& spec : parameters_of(config)) {
    values[spec.name] = floats(trained.checkpoint.tensor(spec.name));
  }
  const std::vector<double> logits = expected_logits(config, values, trained.tokens);
  REQUIRE(largest_difference(trained.expected.floats("long_logits"), logits) < 1e-4);
}

TEST_CASE("model: logits of trained models are the published ones, at once and token by token") {
  const auto folder = data_folder();
  if (!folder) return;
  const std::string version = GENERATE(as<std::string>{}, "4", "5.2");
  const Trained trained(*folder, version);
  Executor executor(2);
  const ModelConfig config = config_of(trained.checkpoint);
  LanguageModel model(Parameters::load(trained.checkpoint, config, DType::f32, executor), {}, executor);
  const std::vector<double> expected = trained.expected.doubles("long_logits");
  for (const size_t piece : {size_t{0}, size_t{1}}) {
    const double difference = largest_difference(logits_of(model, trained.tokens, piece), expected);
    fmt::print("RWKV-{}, {}: largest difference {:.1e}\n", version, piece == 0 ? "at once" : "token by token",
               difference);
    CHECK(difference < 1e-3);
  }
}

ModelConfig small(Architecture architecture) {
  return {.architecture = architecture,
          .layers = 3,
          .channels = 48,
          .hidden = 104,
          .vocabulary = 61,
          .head_size = architecture == Architecture::rwkv4 ? 48 : 16};
}

TEST_CASE("model: every version agrees with the reference, at once, in pieces and token by token") {
  const auto architecture = GENERATE(Architecture::rwkv4, Architecture::rwkv5_1, Architecture::rwkv5_2);
  const ModelConfig config = small(architecture);
  const Values values = random_values(config, 5);
  const TemporaryDirectory directory;
  write_checkpoint(directory / "model.safetensors", drafts_of(config, values));
  const Checkpoint checkpoint(directory / "model.safetensors");
  CAPTURE(name_of(architecture));
  CHECK(config_of(checkpoint).architecture == architecture);
  CHECK(config_of(checkpoint).head_size == config.head_size);

  const std::vector<Token> tokens = random_tokens(75, config.vocabulary);
  const std::vector<double> expected = expected_logits(config, values, tokens);
  Executor executor(2);
  LanguageModel model(Parameters::load(checkpoint, config_of(checkpoint), DType::f32, executor), {}, executor);
  for (const size_t piece : {0, 1, 7, 32}) {
    CAPTURE(piece);
    CHECK(largest_difference(logits_of(model, tokens, piece), expected) < 1e-4);
  }
  model.set_piece_tokens(16);
  CHECK(largest_difference(logits_of(model, tokens, 0), expected) < 1e-4);

  // bf16 keeps 8 bits; errors of some hundred roundings a layer add up like a random walk.
  LanguageModel rounded(Parameters::load(checkpoint, config_of(checkpoint), DType::bf16, executor), {}, executor);
  double largest = 0;
  for (const double logit : expected) largest = std::max(largest, std::abs(logit));
  CHECK(largest_difference(logits_of(rounded, tokens, 0), expected) < 0.1 * largest);
  CHECK(largest_difference(logits_of(rounded, tokens, 1), expected) < 0.1 * largest);
}

TEST_CASE("model: every mixer and every gemm gives the same logits") {
  const ModelConfig config = small(Architecture::rwkv5_2);
  const std::vector<Token> tokens = random_tokens(40, config.vocabulary);
  const Values values = random_values(config, 6);
  const TemporaryDirectory directory;
  write_checkpoint(directory / "model.safetensors", drafts_of(config, values));
  const Checkpoint checkpoint(directory / "model.safetensors");
  const std::vector<double> expected = expected_logits(config, values, tokens);
  Executor executor(2);
  for (const auto& [op, choice] : {std::pair("wkv5", &KernelChoice::mixer), std::pair("gemm", &KernelChoice::gemm)}) {
    for (const Variant* variant : variants_of(op)) {
      if (variant->device != DeviceKind::cpu || products(*variant, {}) != DType::f32 ||
          unsupported(*variant, {.T = 1, .H = 3, .N = 16})) {
        continue;
      }
      CAPTURE(op, variant->name);
      KernelChoice kernels;
      kernels.*choice = variant->name;
      LanguageModel model(Parameters::load(checkpoint, config, DType::f32, executor), kernels, executor);
      CHECK(largest_difference(logits_of(model, tokens, 0), expected) < 1e-4);
    }
  }
  CHECK_THROWS_AS(LanguageModel(Parameters::load(checkpoint, config, DType::f32, executor),
                                {.mixer = "wkv5:cpu_fast", .gemm = ""}, executor),
                  UsageError);
}

TEST_CASE("model: twins are as large, and run at once as token by token") {
  ModelConfig config = small(Architecture::rwkv5_2);
  config.channels = config.hidden = 128;
  const Architecture architecture = GENERATE(Architecture::transformer, Architecture::lstm, Architecture::gru);
  const ModelConfig twin = twin_of(kModelPresets[1].config, architecture);
  const auto count = static_cast<double>(parameter_count(kModelPresets[1].config));
  CHECK(std::abs(static_cast<double>(parameter_count(twin)) - count) < 0.005 * count);

  config.architecture = architecture;
  Executor executor(2);
  LanguageModel model(Parameters::random(config, DType::f32, 3, executor), {}, executor);
  const std::vector<Token> tokens = random_tokens(33, config.vocabulary);
  const std::vector<float> at_once = logits_of(model, tokens, 0);
  const std::vector<double> expected(at_once.begin(), at_once.end());
  CHECK(largest_difference(logits_of(model, tokens, 1), expected) < 1e-4);
  CHECK(largest_difference(logits_of(model, tokens, 9), expected) < 1e-4);
  ModelState state = model.initial_state();
  std::vector<float> last(static_cast<size_t>(config.vocabulary));
  model.forward(tokens, state, last);
  CHECK(state.bytes() == state_bytes(config, DType::f32, 33));
  CHECK(model.engine().buffer_bytes() <= activation_bytes(config, DType::f32, 33));

  // Tokens far back matter: mixing is there at all.
  std::vector<Token> others = tokens;
  others[3] = (others[3] + 1) % static_cast<Token>(config.vocabulary);
  CHECK(largest_difference(logits_of(model, others, 0), expected) > 1e-3);
}

TEST_CASE("model: what is wrong with a checkpoint's tensors is said with the tensor's name") {
  const ModelConfig config = small(Architecture::rwkv5_2);
  const Drafts whole = drafts_of(config, random_values(config, 5));
  const TemporaryDirectory directory;
  Executor executor(1);
  const auto error_of = [&](const std::function<void(Drafts&)>& change,
                            const std::map<std::string, std::string>& metadata = {}) -> std::string {
    Drafts drafts = whole;
    change(drafts);
    write_checkpoint(directory / "model.safetensors", drafts, metadata);
    try {
      const Checkpoint checkpoint(directory / "model.safetensors");
      Parameters::load(checkpoint, config_of(checkpoint), DType::f32, executor);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  };
  using Catch::Contains;
  CHECK(error_of([](Drafts&) {}) == "");
  CHECK_THAT(error_of([](Drafts& d) { d.erase("blocks.1.att.key.weight"); }),
             Contains("there is no tensor \"blocks.1.att.key.weight\""));
  CHECK_THAT(error_of([](Drafts& d) { d.erase("emb.weight"); }), Contains("there is no tensor \"emb.weight\""));
  CHECK_THAT(error_of([](Drafts& d) { d.erase("blocks.1.ln1.weight"); }), Contains("\"blocks.1.ln1.weight\""));
  CHECK_THAT(error_of([](Drafts& d) {
               d["blocks.2.ffn.value.weight"].shape = {104, 48};
             }),
             Contains("\"blocks.2.ffn.value.weight\" (at byte ") && Contains("[104, 48] and not [48, 104]"));
  CHECK_THAT(error_of([](Drafts& d) { d["blocks.0.att.time_decay"].shape = {48}; }), Contains("time_decay"));
  CHECK_THAT(error_of([](Drafts& d) {
               d["blocks.99999999999.x"] = {{1}, {1.0f}};
             }),
             Contains("\"blocks.3.ln1.weight\""));
  CHECK_THAT(error_of([](Drafts&) {}, {{"group_norm_eps", "many"}}), Contains("group_norm_eps"));
  CHECK_THAT(error_of([](Drafts& d) { d.clear(), d["x"] = {{1}, {1.0f}}; }), Contains("no RWKV model"));
}

}  // namespace
}  // namespace wkv::model
