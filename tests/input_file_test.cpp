#include "harness/input_file.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <random>
#include <tuple>

#include "harness/safetensors.hpp"
#include "harness/verify.hpp"
#include "tests/mutated_file.hpp"
#include "tests/temporary_directory.hpp"

namespace wkv {
namespace {

// The tensors of a file to be written, by name: shape and values, stored as fp32 unless changed.
struct Draft {
  std::vector<int64_t> shape;
  std::vector<float> values;
  StoredType type = StoredType::f32;
};
using Drafts = std::map<std::string, Draft>;

constexpr int64_t B = 2, T = 3, H = 2, N = 4;

Draft draft(std::vector<int64_t> shape, unsigned seed) {
  Draft made{.shape = std::move(shape), .values = {}};
  int64_t elements = 1;
  for (const int64_t size : made.shape) elements *= size;
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  for (int64_t i = 0; i < elements; ++i) made.values.push_back(normal(random));
  return made;
}

Drafts wkv5_drafts() {
  return {{"r", draft({B, T, H, N}, 1)}, {"k", draft({B, T, H, N}, 2)},
          {"v", draft({B, T, H, N}, 3)}, {"decay", draft({H, N}, 4)},
          {"u", draft({H, N}, 5)},       {"state", draft({B, H, N, N}, 6)},
          {"y", draft({B, T, H, N}, 7)}, {"state_out", draft({B, H, N, N}, 8)}};
}

// Writes the drafts; bf16 and i32 are the other types that a test here asks for.
void write(const std::filesystem::path& path, const Drafts& drafts) {
  std::map<std::string, std::vector<BFloat16>> bf16;
  std::map<std::string, std::vector<int32_t>> i32;
  std::vector<StoredTensor> tensors;
  for (const auto& [name, from] : drafts) {
    std::span<const std::byte> bytes = std::as_bytes(std::span(from.values));
    if (from.type == StoredType::bf16) {
      for (const float value : from.values) bf16[name].emplace_back(value);
      bytes = std::as_bytes(std::span(bf16[name]));
    } else if (from.type == StoredType::i32) {
      i32[name].resize(from.values.size());
      bytes = std::as_bytes(std::span(i32[name]));
    }
    tensors.push_back({.name = name, .type = from.type, .shape = from.shape, .bytes = bytes});
  }
  write_safetensors(path, tensors);
}

struct File {
  explicit File(const Drafts& drafts) { write(path, drafts); }
  InputFile read(std::string_view op = "wkv5") const { return read_input_file(path, op); }

