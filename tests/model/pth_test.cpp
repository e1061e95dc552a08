#include "harness/model/pth.hpp"

#include <catch2/catch.hpp>
#include <functional>
#include <stdexcept>

#include "tests/fuzz/targets.hpp"
#include "tests/model/pth_writer.hpp"

namespace wkv::model {
namespace {

using namespace std::string_literals;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string refusal_of_file(std::string_view file) {
  try {
    read_pth(bytes_of(file));
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return {};
}

// Of the pickle of tensors, beside a storage "0" of six and "1" of two floats.
std::string refusal(const std::string& pickle) {
  static const std::string data(32, '\0');
  try {
    read_state_dict(bytes_of(pickle), 0, {{"0", bytes_of(data).first(24)}, {"1", bytes_of(data).subspan(24)}});
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return {};
}

std::string refusal(const std::function<void(PthTensor&)>& change) {
  PthTensor tensor{.name = "a"};
  change(tensor);
  const std::string message = refusal(pickle_of({tensor})), start = "tensor \"a\", pickled at ";
  if (!message.starts_with(start)) return message;
  return message.substr(message.find(": ") + 2);
}

TEST_CASE("pth: names, types, shapes and the bytes in the file are read from plain and zip64 files") {
  const ZipEnd end = GENERATE(ZipEnd::plain, ZipEnd::zip64);
  const std::string file = image_of(small_pth(), end);
  const auto tensors = read_pth(bytes_of(file));
  REQUIRE(tensors.size() == 2);
  REQUIRE(tensors[0].name == "a");
  REQUIRE(tensors[0].type == StoredType::f32);
  REQUIRE(tensors[0].shape == std::vector<int64_t>{2, 3});
  REQUIRE(floats(tensors[0]) == std::vector<float>{0, 1, 2, 3, 4, 5});
  REQUIRE(tensors[1].name == "b");
  REQUIRE(tensors[1].type == StoredType::bf16);
  REQUIRE(tensors[1].shape == std::vector<int64_t>{4});
  REQUIRE(floats(tensors[1]) == std::vector<float>{0, 1, 2, 3});
  for (const StoredTensor& tensor : tensors) {
    const auto offset = reinterpret_cast<const char*>(tensor.bytes.data()) - file.data();
    REQUIRE((offset > 0 && offset < std::ssize(file) && offset % 64 == 0));
  }
}

TEST_CASE("pth: what Python's own pickler writes is read, and what are no tensors left out") {
  const auto pickle = GENERATE(kPickledInProtocol2, kPickledInProtocol4);
  const float f32[] = {9, 1, 2, 3, 4};
  const uint16_t bf16[] = {0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0, 0x40c0};
  const std::string file = image_of({.pickle = std::string(pickle),
                                     .storages = {{"0", {reinterpret_cast<const char*>(bf16), sizeof(bf16)}},
                                                  {"1", {reinterpret_cast<const char*>(f32), sizeof(f32)}}}});
  const auto tensors = read_pth(bytes_of(file));
  REQUIRE(tensors.size() == 2);
  REQUIRE(tensors[0].name == "emb.weight");
  REQUIRE(tensors[0].shape == std::vector<int64_t>{2, 3});
  REQUIRE(floats(tensors[0]) == std::vector<float>{1, 2, 3, 4, 5, 6});
  REQUIRE(tensors[1].name == "head.weight");
  REQUIRE(tensors[1].shape == std::vector<int64_t>{1, 1, 4});
  REQUIRE(floats(tensors[1]) == std::vector<float>{1, 2, 3, 4});
}

TEST_CASE("pth: every type of storage is known by its size") {
  const std::pair<const char*, StoredType> types[] = {
      {"DoubleStorage", StoredType::f64},    {"FloatStorage", StoredType::f32}, {"HalfStorage", StoredType::f16},
      {"BFloat16Storage", StoredType::bf16}, {"LongStorage", StoredType::i64},  {"IntStorage", StoredType::i32},
      {"ShortStorage", StoredType::i16},     {"CharStorage", StoredType::i8},   {"ByteStorage", StoredType::u8},
      {"BoolStorage", StoredType::boolean}};
  for (const auto& [name, type] : types) {
    CAPTURE(name);
    const auto elements = static_cast<int64_t>(24 / size_of(type));
    const std::string data(24, '\0'),
        pickle = pickle_of(
            {{.name = "a", .shape = {elements}, .strides = {1}, .storage_elements = elements, .storage_type = name}});
    REQUIRE(read_state_dict(bytes_of(pickle), 0, {{"0", bytes_of(data)}}).at(0).type == type);
  }
}

TEST_CASE("pth: parts of one storage are tensors, as are scalars, empty ones and any stride of a dimension of one") {
  const std::string data(24, '\0');
  const std::string pickle = pickle_of({{.name = "tail", .shape = {2, 1}, .strides = {1, 77}, .offset = 4},
                                        {.name = "head", .shape = {3}, .strides = {1}},
                                        {.name = "scalar", .shape = {}, .strides = {}, .offset = 3},
                                        {.name = "empty", .shape = {0, 5}, .strides = {9, 9}, .offset = 6}});
  const auto tensors = read_state_dict(bytes_of(pickle), 0, {{"0", bytes_of(data)}});
  std::string order;
  for (const StoredTensor& tensor : tensors) {
    const auto offset = reinterpret_cast<const char*>(tensor.bytes.data()) - data.data();
    order += tensor.name + " " + std::to_string(offset) + "+" + std::to_string(tensor.bytes.size()) + ", ";
  }
  REQUIRE(order == "head 0+12, scalar 12+4, tail 16+8, empty 24+0, ");
}

TEST_CASE("pth: a tensor that does not lie in its storage as it says is refused by name and place") {
  REQUIRE(refusal([](PthTensor&) {}).empty());
  const struct {
    std::function<void(PthTensor&)> change;
    std::string message;
  } cases[] = {
      {[](auto& t) { t.offset = 1; }, "6 elements at 1 do not lie in its storage of 6"},
      {[](auto& t) { t.offset = -1; }, "6 elements at -1 do not lie in its storage of 6"},
      {[](auto& t) { t.offset = INT64_MAX; }, "6 elements at 9223372036854775807 do not lie in its storage of 6"},
      {[](auto& t) {
         t.shape = {0, 3}, t.offset = 7;
       },
       "0 elements at 7 do not lie in its storage of 6"},
      {[](auto& t) {
         t.shape = {3, 3};
       },
       "9 elements at 0 do not lie in its storage of 6"},
      {[](auto& t) {
         t.shape = {-2, 3};
       },
       "its sizes are not whole numbers of 0 and above"},
      {[](auto& t) {
         t.strides = {3, -1};
       },
       "its strides are not whole numbers of 0 and above"},
      {[](auto& t) { t.shape = {INT64_MAX}, t.strides = {1}; },
       "9223372036854775807 elements at 0 do not lie in its storage of 6"},
      {[](auto& t) {
         t.shape = {INT64_MAX, 2}, t.strides = {2, 1};
       },
       "the size of shape [9223372036854775807, 2] is out of range"},
      {[](auto& t) {
         t.strides = {1, 2};
       },
       "it is not contiguous: shape [2, 3] with strides [1, 2]; save it after .contiguous()"},
      {[](auto& t) {
         t.strides = {0, 0};
       },
       "it is not contiguous: shape [2, 3] with strides [0, 0]; save it after .contiguous()"},
      {[](auto& t) { t.strides = {1}; }, "it has shape [2, 3] but strides [1]"},
      {[](auto& t) { t.shape = std::vector<int64_t>(65, 1), t.strides = t.shape; }, "it has more than 64 dimensions"},
      {[](auto& t) { t.key = "2"; }, R"(the zip file has no storage "2")"},
      {[](auto& t) { t.key = "../0"; }, R"(the zip file has no storage "../0")"},
      {[](auto& t) { t.storage_elements = 5; }, R"(its storage "0" has 24 bytes, not 5 elements of F32)"},
      {[](auto& t) { t.storage_elements = (int64_t{1} << 62) + 6; },
       R"(its storage "0" has 24 bytes, not 4611686018427387910 elements of F32)"},
      {[](auto& t) { t.storage_elements = -6; }, R"(its storage "0" has 24 bytes, not -6 elements of F32)"},
      {[](auto& t) { t.storage_type = "DoubleStorage"; }, R"(its storage "0" has 24 bytes, not 6 elements of F64)"},
      {[](auto& t) { t.storage_type = "Tensor"; },
       R"(byte 57: "torch.Tensor" is refused: a checkpoint is made of tensors and plain containers only; save the state dict alone)"},
      {[](auto& t) { t.metadata = "N"; }, ""},
      {[](auto& t) { t.metadata = "}X\4\0\0\0conj\x88s"s; }, "it is a view that changes values (its metadata)"},
      {[](auto& t) { t.metadata = "NN"; }, "it has 8 parts, not 6 or 7"},
  };
  for (const auto& damaged : cases) {
    CAPTURE(damaged.message);
    REQUIRE(refusal(damaged.change) == damaged.message);
  }
}

TEST_CASE("pth: tensors that come twice or share data are refused") {
  const PthTensor first{.name = "a", .shape = {3}, .strides = {1}};
  const PthTensor twice = first, same{.name = "b", .shape = {3}, .strides = {1}};
  const PthTensor overlapping{.name = "b", .shape = {3}, .strides = {1}, .offset = 2};
  REQUIRE(refusal(pickle_of({first, twice})) == R"(tensor "a", pickled at 329: the name is there twice)");
  for (const PthTensor& other : {same, overlapping}) {
    REQUIRE(refusal(pickle_of({first, other})) ==
            R"(tensor "b" shares its data with tensor "a"; save a copy, after .clone())");
  }
}

TEST_CASE("pth: parts of a tensor of the wrong kind are refused") {
  const auto tensor = [](const std::string& arguments) {
    return refusal(
        PickleText().op("}(").text("a").global("torch._utils", "_rebuild_tensor_v2").op(arguments + "Ru").end());
  };
  const auto parameter = [](const std::string& arguments) {
    return refusal(
        PickleText().op("}(").text("a").global("torch._utils", "_rebuild_parameter").op(arguments + "Ru").end());
  };
  const std::string start = R"(tensor "a", pickled at )";
  REQUIRE(tensor(")") == start + "44: it has 0 parts, not 6 or 7");
  REQUIRE(tensor("(NNNNNNt") == start + "51: its storage is not one");
  REQUIRE(tensor("(NQNNNNNt") == start + "52: its storage is not a tuple");
  REQUIRE(tensor("()QNNNNNt") == start + "52: its storage has 0 parts, not 5");
  REQUIRE(tensor("((NNNNNtQNNNNNt") == start + "58: its storage is not called so");
  REQUIRE(tensor("((X\7\0\0\0storageNNNNtQNNNNNt"s) == start + "69: its storage has no type");
  REQUIRE(parameter(")") == start + "44: a parameter has 0 parts, not 3");
  REQUIRE(parameter("(NNNt") == start + "48: its parameter holds no tensor");
  REQUIRE(parameter("(ctorch._utils\n_rebuild_parameter\n)RNNt") == start + "82: its parameter holds no tensor");
  REQUIRE(refusal(PickleText().op("}K\1").global("torch._utils", "_rebuild_parameter").op(")Rs").end()) ==
          R"(tensor "", pickled at 39: its name is not a string)");
}

TEST_CASE("pth: where the outermost dict has no tensors, those of the only dict in it that has some are read") {
  const std::string data(24, '\0');
  const auto dict_of = [](const std::string& name) {  // without the protocol and the end
    const std::string pickle = pickle_of({{.name = name}});
    return pickle.substr(2, pickle.size() - 3);
  };
  PickleText text;
  text.op("}(").text("epoch").op("K\3").text("optimizer").op("}").text("state").op(dict_of("moment") + "s");
  text.text("model").op(dict_of("a"));
  const std::string training = PickleText(text).op("u").end();
  const auto tensors = read_state_dict(bytes_of(training), 0, {{"0", bytes_of(data)}});
  REQUIRE(tensors.size() == 1);
  REQUIRE(tensors[0].name == "a");
  REQUIRE(refusal(PickleText(text).text("ema").op(dict_of("a") + "u").end()) ==
          R"(the pickle's dicts "model" and "ema" both have tensors; save one of them alone)");
  REQUIRE(refusal(PickleText(text).op("K\2" + dict_of("a") + "u").end()) ==
          R"(the pickle's dicts "model" and pickled at 429 both have tensors; save one of them alone)");
}

TEST_CASE("pth: a pickle or a zip file without tensors says what is missing") {
  REQUIRE(refusal(PickleText().op("]").end()) == "the pickle's outermost value is not a dict of tensors");
  REQUIRE(refusal(PickleText().op("}").text("state_dict").op("}s").end()) ==
          "the pickle's dict has no tensors, nor has a dict in it");
  const ZipFile pickle{.name = "m/data.pkl", .data = PickleText().op("}").end()};
  const auto file = [&](const std::vector<ZipFile>& files) { return refusal_of_file(zip_of(files)); };
  REQUIRE(file({}) == "the zip file holds no data.pkl, so torch.save did not write it");
  REQUIRE(file({{.name = "m/n/data.pkl", .data = ""}}) ==
          "the zip file holds no data.pkl, so torch.save did not write it");
  REQUIRE(file({pickle, {.name = "n/data.pkl", .data = ""}}) == "the zip file holds more than one data.pkl");
  REQUIRE(file({pickle, {.name = "m/byteorder", .data = "big"}}) == "its numbers are not little-endian");
  REQUIRE(file({{.name = "m/data.pkl", .data = ""}}) == "byte 64: the pickle ends at 64, before what begins here");
}

// On the heap and no larger than its contents, so that a read past the end is seen by AddressSanitizer.
bool accepted(std::string_view file) {
  const std::vector<char> bytes(file.begin(), file.end());
  return fuzz::pth.accepts(std::as_bytes(std::span(bytes)));
}

TEST_CASE("pth: a file that is cut off anywhere is refused") {
  const std::string file = image_of(small_pth(), GENERATE(ZipEnd::plain, ZipEnd::zip64));
  REQUIRE(accepted(file));
  for (size_t size = 0; size < file.size(); ++size) {
    CAPTURE(size);
    REQUIRE_FALSE(accepted(file.substr(0, size)));
  }
}

TEST_CASE("pth: a file with any byte changed is refused or read whole") {
  const std::string valid = image_of(small_pth(), GENERATE(ZipEnd::plain, ZipEnd::zip64));
  int refused = 0;
  for (size_t at = 0; at < valid.size(); ++at) {
    for (const int change : {0x01, 0x80, 0xff, static_cast<int>(static_cast<unsigned char>(valid[at]))}) {
      std::string file = valid;
      file[at] = static_cast<char>(file[at] ^ change);
      CAPTURE(at, change);
      if (!accepted(file)) ++refused;
    }
  }
  REQUIRE(refused > 1000);
}

}  // namespace
}  // namespace wkv::model
