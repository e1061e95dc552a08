// Checkpoints that PyTorch itself wrote: tests/model/torch, with the script that made them.
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "harness/model/checkpoint.hpp"

namespace wkv::model {
namespace {

std::filesystem::path file(const char* name) {
  return std::filesystem::path(WKV_SOURCE_DIR) / "tests" / "model" / "torch" / name;
}

std::string refusal(const std::filesystem::path& path) {
  try {
    const Checkpoint checkpoint(path);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return {};
}

TEST_CASE("torch: a state dict, alone or in a checkpoint of training, has the values that PyTorch gave it") {
  const Checkpoint checkpoint(file(GENERATE("state_dict.pth", "training.pth")));
  CAPTURE(checkpoint.path());
  const struct {
    const char* name;
    StoredType type;
    std::vector<int64_t> shape;
    std::vector<double> values;
  } expected[] = {
      {"weight", StoredType::f32, {1, 2}, {0.75, 0.75}},
      {"bias", StoredType::f32, {1}, {-1}},
      {"f32", StoredType::f32, {2, 3}, {0.1f, -2.5, 3, 1e-40f, 3e38f, -0.0}},
      {"bf16", StoredType::bf16, {3, 1}, {0x1.9ap-4, -2.5, 0x1.c4p+127}},
      {"f16", StoredType::f16, {5}, {0x1.998p-4, -2.5, 65504, 0x1p-24, std::numeric_limits<double>::infinity()}},
      {"f64", StoredType::f64, {2}, {0.1, -1e300}},
      {"i64", StoredType::i64, {2}, {-0x1p40, 7}},
      {"u8", StoredType::u8, {2}, {0, 255}},
      {"bool", StoredType::boolean, {3}, {1, 0, 1}},
      {"scalar", StoredType::f32, {}, {2.5}},
      {"empty", StoredType::f32, {0, 4}, {}},
      {"parameter", StoredType::f32, {1, 1, 4}, {0, 1, 2, 3}},
      {"with_gradient", StoredType::f32, {2}, {1, 1}},
      {"column", StoredType::f32, {3, 1}, {0, 1, 2}},
      {"second_half", StoredType::bf16, {5}, {5, 6, 7, 8, 9}},
      {"first_half", StoredType::bf16, {2, 2}, {0, 1, 2, 3}},
  };
  REQUIRE(checkpoint.tensors().size() == std::size(expected));
  for (const auto& tensor : expected) {
    CAPTURE(tensor.name);
    const StoredTensor& read = checkpoint.tensor(tensor.name);
    REQUIRE(read.type == tensor.type);
    REQUIRE(read.shape == tensor.shape);
    const std::vector<double> values = doubles(read);
    REQUIRE(values == tensor.values);
    for (size_t i = 0; i < values.size(); ++i) REQUIRE(std::signbit(values[i]) == std::signbit(tensor.values[i]));
  }
}

TEST_CASE("torch: what is not read is refused with what to do") {
  REQUIRE_THAT(refusal(file("old_format.pth")),
               Catch::EndsWith("old_format.pth: it is in PyTorch's old format, which a PyTorch of 1.6 or later "
                               "converts: torch.save(torch.load(OLD, map_location=\"cpu\"), NEW)"));
  REQUIRE_THAT(refusal(file("transposed.pth")),
               Catch::EndsWith("it is not contiguous: shape [3, 2] with strides [1, 3]; save it after .contiguous()"));
}

}  // namespace
}  // namespace wkv::model
