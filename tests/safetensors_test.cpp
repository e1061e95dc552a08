#include "harness/safetensors.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <fstream>
#include <random>

#include "tests/fuzz/targets.hpp"
#include "tests/mutated_file.hpp"
#include "tests/temporary_directory.hpp"

namespace wkv {
namespace {

namespace fs = std::filesystem;

// A file image from the text of its header and its data.
std::string image(const std::string& header, std::string_view data) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + std::string(data);
}

template <class Element>
std::span<const std::byte> bytes_of(const std::vector<Element>& values) {
  return std::as_bytes(std::span(values));
}

// What opening the image says after "cannot read <path>: "; empty if it is accepted.
std::string refusal(std::string_view bytes) {
  const TemporaryDirectory directory;
  const fs::path path = directory / "file.safetensors";
  write_bytes(path, bytes);
  try {
    const SafetensorsFile file(path);
  } catch (const std::runtime_error& error) {
    const std::string message = error.what(), start = "cannot read " + path.string() + ": ";
    REQUIRE(message.substr(0, start.size()) == start);
    REQUIRE(message.find('\n') == std::string::npos);
    return message.substr(start.size());
  }
  return {};
}

// A header with one tensor of two floats, described by `inner`.
std::string one_tensor(const std::string& inner) { return image(R"({"a":{)" + inner + "}}", "01234567"); }

TEST_CASE("safetensors: what was written is read back") {
  const TemporaryDirectory directory;
  const std::vector<float> weights{1, -2.5f, 3e-8f, 4, 5, 6};
  const std::vector<int64_t> tokens{7, -1, int64_t{1} << 60};
  const std::vector<uint8_t> flags{1, 0};
  const std::vector<StoredTensor> tensors{
      {.name = "emb.weight", .type = StoredType::f32, .shape = {2, 3}, .bytes = bytes_of(weights)},
      {.name = "tokens", .type = StoredType::i64, .shape = {3}, .bytes = bytes_of(tokens)},
      {.name = "nothing", .type = StoredType::f64, .shape = {0, 5}, .bytes = {}},
      {.name = "flags \"\xc3\xa9\"\n", .type = StoredType::boolean, .shape = {2}, .bytes = bytes_of(flags)},
  };
  write_safetensors(directory / "model.safetensors", tensors, {{"version", "5.2"}});

  const SafetensorsFile file(directory / "model.safetensors");
  REQUIRE(file.metadata() == std::map<std::string, std::string>{{"version", "5.2"}});
  REQUIRE(file.tensors().size() == 4);
  for (const StoredTensor& tensor : tensors) {
    const StoredTensor& read = file.tensor(tensor.name);
    REQUIRE(read.type == tensor.type);
    REQUIRE(read.shape == tensor.shape);
    REQUIRE(std::equal(read.bytes.begin(), read.bytes.end(), tensor.bytes.begin(), tensor.bytes.end()));
  }
  REQUIRE(file.floats("emb.weight") == weights);
  REQUIRE(file.integers("tokens") == tokens);
  REQUIRE(file.integers("flags \"\xc3\xa9\"\n") == std::vector<int64_t>{1, 0});
  REQUIRE(file.doubles("nothing").empty());
  REQUIRE_FALSE(fs::exists(directory / "model.safetensors.partial"));
}

TEST_CASE("safetensors: every stored type is widened exactly") {
  const TemporaryDirectory directory;
  // 1, -2, smallest subnormal, largest, infinity of IEEE binary16; 1, -2 and the largest of bfloat16.
  const std::vector<uint16_t> half{0x3c00, 0xc000, 0x0001, 0x7bff, 0x7c00, 0x7e00}, bf16{0x3f80, 0xc000, 0x7f7f};
  const std::vector<double> f64{0.1};
  const std::vector<int8_t> i8{-128, 127};
  const std::vector<uint8_t> u8{255};
  const std::vector<int16_t> i16{-32768};
  const std::vector<uint16_t> u16{65535};
  const std::vector<int32_t> i32{INT32_MIN};
  const std::vector<uint32_t> u32{UINT32_MAX};
  const std::vector<uint64_t> u64{UINT64_MAX};
  const std::vector<StoredTensor> tensors{
      {.name = "u8", .type = StoredType::u8, .shape = {1}, .bytes = bytes_of(u8)},  // the rest lies unaligned
      {.name = "half", .type = StoredType::f16, .shape = {6}, .bytes = bytes_of(half)},
      {.name = "bf16", .type = StoredType::bf16, .shape = {3}, .bytes = bytes_of(bf16)},
      {.name = "f64", .type = StoredType::f64, .shape = {}, .bytes = bytes_of(f64)},
      {.name = "i8", .type = StoredType::i8, .shape = {2}, .bytes = bytes_of(i8)},
      {.name = "i16", .type = StoredType::i16, .shape = {1}, .bytes = bytes_of(i16)},
      {.name = "u16", .type = StoredType::u16, .shape = {1}, .bytes = bytes_of(u16)},
      {.name = "i32", .type = StoredType::i32, .shape = {1}, .bytes = bytes_of(i32)},
      {.name = "u32", .type = StoredType::u32, .shape = {1}, .bytes = bytes_of(u32)},
      {.name = "u64", .type = StoredType::u64, .shape = {1}, .bytes = bytes_of(u64)},
  };
  write_safetensors(directory / "types.safetensors", tensors);
  const SafetensorsFile file(directory / "types.safetensors");

  const std::vector<double> read = file.doubles("half");
  REQUIRE(std::vector(read.begin(), read.begin() + 5) == std::vector<double>{1, -2, 0x1p-24, 65504, HUGE_VAL});
  REQUIRE(std::isnan(read[5]));
  REQUIRE(file.doubles("bf16") == std::vector<double>{1, -2, 0x1.fep+127});
  REQUIRE(file.doubles("f64") == f64);
  REQUIRE(file.floats("f64") == std::vector<float>{0.1f});
  REQUIRE(file.integers("i8") == std::vector<int64_t>{-128, 127});
  REQUIRE(file.integers("u8") == std::vector<int64_t>{255});
  REQUIRE(file.integers("i16") == std::vector<int64_t>{-32768});
  REQUIRE(file.integers("u16") == std::vector<int64_t>{65535});
  REQUIRE(file.integers("i32") == std::vector<int64_t>{INT32_MIN});
  REQUIRE(file.integers("u32") == std::vector<int64_t>{UINT32_MAX});
  REQUIRE_THROWS_WITH(file.integers("u64"),
                      Catch::EndsWith(R"(tensor "u64" holds 18446744073709551615, which is too large)"));
  REQUIRE_THROWS_WITH(file.integers("f64"), Catch::EndsWith(R"(tensor "f64" holds 0.1, which is not an integer)"));
  REQUIRE_THROWS_WITH(file.tensor("nope"), Catch::EndsWith(R"(types.safetensors: there is no tensor "nope")"));
}

TEST_CASE("safetensors: a damaged file gets one line that names tensor and offset") {
  const std::string valid = one_tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,8])");
  REQUIRE(refusal(valid).empty());
  const struct {
    std::string bytes, message;
  } cases[] = {
      {"", "the file is empty"},
      {valid.substr(0, 5), "the file ends at 5, inside the header's length"},
      {valid.substr(0, 30), "the header ends at 62 but the file has 30 bytes"},
      {valid.substr(0, 66), R"(tensor "a" ends at 70 but the file has 66 bytes)"},
      {valid + "x", "bytes 70 to 71, at the end, belong to no tensor"},
      {std::string(8, '\xff') + "{}", "the header's length is 18446744073709551615, more than 100000000"},
      {image(R"({"a":)", ""), "the header is not valid JSON at byte 13 of the file"},
      {image(std::string("{\"\xff\":1}"), ""), "the header is not valid JSON at byte 10 of the file"},
      {image("[]", ""), "the header is not a JSON object"},
      {image("3", ""), "the header is not a JSON object"},
      {image(R"({"a":[1]})", ""), R"(tensor "a" is not described by a JSON object)"},
      {image(R"({"a":1})", ""), R"(tensor "a" is not described by a JSON object)"},
      {image(R"({"__metadata__":{"x":1}})", ""), R"(__metadata__: "x" is not a string)"},
      {image(R"({"a":{},"a":{}})", ""), R"(the header names tensor "a" twice)"},
      {one_tensor(R"("dtype":"F32","dtype":"F64","shape":[2],"data_offsets":[0,8])"),
       R"(tensor "a": "dtype" is given twice)"},
      {one_tensor(R"("shape":[2],"data_offsets":[0,8])"), R"(tensor "a" has no "dtype")"},
      {one_tensor(R"("dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8])"),
       R"(tensor "a": dtype "F8_E4M3" is not known)"},
      {one_tensor(R"("dtype":7,"shape":[2],"data_offsets":[0,8])"), R"(tensor "a": "dtype" is not a string)"},
      {one_tensor(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])"),
       R"(tensor "a": "shape" is not an array of whole numbers below 2^63)"},
      {one_tensor(R"("dtype":"F32","shape":[2.0],"data_offsets":[0,8])"),
       R"(tensor "a": "shape" is not an array of whole numbers below 2^63)"},
      {one_tensor(R"("dtype":"F32","shape":[2e999],"data_offsets":[0,8])"),
       "the header holds a number that is out of range"},
      {one_tensor(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8])"),
       R"(tensor "a": the size of shape [4294967296, 4294967296] is out of range)"},
      {one_tensor(R"("dtype":"F32","shape":[3],"data_offsets":[0,8])"),
       R"(tensor "a" at 62 has 8 bytes but F32 of shape [3] needs 12)"},
      {one_tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0])"),
       R"(tensor "a": "data_offsets" are not two numbers)"},
      {one_tensor(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])"),
       R"(tensor "a" begins at 70 and ends before, at 62)"},
      {one_tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,9223372036854775807])"),
       R"(tensor "a" ends at 9223372036854775887 but the file has 88 bytes)"},
      {one_tensor(R"("dtype":"F32","shape":[2],"data_offsets":[18446744073709551608,18446744073709551615])"),
       R"(tensor "a": "data_offsets" is not an array of whole numbers below 2^63)"},
      {one_tensor(R"("dtype":"F32","shape":[1],"data_offsets":[4,8])"),
       R"(bytes 62 to 66, before tensor "a", belong to no tensor)"},
      {image(
           R"({"a":{"dtype":"U8","shape":[5],"data_offsets":[0,5]},"b":{"dtype":"U8","shape":[5],"data_offsets":[3,8]}})",
           "01234567"),
       R"(tensor "b" begins at 116, inside tensor "a", which ends at 118)"},
      {one_tensor(R"("dtype":"F32","shape":[[2]],"data_offsets":[0,8])"),
       R"(tensor "a": arrays are nested too deeply in the header)"},
      {one_tensor(R"("dtype":{"x":{}},"shape":[2],"data_offsets":[0,8])"),
       R"(tensor "a": objects are nested too deeply in the header)"},
  };
  for (const auto& damaged : cases) {
    CAPTURE(damaged.bytes);
    REQUIRE(refusal(damaged.bytes) == damaged.message);
  }
}

