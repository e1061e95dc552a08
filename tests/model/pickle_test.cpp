#include "harness/model/pickle.hpp"

#include <catch2/catch.hpp>
#include <stdexcept>
#include <string>

#include "tests/model/pth_writer.hpp"

namespace wkv::model {
namespace {

using namespace std::string_literals;

constexpr AllowedGlobal kGlobals[] = {{"collections.OrderedDict", true}, {"torch.FloatStorage", false}, {"m.f", true}};

Pickle read(std::string_view pickle) {
  return read_pickle(std::as_bytes(std::span(pickle.data(), pickle.size())), 100, kGlobals);
}

std::string refusal(std::string_view pickle) {
  try {
    read(pickle);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return {};
}

std::string repeated(std::string_view text, size_t count) {
  std::string all;
  for (size_t i = 0; i < count; ++i) all += text;
  return all;
}

// Of protocol 2, from opcodes.
std::string pickled(std::string_view opcodes) { return PickleText().op(opcodes).end(); }

TEST_CASE("pickle: plain values are read") {
  const std::string text = PickleText()
                               .op("(NJ\xff\xff\xff\xffK\x07M\x01\x02\x8a\x00\x8a\x01\x80"s)
                               .integer(INT64_MIN)
                               .op("\x8a\x09" + std::string(9, '\xff'))
                               .op("G\x3f\xe0\0\0\0\0\0\0\x88\x89"s)
                               .text("\xc3\xa9\n")
                               .op("\x8c\x02hi\x8d\x01\0\0\0\0\0\0\0x]}t"s)
                               .end();
  const Pickle pickle = read(text);
  const auto* root = pickle.get_if<PickleTuple>(pickle.root);
  REQUIRE(root != nullptr);
  const auto elements = pickle.elements_of(*root);
  REQUIRE(elements.size() == 16);
  REQUIRE(pickle.get_if<PickleNone>(elements[0]) != nullptr);
  const int64_t integers[] = {-1, 7, 513, 0, -128, INT64_MIN};
  for (size_t i = 0; i < std::size(integers); ++i) REQUIRE(*pickle.get_if<int64_t>(elements[1 + i]) == integers[i]);
  REQUIRE(pickle.get_if<PickleLargeInteger>(elements[7]) != nullptr);
  REQUIRE(*pickle.get_if<double>(elements[8]) == 0.5);
  REQUIRE(*pickle.get_if<bool>(elements[9]));
  REQUIRE_FALSE(*pickle.get_if<bool>(elements[10]));
  REQUIRE(*pickle.get_if<std::string_view>(elements[11]) == "\xc3\xa9\n");
  REQUIRE(*pickle.get_if<std::string_view>(elements[12]) == "hi");
  REQUIRE(*pickle.get_if<std::string_view>(elements[13]) == "x");
  REQUIRE(pickle.get_if<PickleList>(elements[14]) != nullptr);
  REQUIRE(pickle.get_if<PickleDict>(elements[15]) != nullptr);
  REQUIRE(pickle.values[elements[0]].offset == 103);
}

TEST_CASE("pickle: containers, the memo, calls and persistent ids are read, and nothing is called") {
  const std::string text = PickleText()
                               .global("collections", "OrderedDict")
                               .op(")Rq\0("s)
                               .text("a")
                               .op("q\1cm\nf\nK\1\x85R"s)
                               .op("h\1h\1h\1\x86Qu"s)
                               .op("h\1K\2s}b"s)
                               .end();
  const Pickle pickle = read(text);
  const auto& items = pickle.dicts[pickle.get_if<PickleDict>(pickle.root)->index];
  REQUIRE(items.size() == 3);
  REQUIRE(*pickle.get_if<std::string_view>(items[0].first) == "a");
  const auto* call = pickle.get_if<PickleCall>(items[0].second);
  REQUIRE(call->global == "m.f");
  REQUIRE(pickle.elements_of(*pickle.get_if<PickleTuple>(call->arguments)).size() == 1);
  const auto* persistent = pickle.get_if<PicklePersistent>(items[1].second);
  REQUIRE(*pickle.get_if<std::string_view>(items[1].first) == "a");
  REQUIRE(pickle.get_if<PickleTuple>(persistent->id)->count == 2);
  REQUIRE(*pickle.get_if<int64_t>(items[2].second) == 2);
}

TEST_CASE("pickle: every global but those allowed is refused by name, whatever is done with it") {
  const std::string end =
      " is refused: a checkpoint is made of tensors and plain containers only; save the state dict alone";
  REQUIRE(refusal(pickled("cos\nsystem\nX\x04\0\0\0true\x85R"s)) == R"(byte 102: "os.system")" + end);
  REQUIRE(refusal(pickled("\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R"s)) == R"(byte 117: "posix.system")" + end);
  REQUIRE(refusal(pickled("}q\0X\1\0\0\0acbuiltins\neval\ns"s)) == R"(byte 111: "builtins.eval")" + end);
  REQUIRE(refusal(pickled("c__builtin__\nexec\n"s)) == R"(byte 102: "__builtin__.exec")" + end);
  REQUIRE(refusal(pickled("ctorch\nload\n"s)) == R"(byte 102: "torch.load")" + end);
  REQUIRE(refusal(pickled("ccollections\nOrderedDict.__init__\n"s)) ==
          R"(byte 102: "collections.OrderedDict.__init__")" + end);
  REQUIRE(refusal(pickled("c\n\n"s)) == R"(byte 102: ".")" + end);
  const std::string hostile = refusal(pickled("cos\x1b[31m\n" + std::string(100'000, 'x') + "\n"));
  REQUIRE(hostile.size() < 250);
  REQUIRE(hostile.starts_with(R"(byte 102: "os\x1b[31m.xxx)"));
}

TEST_CASE("pickle: what could make other objects is refused") {
  const auto unknown = [](const std::string& code, int at = 102) {
    return "byte " + std::to_string(at) + ": opcode " + code +
           " is none that torch.save uses for tensors and plain containers";
  };
  REQUIRE(refusal(pickled("(cos\nsystem\n"s)).find("os.system") != std::string::npos);
  REQUIRE(refusal(pickled("ios\nsystem\n"s)) == unknown("0x69"));       // INST
  REQUIRE(refusal(pickled("ocm\nf\n"s)) == unknown("0x6f"));            // OBJ
  REQUIRE(refusal(pickled("cm\nf\n)\x81"s)) == unknown("0x81", 108));   // NEWOBJ
  REQUIRE(refusal(pickled("cm\nf\n)}\x92"s)) == unknown("0x92", 109));  // NEWOBJ_EX
  REQUIRE(refusal(pickled("\x82\x01"s)) == unknown("0x82"));            // EXT1
  REQUIRE(refusal(pickled("P1\n"s)) == unknown("0x50"));                // PERSID
  REQUIRE(refusal(pickled("\x97"s)) == unknown("0x97"));                // NEXT_BUFFER
  REQUIRE(refusal(pickled("N2"s)) == unknown("0x32", 103));             // DUP
  REQUIRE(refusal(pickled("cm\nf\n}b"s)) == "byte 108: the pickle needs a dict whose attributes are set here");
  REQUIRE(refusal(pickled("ctorch\nFloatStorage\n)R"s)) ==
          "byte 123: torch.FloatStorage is not called in a checkpoint");
  REQUIRE(refusal(pickled("K\1)R"s)) == "byte 105: the pickle needs something to call here");
  REQUIRE(refusal(pickled("cm\nf\n]R"s)) == "byte 108: the pickle needs a tuple of arguments here");
  REQUIRE(refusal(pickled("ccollections\nOrderedDict\n]\x85R"s)) == "byte 129: collections.OrderedDict has arguments");
}

TEST_CASE("pickle: a pickle that does not add up is refused at the byte") {
  const struct {
    std::string pickle, message;
  } cases[] = {
      {"", "byte 100: the pickle ends at 100, before what begins here"},
      {"(lp0\n.", "byte 100: a pickle of protocol 2 to 5 does not begin here"},
      {"\x80\x01N.", "byte 100: the pickle's protocol is 1, not 2 to 5"},
      {"\x80\x06N.", "byte 100: the pickle's protocol is 6, not 2 to 5"},
      {"\x80\x02N", "byte 103: the pickle ends at 103, before what begins here"},
      {"\x80\x02N.N", "byte 103: the pickle goes on after its end"},
      {"\x80\x02.", "byte 102: the pickle ends with 0 values, not with one"},
      {pickled("NN"), "byte 104: the pickle ends with 2 values, not with one"},
      {pickled("N("), "byte 104: the pickle ends with 1 values, not with one"},
      {pickled("Nt"), "byte 103: the pickle takes a mark that is not there"},
      {pickled("u"), "byte 102: the pickle takes a mark that is not there"},
      {pickled("(u"), "byte 103: the pickle takes a value that is not there"},
      {pickled("}(K\1u"), "byte 106: the pickle gives a dict a key without a value"},
      {pickled("](K\1K\2u"), "byte 108: the pickle needs a dict here"},
      {pickled("}(e"), "byte 104: the pickle needs a list here"},
      {pickled("}K\1a"), "byte 105: the pickle needs a list here"},
      {pickled("}K\1s"), "byte 105: the pickle takes a value that is not there"},
      {pickled("N(\x85"), "byte 104: the pickle takes a value that is not there"},
      {pickled("N(Q"), "byte 104: the pickle takes a value that is not there"},
      {pickled("h\0"s), "byte 102: the pickle's memo has no value 0"},
      {pickled("Nj\0\0\0\x80"s), "byte 103: the pickle's memo has no value 2147483648"},
      {pickled("Nq\1"), "byte 103: the pickle's memo jumps to 1"},
      {pickled("Nr\xff\xff\xff\xff"), "byte 103: the pickle's memo jumps to 4294967295"},
      {pickled("\x94"), "byte 102: the pickle takes a value that is not there"},
      {pickled("X\xff\xff\xff\xff"), "byte 102: the pickle ends at 108, before what begins here"},
      {pickled("\x8d\xff\xff\xff\xff\xff\xff\xff\xff"), "byte 102: the pickle ends at 112, before what begins here"},
      {pickled("\x8a\xff"), "byte 102: the pickle ends at 105, before what begins here"},
      {pickled("ccollections"), "byte 102: the pickle ends at 115, inside a name"},
      {pickled("K\1K\2\x93"), "byte 106: the pickle needs a name here"},
  };
  for (const auto& damaged : cases) {
    CAPTURE(damaged.message);
    REQUIRE(refusal(damaged.pickle) == damaged.message);
  }
}

TEST_CASE("pickle: what would grow or nest without end is read or stopped, in bounded memory") {
  constexpr size_t kMany = (1 << 20) + 100;
  std::string laughs = "]q\0"s, shared = ")q\0"s;
  for (int level = 0; level < 250; ++level) {  // 2^250 of the first, were they copies
    laughs += "](h"s + static_cast<char>(level) + "h" + static_cast<char>(level) + "eq" + static_cast<char>(level + 1);
    shared += "h"s + static_cast<char>(level) + "h" + static_cast<char>(level) + "\x86q" + static_cast<char>(level + 1);
  }
  REQUIRE(refusal(pickled(laughs + repeated("\x86", 250))).empty());
  REQUIRE(refusal(pickled(shared + repeated("\x86", 250))).empty());
  REQUIRE(refusal(pickled("]" + repeated("\x85", 1'000'000))).empty());
  REQUIRE(refusal(pickled("]" + repeated("\x85", kMany))) == "byte 1048678: the pickle makes more than 1048576 values");
  REQUIRE(refusal(pickled(repeated("}", kMany))) == "byte 1048678: the pickle makes more than 1048576 values");
  REQUIRE(refusal(pickled(repeated("(", kMany))) == "byte 1048678: the pickle has more than 1048576 marks");
  REQUIRE(refusal(pickled("Nq\0"s + repeated("h\0"s, kMany))) ==
          "byte 2097255: the pickle has more than 1048576 values on its stack");
  REQUIRE(refusal(pickled("N" + repeated("\x94", kMany))) == "byte 1048679: the pickle's memo jumps to 1048576");
}

}  // namespace
}  // namespace wkv::model
