// The r, k, v, w, u and state that a trained RWKV-5.2 model produces on a text (layer 6 of a tiny one), with the y and
// state_out that another implementation computed from them.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <optional>

#include "harness/compare.hpp"
#include "harness/input_file.hpp"
#include "harness/safetensors.hpp"
#include "harness/verify.hpp"

namespace wkv {
namespace {

const std::filesystem::path kFolder = std::filesystem::path(WKV_SOURCE_DIR) / ".." / "shared" / "data";

// Nothing, said aloud, where the file is not there.
std::optional<std::filesystem::path> trained(const char* name) {
  if (std::filesystem::exists(kFolder / name)) return kFolder / name;
  WARN("SKIPPED: there is no " << (kFolder / name).string());
  return std::nullopt;
}

TEST_CASE("trained model: the reference agrees with the file's own y and state_out") {
  const auto path = trained("wkv5-tiny-layer6.safetensors");
  if (!path) return;
  const InputFile input = read_input_file(*path, "wkv5");
  REQUIRE(input.problem == Problem{.B = 1, .T = 377, .H = 8, .N = 8});
  const Operator& op = operator_named("wkv5");
  Executor executor(1);
  const TensorSet set(op.tensors(input.problem));
  input.source.fill(set, 0, executor);
  for (int64_t head = 0; head < input.problem.H; ++head) {
    const Slice slice{.head = head, .times = {}};
    const auto reference = op.reference(set, input.problem, slice);
    const auto given = input.source.given(input.problem, slice);
    REQUIRE(given.size() == 2);
    for (size_t output = 0; output < given.size(); ++output) {
      REQUIRE(given[output].value.size() == reference[output].value.size());
      for (size_t i = 0; i < given[output].value.size(); ++i) {
        CAPTURE(head, given[output].tensor, i);
        const double allowed = tolerance(given[output], i, DType::f32, DType::f32);
        REQUIRE(std::abs(given[output].value[i] - reference[output].value[i]) <= allowed);
      }
    }
  }
}

TEST_CASE("trained model: every variant agrees with the reference and with the file, in every dtype") {
  const auto path = trained("wkv5-tiny-layer6.safetensors");
  if (!path) return;
  const DType dtype = GENERATE(DType::f32, DType::bf16);
  InputFile input = read_input_file(*path, "wkv5");
  input.problem.dtype = dtype;
  Executor executor(2);
  Workload workload(operator_named("wkv5"), input.problem, input.source, 2, executor);
  for (const Variant* variant : variants_of("wkv5")) {
    CAPTURE(variant->name, name_of(dtype));
    if (const auto reason = unsupported(*variant, input.problem)) {
      WARN("SKIPPED: " << variant->name << ": " << *reason);
      continue;
    }
    const auto runner = make_runner(*variant, workload, executor);
    CHECK(verify(*runner, workload, executor).failure == "");
  }
}

TEST_CASE("trained model: every tensor of a checkpoint is read") {
  const auto path = trained("tiny-rwkv-5.2.safetensors");
  if (!path) return;
  const SafetensorsFile file(*path);
  REQUIRE(file.metadata().at("rwkv_version") == "5.2");
  REQUIRE(file.tensor("emb.weight").shape == std::vector<int64_t>{256, 64});
  REQUIRE(file.tensor("blocks.11.att.time_decay").shape == std::vector<int64_t>{8, 8});
  for (const StoredTensor& tensor : file.tensors()) {
    CAPTURE(tensor.name);
    const std::vector<float> values = file.floats(tensor.name);
    REQUIRE(std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); }));
    REQUIRE(std::any_of(values.begin(), values.end(), [](float value) { return value != 0; }));
  }
}

}  // namespace
}  // namespace wkv