TEST_CASE("safetensors: a header that would grow in memory is stopped while it is parsed") {
  std::string deep, wide = R"({"a":{"shape":[0)";
  for (int i = 0; i < 1'000'000; ++i) deep += R"({"a":)", wide += ",0";
  REQUIRE(refusal(image(deep, "")) == R"(tensor "a": objects are nested too deeply in the header)");
  REQUIRE(refusal(image(std::string(1'000'000, '['), "")) == "the header is not a JSON object");
  REQUIRE(refusal(image(wide, "")) == R"(tensor "a" has more than 64 dimensions)");
}

TEST_CASE("safetensors: a message shows a hostile name on one short line") {
  const std::string message = refusal(image("{\"\\n\\u001b[31m" + std::string(100'000, 'x') + "\":1}", ""));
  REQUIRE(message.size() < 200);
  REQUIRE(message.find("\\n\\x1b[31mxxx") != std::string::npos);
}

TEST_CASE("safetensors: what is not a regular file is refused without waiting for it") {
  const TemporaryDirectory directory;
  REQUIRE_THROWS_WITH(SafetensorsFile(directory / "none"), Catch::EndsWith("none: No such file or directory"));
  REQUIRE_THROWS_WITH(SafetensorsFile(directory / "."), Catch::EndsWith("it is not a regular file"));
  REQUIRE(mkfifo((directory / "pipe").c_str(), 0600) == 0);
  REQUIRE_THROWS_WITH(SafetensorsFile(directory / "pipe"), Catch::EndsWith("it is not a regular file"));
}

TEST_CASE("safetensors: what cannot be written is refused and leaves nothing behind") {
  const TemporaryDirectory directory;
  const std::vector<float> values{1, 2};
  StoredTensor tensor{.name = "a", .type = StoredType::f32, .shape = {3}, .bytes = bytes_of(values)};
  REQUIRE_THROWS_WITH(write_safetensors(directory / "x", {{tensor}}),
                      Catch::EndsWith(R"(tensor "a": 8 bytes are not F32 of shape [3])"));
  tensor.shape = {2};
  const std::vector<StoredTensor> twice{tensor, tensor};
  REQUIRE_THROWS_WITH(write_safetensors(directory / "x", twice), Catch::Contains(R"(tensor "a" is there twice)"));
  REQUIRE_THROWS_WITH(write_safetensors(directory / "x", {{tensor}}, {{"\xff", ""}}), Catch::Contains("UTF-8"));
  REQUIRE_THROWS_WITH(write_safetensors(directory / "none" / "x", {{tensor}}), Catch::Contains("No such file"));
  REQUIRE(fs::is_empty(directory / "."));
}

std::string small_file(const fs::path& path) {
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  const std::vector<int32_t> tokens{1, 2};
  const std::vector<StoredTensor> tensors{
      {.name = "r", .type = StoredType::f32, .shape = {1, 2, 3}, .bytes = bytes_of(values)},
      {.name = "tokens", .type = StoredType::i32, .shape = {2}, .bytes = bytes_of(tokens)}};
  write_safetensors(path, tensors, {{"a", "b"}});
  return read_bytes(path);
}

bool is_one_line(std::string_view message) {
  return !message.empty() && message.size() < 500 && message.find_first_of("\n\x1b") == std::string_view::npos;
}

TEST_CASE("safetensors: thousands of mutated headers are each accepted or refused in one line") {
  const std::string valid = fuzz::safetensors.seeds().front();
  std::mt19937_64 random(20240229);
  int accepted = 0, refused = 0;
  for (int round = 0; round < 30'000; ++round) {
    const std::string text = mutated(valid, random);
    // On the heap and no larger than its contents, so that a read past the end is seen by AddressSanitizer.
    const std::vector<char> bytes(text.begin(), text.end());
    CAPTURE(round, text);
    ++(fuzz::safetensors.accepts(std::as_bytes(std::span(bytes))) ? accepted : refused);
  }
  REQUIRE(accepted > 500);
  REQUIRE(refused > 5000);
}

TEST_CASE("safetensors: mutated files are each read whole or refused in one line") {
  const TemporaryDirectory directory;
  const fs::path path = directory / "mutant.safetensors";
  const std::string valid = small_file(path);
  std::mt19937_64 random(7);
  int accepted = 0, refused = 0;
  for (int round = 0; round < 500; ++round) {
    write_bytes(path, mutated(valid, random));
    try {
      const SafetensorsFile file(path);
      int64_t elements = 0;
      for (const StoredTensor& tensor : file.tensors()) elements += std::ssize(file.doubles(tensor.name));
      REQUIRE(elements <= static_cast<int64_t>(valid.size()) * 4);
      ++accepted;
    } catch (const std::runtime_error& error) {
      CAPTURE(round);
      REQUIRE(std::string_view(error.what()).starts_with("cannot read " + path.string() + ": "));
      REQUIRE(is_one_line(error.what()));
      ++refused;
    }
  }
  REQUIRE(accepted > 10);
  REQUIRE(refused > 100);
}

}  // namespace
}  // namespace wkv
