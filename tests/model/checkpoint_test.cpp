#include "harness/model/checkpoint.hpp"

#include <catch2/catch.hpp>
#include <utility>

#include "harness/safetensors.hpp"
#include "tests/model/pth_writer.hpp"
#include "tests/mutated_file.hpp"
#include "tests/temporary_directory.hpp"

namespace wkv::model {
namespace {

using namespace std::string_literals;

TEST_CASE("checkpoint: a .safetensors and a .pth file are told apart by what is in them, and read alike") {
  const TemporaryDirectory directory;
  const std::vector<float> a{0, 1, 2, 3, 4, 5};
  const std::vector<uint16_t> b{0x0000, 0x3f80, 0x4000, 0x4040};
  const std::vector<StoredTensor> tensors{
      {.name = "a", .type = StoredType::f32, .shape = {2, 3}, .bytes = std::as_bytes(std::span(a))},
      {.name = "b", .type = StoredType::bf16, .shape = {4}, .bytes = std::as_bytes(std::span(b))}};
  write_safetensors(directory / "one.pth", tensors, {{"version", "5.2"}});
  write_bytes(directory / "other.safetensors", image_of(small_pth()));

  Checkpoint other(directory / "other.safetensors");
  const Checkpoint one(directory / "one.pth"), moved = std::move(other);
  REQUIRE(one.metadata() == std::map<std::string, std::string>{{"version", "5.2"}});
  REQUIRE(moved.metadata().empty());
  for (const Checkpoint* checkpoint : {&one, &moved}) {
    CAPTURE(checkpoint->path());
    REQUIRE(checkpoint->tensors().size() == 2);
    REQUIRE(checkpoint->tensor("a").shape == std::vector<int64_t>{2, 3});
    REQUIRE(floats(checkpoint->tensor("a")) == a);
    REQUIRE(checkpoint->tensor("b").type == StoredType::bf16);
    std::vector<float> values(4);
    read_values(checkpoint->tensor("b"), values);
    REQUIRE(values == std::vector<float>{0, 1, 2, 3});
    REQUIRE(checkpoint->find("c") == nullptr);
    REQUIRE_THROWS_WITH(checkpoint->tensor("c"),
                        "cannot read " + checkpoint->path().string() + R"(: there is no tensor "c")");
    const std::string file = read_bytes(checkpoint->path());
    const size_t offset = checkpoint->offset_of(checkpoint->tensor("a"));
    REQUIRE(file.substr(offset, 24) == std::string(reinterpret_cast<const char*>(a.data()), 24));
  }
}

TEST_CASE("checkpoint: other files are refused with what they are") {
  const TemporaryDirectory directory;
  const auto path = directory / "model.pth";
  const auto refusal = [&](const std::string& bytes) {
    write_bytes(path, bytes);
    try {
      const Checkpoint checkpoint(path);
    } catch (const std::runtime_error& error) {
      const std::string message = error.what(), start = "cannot read " + path.string() + ": ";
      REQUIRE(message.starts_with(start));
      return message.substr(start.size());
    }
    return std::string();
  };
  const std::string neither = "it is neither a .safetensors file nor a zip file of torch.save (.pth)";
  REQUIRE(refusal("ggml") == neither);
  REQUIRE(refusal("PK") == neither);
  REQUIRE(refusal("\x80\x02}.") == neither);
  for (const auto& start : {"\x80\x02"s, "\x80\x04\x95\x0d\0\0\0\0\0\0\0"s}) {  // of protocol 2 and 4
    REQUIRE(refusal(start + "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.") ==
            "it is in PyTorch's old format, which a PyTorch of 1.6 or later converts: "
            "torch.save(torch.load(OLD, map_location=\"cpu\"), NEW)");
  }
  REQUIRE(refusal("PK\3\4 and no more") ==
          "the zip file's directory is missing: the file was cut off or goes on after its end");
  REQUIRE(refusal("PK\3\4\0\0\0\0{}"s) == "the header ends at 67324760 but the file has 10 bytes");
  REQUIRE(
      refusal(image_of({.pickle = "\x80\x02"
                                  "cos\nsystem\nX\4\0\0\0true\x85R."s,
                        .storages = {}})) ==
      R"(byte 66: "os.system" is refused: a checkpoint is made of tensors and plain containers only; save the state dict alone)");
  REQUIRE(refusal(image_of({.pickle = pickle_of({{.name = "emb.weight", .key = "5"}}), .storages = {}})) ==
          R"(tensor "emb.weight", pickled at 259: the zip file has no storage "5")");
  REQUIRE_THROWS_WITH(Checkpoint(directory / "none"), Catch::EndsWith("none: No such file or directory"));
}

}  // namespace
}  // namespace wkv::model
