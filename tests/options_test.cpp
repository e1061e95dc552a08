#include "harness/options.hpp"

#include <catch2/catch.hpp>

#include "harness/machine.hpp"
#include "harness/units.hpp"

namespace wkv {
namespace {

using Catch::Matchers::Contains;
using Lengths = std::vector<int64_t>;

TEST_CASE("options: a range of lengths goes by powers of two, or of what is behind :x") {
  CHECK(parse_lengths("--seq", "1..65536").size() == 17);
  CHECK(parse_lengths("--seq", "1..16") == Lengths{1, 2, 4, 8, 16});
  CHECK(parse_lengths("--seq", "1..4096:x4") == Lengths{1, 4, 16, 64, 256, 1024, 4096});
  CHECK(parse_lengths("--seq", "3..20") == Lengths{3, 6, 12});
  CHECK(parse_lengths("--seq", "7..7") == Lengths{7});
}

TEST_CASE("options: lengths can be listed and mixed with ranges; they come in order and once") {
  CHECK(parse_lengths("--seq", "1000,1,100") == Lengths{1, 100, 1000});
  CHECK(parse_lengths("--seq", "1..8,3,4") == Lengths{1, 2, 3, 4, 8});
  CHECK(parse_lengths("--seq", "1..4:x4,64..128") == Lengths{1, 4, 64, 128});
}

TEST_CASE("options: what is no length is named") {
  const auto text = GENERATE(as<std::string>{}, "", "0", "-3", "abc", "1..", "..5", "8..2", "1..8:x1", "1..8:x", "1,,2",
                             "1,", "1..8:4", "1.5", "1e3", "99999999999999999999", "0..4", "1..2..3");
  CAPTURE(text);
  CHECK_THROWS_WITH(parse_lengths("--seq", text), Contains("--seq"));
  CHECK_THROWS_AS(parse_lengths("--seq", text), UsageError);
}

TEST_CASE("options: the nearest of what is allowed is offered, and nothing that is far") {
  const std::vector<std::string> names{"cpu_naive", "cpu_serial", "cpu_chunked"};
  CHECK(nearest("cpu_naiv", names) == "cpu_naive");
  CHECK(nearest("serial", names) == "cpu_serial");
  CHECK(nearest("cpu_chunkde", names) == "cpu_chunked");
  CHECK(nearest("gpu", names).empty());
  CHECK(nearest("", names).empty());
}

TEST_CASE("options: sizes of memory") {
  CHECK(parse_bytes("1000") == 1000);
  CHECK(parse_bytes("8G") == size_t{8} << 30);
  CHECK(parse_bytes("1.5GiB") == size_t{3} << 29);
  CHECK(parse_bytes("512 mb") == size_t{512} << 20);
  CHECK(parse_bytes("2KiB") == 2048);
  for (const auto* text : {"", "G", "8X", "-1G", "8GG", "8Gi", "nan", "inf", "1e300G"}) {
    CAPTURE(text);
    CHECK(!parse_bytes(text));
  }
}

TEST_CASE("units: three digits and the right unit") {
  CHECK(format_seconds(1.234e-9) == "1.23 ns");
  CHECK(format_seconds(12.34e-6) == "12.3 us");
  CHECK(format_seconds(0.9999e-3) == "1.00 ms");
  CHECK(format_seconds(0.5) == "500 ms");
  CHECK(format_seconds(125) == "2 min 5 s");
  CHECK(format_seconds(7380) == "2 h 3 min");
  CHECK(format_bytes(512) == "512 B");
  CHECK(format_bytes(1536) == "1.5 KiB");
  CHECK(format_bytes(1024.0 * 1024 * 1024) == "1 GiB");
}

TEST_CASE("options: without any, WKV5 and attention at 1..65536 with the 1.5B model's shape on all threads") {
  const Options options = parse_options({});
  CHECK(options.ops == std::vector<std::string>{"wkv5", "attention"});
  CHECK(options.variants.empty());
  CHECK(options.lengths.size() == 17);
  CHECK(options.lengths.back() == 65536);
  CHECK(options.batches == Lengths{1});
  REQUIRE(options.shapes.size() == 1);
  CHECK(options.shapes[0].H == 32);
  CHECK(options.shapes[0].N == 64);
  CHECK(options.dtypes == std::vector{DType::f32});
  CHECK(options.modes == std::vector{Mode::prefill});
  CHECK(options.threads == std::vector{cpu_count()});
  CHECK(!options.seed);
  CHECK(options.format == Format::table);
}

TEST_CASE("options: lists, one by one or joined by commas") {
  const Options options =
      parse_options({"--op", "attention", "--op", "wkv5", "--threads", "2,1", "--mode=prefill,decode", "--dtype",
                     "bf16,f32", "--batch", "1,8", "--heads", "4,2", "--head-size", "32"});
  CHECK(options.ops == std::vector<std::string>{"attention", "wkv5"});
  CHECK(options.threads == std::vector{1, 2});
  CHECK(options.modes == std::vector{Mode::prefill, Mode::decode});
  CHECK(options.dtypes == std::vector{DType::bf16, DType::f32});
  CHECK(options.batches == Lengths{1, 8});
  REQUIRE(options.shapes.size() == 2);
  CHECK(options.shapes[1].H == 4);
  CHECK(options.shapes[1].N == 32);
}

TEST_CASE("options: --op all stands for every operator") {
  CHECK(parse_options({"--op", "all"}).ops.size() == all_operators().size());
}

TEST_CASE("options: a window, or none, which is no limit") {
  CHECK(!parse_options({"--op", "aft"}).window);
  CHECK(parse_options({"--op", "wkv5,aft", "--window", "0", "--seq", "8388608"}).window == 0);
}

TEST_CASE("options: presets are the RWKV-5 World models' heads") {
  const auto [name, H] = GENERATE(table<std::string, int64_t>({{"0.4b", 16}, {"1.5b", 32}, {"3b", 40}, {"7b", 64}}));
  const Options options = parse_options({"--preset", name});
  REQUIRE(options.shapes.size() == 1);
  CHECK(options.shapes[0].H == H);
  CHECK(options.shapes[0].N == 64);
}

TEST_CASE("options: a wrong value is named together with what is allowed") {
  const auto [arguments, option, allowed] = GENERATE(table<std::vector<std::string>, std::string, std::string>(
      {{{"--op", "wkv55"}, "--op: \"wkv55\"", "did you mean wkv5?"},
       {{"--variant", "cpu_naiv"}, "--variant: \"cpu_naiv\"", "did you mean cpu_naive?"},
       {{"--device", "gpu"}, "--device: \"gpu\"", "cpu, cuda, emulated"},
       {{"--mode", "train"}, "--mode: \"train\"", "prefill, decode"},
       {{"--dtype", "f64"}, "--dtype: \"f64\"", "f32, bf16"},
       {{"--seq", "1-8"}, "--seq: \"1-8\"", "1..65536"},
       {{"--batch", "0"}, "--batch: \"0\"", "from 1 to"},
       {{"--heads", "two"}, "--heads: \"two\"", "from 1 to"},
       {{"--head-size", "-64"}, "--head-size: \"-64\"", "from 1 to"},
       {{"--preset", "14b"}, "--preset: \"14b\"", "0.4b, 1.5b, 3b, 7b"},
       {{"--threads", "0"}, "--threads: \"0\"", "from 1 to"},
       {{"--threads", "1,x"}, "--threads: \"x\"", "from 1 to"},
       {{"--seed", "-1"}, "--seed: \"-1\"", "from 0 to"},
       {{"--repetitions", "0"}, "--repetitions: \"0\"", "from 1 to"},
       {{"--cell-seconds", "soon"}, "--cell-seconds: \"soon\"", "positive number"},
       {{"--cell-seconds", "nan"}, "--cell-seconds: \"nan\"", "positive number"},
       {{"--memory", "lots"}, "--memory: \"lots\"", "8G"},
       {{"--format", "jsn"}, "--format: \"jsn\"", "did you mean json?"},
       {{"--inputs", "extrem"}, "--inputs: there is no file \"extrem\"", "did you mean extreme?"},
       {{"--preset", "3b", "--heads", "4"}, "--heads", "--preset sets it"},
       {{"--sequ", "1"}, "no option --sequ", "did you mean --seq?"},
       {{"1..64"}, "1..64", "no option"},
       {{"--resume", "/nowhere/run.json"}, "/nowhere/run.json", "No such file"},
       {{"--batch", "1048576", "--seq", "1048576"}, "--seq 1048576", "2^44"},
       {{"--op", "wkv5", "--window", "8"}, "--window", "none of the operators"},
       {{"--op", "aft", "--window", "-1"}, "--window: \"-1\"", "from 0 to"},
       {{"--op", "aft", "--seq", "8388608"}, "--seq 8388608", "--window limits them"}}));
  CAPTURE(arguments);
  CHECK_THROWS_AS(parse_options(arguments), UsageError);
  CHECK_THROWS_WITH(parse_options(arguments), Contains(option) && Contains(allowed) && !Contains("\n"));
}

TEST_CASE("options: an option without its value is named") {
  CHECK_THROWS_WITH(parse_options({"--seq"}), Contains("--seq") && !Contains("\n"));
}

TEST_CASE("options: on a device other than the CPU threads are the host's, and one count of them is enough") {
  CHECK(parse_options({"--device", "emulated", "--threads", "1,2"}).threads == std::vector<int>{2});
  CHECK(parse_options({"--device", "cuda"}).device == DeviceKind::cuda);
}

}  // namespace
}  // namespace wkv