  TemporaryDirectory directory;
  std::filesystem::path path = directory / "inputs.safetensors";
};

TensorSet filled(const InputFile& input, int index, std::string_view op = "wkv5") {
  Executor executor(1);
  TensorSet set(operator_named(op).tensors(input.problem));
  input.source.fill(set, index, executor);
  return set;
}

std::vector<float> values(const TensorSet& set, std::string_view name) {
  return {set.as<float>(name), set.as<float>(name) + set.spec(name).elements()};
}

TEST_CASE("input file: the shape comes from the file, set 0 is the file's tensors, w = exp(-exp(decay))") {
  Drafts drafts = wkv5_drafts();
  drafts["decay"].values = {-100, -9, -1, 0, 0.5f, 1.9f, 4, 100};
  const File file(drafts);
  const InputFile input = file.read();
  REQUIRE(input.problem == Problem{.B = B, .T = T, .H = H, .N = N});
  REQUIRE(input.source.name == "inputs.safetensors");
  const TensorSet set = filled(input, 0);
  for (const char* name : {"r", "k", "v", "u", "state"}) REQUIRE(values(set, name) == drafts[name].values);
  const std::vector<float> w = values(set, "w");
  for (size_t i = 0; i < w.size(); ++i) {
    REQUIRE(w[i] == static_cast<float>(std::exp(-std::exp(static_cast<double>(drafts["decay"].values[i])))));
  }
  REQUIRE(w.front() == 1);
  REQUIRE(w.back() == 0);
}

TEST_CASE("input file: without a state the sequence starts from zero") {
  Drafts drafts = wkv5_drafts();
  drafts.erase("state");
  const File file(drafts);
  REQUIRE(values(filled(file.read(), 0), "state") == std::vector<float>(B * H * N * N, 0.0f));
}

TEST_CASE("input file: set i is the file's tensors with every axis rotated by i places") {
  const Drafts drafts = wkv5_drafts();
  const File file(drafts);
  const TensorSet set = filled(file.read(), 5);
  const std::vector<float> k = values(set, "k"), u = values(set, "u");
  const auto at = [](int64_t b, int64_t t, int64_t h, int64_t n) {
    return static_cast<size_t>(((b * T + t) * H + h) * N + n);
  };
  REQUIRE(k[at(0, 0, 0, 0)] == drafts.at("k").values[at(1, 2, 1, 1)]);
  REQUIRE(k[at(1, 2, 1, 3)] == drafts.at("k").values[at(0, 1, 0, 0)]);
  REQUIRE(u[0] == drafts.at("u").values[at(0, 0, 1, 1)]);
}

TEST_CASE("input file: sets differ even where only channels are left to rotate") {
  const File file({{"r", draft({1, 1, 1, 3}, 1)},
                   {"k", draft({1, 1, 1, 3}, 2)},
                   {"v", draft({1, 1, 1, 3}, 3)},
                   {"decay", draft({1, 3}, 4)},
                   {"u", draft({1, 3}, 5)}});
  REQUIRE(values(filled(file.read(), 0), "v") != values(filled(file.read(), 1), "v"));
}

TEST_CASE("input file: sequences stored in bf16 make a bf16 problem") {
  Drafts drafts = wkv5_drafts();
  for (const char* name : {"r", "k", "v"}) drafts[name].type = StoredType::bf16;
  const File file(drafts);
  const InputFile input = file.read();
  REQUIRE(input.problem.dtype == DType::bf16);
  const TensorSet set = filled(input, 0);
  REQUIRE(element(set.data("r"), DType::bf16, 7) == static_cast<float>(BFloat16(drafts["r"].values[7])));
}

TEST_CASE("input file: the file's outputs are given for the slice asked for, at the reference's scale") {
  Drafts drafts = wkv5_drafts();
  drafts["decay"].values.assign(H * N, std::log(std::log(2.0f)));  // w = 1/2: a token decays twice before it is gone
  const File file(drafts);
  const InputFile input = file.read();
  const Slice slice{.batch = 1, .head = 0, .times = {0, 2}};
  const auto given = input.source.given(input.problem, slice);
  const auto reference = operator_named("wkv5").reference(filled(input, 0), input.problem, slice);
  REQUIRE(given.size() == 2);
  const TensorSet set = filled(input, 0);
  for (size_t i = 0; i < given.size(); ++i) {
    REQUIRE(given[i].tensor == reference[i].tensor);
    REQUIRE(given[i].scale == reference[i].scale);
    REQUIRE(given[i].growth == Approx(2 * reference[i].growth + 1 + 2));
    std::vector<double> expected;
    for (const int64_t offset : slice_offsets(set.spec(given[i].tensor), slice)) {
      expected.push_back(drafts.at(given[i].tensor).values[static_cast<size_t>(offset)]);
    }
    REQUIRE(given[i].value == expected);
  }
}

TEST_CASE("input file: a decay next to 1 makes the file's outputs less certain, up to a roundoff for every token") {
  Drafts slow = wkv5_drafts(), fast = wkv5_drafts();
  slow["decay"].values.assign(H * N, -100.0f);
  fast["decay"].values.assign(H * N, 100.0f);
  const auto growth = [](const Drafts& drafts) {
    const File file(drafts);
    const InputFile input = file.read();
    return input.source.given(input.problem, {}).front().growth -
           2 * operator_named("wkv5").reference(filled(input, 0), input.problem, {}).front().growth;
  };
  REQUIRE(growth(slow) == Approx(1 + T));
  REQUIRE(growth(fast) == Approx(1 + 1));
}

TEST_CASE("input file: rounding the file's inputs to bf16 widens what its outputs may differ by") {
  const File file(wkv5_drafts());
  const InputFile input = file.read();
  Problem rounded = input.problem;
  rounded.dtype = DType::bf16;
  const ExpectedOutput f32 = input.source.given(input.problem, {}).front();
  const ExpectedOutput bf16 = input.source.given(rounded, {}).front();
  REQUIRE(bf16.growth - f32.growth == Approx(f32.factor_growth * 0x1p-8 / 0x1p-24).epsilon(0.01));
}

TEST_CASE("input file: a variant that is right by the reference but not by the file is caught, and the file named") {
  Drafts drafts = wkv5_drafts();
  const Operator& op = operator_named("wkv5");
  {
    const File file(drafts);
    const InputFile input = file.read();
    const TensorSet set = filled(input, 0);
    for (int64_t b = 0; b < B; ++b) {
      for (int64_t h = 0; h < H; ++h) {
        const Slice slice{.batch = b, .head = h, .times = {}};
        for (const ExpectedOutput& output : op.reference(set, input.problem, slice)) {
          const auto offsets = slice_offsets(set.spec(output.tensor), slice);
          for (size_t i = 0; i < offsets.size(); ++i) {
            drafts[output.tensor].values[static_cast<size_t>(offsets[i])] = static_cast<float>(output.value[i]);
          }
        }
      }
    }
  }
  const auto failure = [&] {
    const File file(drafts);
    const InputFile input = file.read();
    Executor executor(2);
    Workload workload(op, input.problem, input.source, 2, executor);
    const auto variants = variants_of("wkv5");
    const auto in_fp32 =
        std::find_if(variants.begin(), variants.end(), [](const Variant* v) { return v->name == "cpu_naive"; });
    const auto runner = make_runner(**in_fp32, workload, executor);
    return verify(*runner, workload, executor).failure;
  };
  REQUIRE(failure() == "");
  drafts["state_out"].values[5] += 0.01f;
  REQUIRE_THAT(failure(), Catch::StartsWith("state_out(b=0, h=0, n=1, n=1) is wrong") &&
                              Catch::EndsWith("(by inputs.safetensors; 1 of 112 elements)"));
}

TEST_CASE("input file: outputs that the file lacks are not given") {
  Drafts drafts = wkv5_drafts();
  drafts.erase("y");
  const File one(drafts);
  const InputFile input = one.read();
  const auto given = input.source.given(input.problem, {});
  REQUIRE(given.size() == 1);
  REQUIRE(given.front().tensor == "state_out");
  drafts.erase("state_out");
  const File none(drafts);
  REQUIRE(none.read().source.given(input.problem, {}).empty());
}

TEST_CASE("input file: any operator's tensors are read by their declared names") {
  const File file(Drafts{{"q", draft({B, T, H, N}, 1)}, {"k", draft({B, T, H, N}, 2)}, {"v", draft({B, T, H, N}, 3)}});
  const InputFile input = file.read("attention");
  REQUIRE(input.problem == Problem{.B = B, .T = T, .H = H, .N = N});
  REQUIRE(values(filled(input, 0, "attention"), "q") == draft({B, T, H, N}, 1).values);
}

TEST_CASE("input file: a set of another shape is not filled") {
  const File file(wkv5_drafts());
  InputFile input = file.read();
  input.problem.T = 7;
  REQUIRE_THROWS_WITH(filled(input, 0), "inputs.safetensors holds inputs of wkv5 f32/prefill/B:2/T:3/H:2/N:4 only");
}

TEST_CASE("input file: what is wrong with a file is said in one line") {
  const auto refusal = [](const Drafts& drafts) -> std::string {
    const File file(drafts);
    try {
      file.read();
    } catch (const std::runtime_error& error) {
      const std::string message = error.what(), start = "cannot read " + file.path.string() + ": ";
      REQUIRE(message.substr(0, start.size()) == start);
      return message.substr(start.size());
    }
    return {};
  };
  Drafts drafts = wkv5_drafts();
  REQUIRE(refusal(drafts).empty());
  SECTION("a missing tensor") {
    const std::string name = GENERATE("r", "k", "v", "decay", "u");
    drafts.erase(name);
    REQUIRE(refusal(drafts) == "there is no tensor \"" + name + "\"");
  }
  SECTION("another shape") {
    drafts["k"] = draft({B, T, N, H}, 2);
    REQUIRE(refusal(drafts) == R"(tensor "k" has shape [2, 3, 4, 2] but [2, 3, 2, 4] is needed)");
  }
  SECTION("a sequence with too few axes") {
    drafts["r"] = draft({T, H, N}, 2);
    REQUIRE(refusal(drafts) == R"(tensor "r" has shape [3, 2, 4], not (B, T, H, N))");
  }
  SECTION("an empty sequence") {
    drafts["r"] = draft({B, 0, H, N}, 2);
    REQUIRE(refusal(drafts) == R"(tensor "r" of shape [2, 0, 2, 4] is empty)");
  }
  SECTION("a value that is not finite, in an input or an output") {
    const std::string name = GENERATE("v", "y");
    const float value = GENERATE(std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN(),
                                 std::numeric_limits<float>::max());
    drafts[name].values[static_cast<size_t>(((1 * T + 2) * H + 0) * N + 3)] = value;
    REQUIRE_THAT(refusal(drafts), Catch::StartsWith("tensor \"" + name + "\" holds ") &&
                                      Catch::EndsWith(" at [1, 2, 0, 3], not a finite number of bf16's range"));
  }
  SECTION("integers") {
    drafts["u"].type = StoredType::i32;
    REQUIRE(refusal(drafts) == R"(tensor "u" is I32, not a floating-point type)");
  }
  SECTION("a tensor that the operator does not have, such as a misspelt state") {
    drafts["State"] = drafts["state"];
    REQUIRE(refusal(drafts) == R"(tensor "State" is none of wkv5's: r, k, v, decay, u, state, y, state_out)");
  }
}

TEST_CASE("input file: mutated files are read or refused in one line") {
  const File file(wkv5_drafts());
  const std::string valid = read_bytes(file.path);
  std::mt19937_64 random(20240229);
  int accepted = 0, refused = 0;
  for (int round = 0; round < 500; ++round) {
    write_bytes(file.path, mutated(valid, random));
    try {
      const InputFile input = file.read();
      REQUIRE(input.source.given(input.problem, {}).size() <= 2);
      ++accepted;
    } catch (const std::runtime_error& error) {
      CAPTURE(round);
      REQUIRE(std::string_view(error.what()).starts_with("cannot read " + file.path.string() + ": "));
      REQUIRE(std::string_view(error.what()).find_first_of("\n\x1b") == std::string_view::npos);
      ++refused;
    }
  }
  REQUIRE(accepted > 5);
  REQUIRE(refused > 100);
}

}  // namespace
}  // namespace wkv
