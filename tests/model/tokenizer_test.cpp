#include "harness/model/tokenizer.hpp"

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <random>
#include <stdexcept>

#include "harness/model/vocabulary.hpp"
#include "tests/mutated_file.hpp"
#include "tests/temporary_directory.hpp"

namespace wkv::model {
namespace {

using namespace std::string_literals;
using Tokens = std::vector<Token>;

// Ids 1 to 256, as in the World vocabulary.
std::string single_bytes() {
  std::string lines;
  for (int byte = 0; byte < 256; ++byte) lines += fmt::format("{} b'\\x{:02x}' 1\n", byte + 1, byte);
  return lines;
}

std::string bytes_of_literal(const std::string& literal, size_t length) {
  return parse_vocabulary(fmt::format("7 {} {}\n", literal, length)).at(0).bytes;
}

std::string refusal(const std::string& lines) {
  try {
    parse_vocabulary(lines);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return {};
}

TEST_CASE("vocabulary: Python's literals of str and bytes are read") {
  REQUIRE(bytes_of_literal("'a b'", 3) == "a b");
  REQUIRE(bytes_of_literal("\"it's\"", 4) == "it's");
  REQUIRE(bytes_of_literal("'\"'", 1) == "\"");
  REQUIRE(bytes_of_literal(R"('\t\n\r\\\'\"\a\b\f\v')", 10) == "\t\n\r\\'\"\a\b\f\v");
  REQUIRE(bytes_of_literal(R"('\0\12\1234')", 4) == "\0\n\1234"s.substr(0, 3) + "4");
  REQUIRE(bytes_of_literal(R"('\xe9\u4e2d\U0001f600\x7f')", 10) == "\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80\x7f");
  REQUIRE(bytes_of_literal("'\xe4\xb8\xad\xf0\x9f\x98\x80'", 7) == "\xe4\xb8\xad\xf0\x9f\x98\x80");
  REQUIRE(bytes_of_literal(R"(b'\xe4\xb8a\377')", 4) == "\xe4\xb8"s + "a\xff");
  REQUIRE(bytes_of_literal("B\"'\"", 1) == "'");
}

TEST_CASE("vocabulary: lines end in LF or CRLF, the last one maybe in neither") {
  const auto entries = parse_vocabulary("1 'a' 1\r\n2 'b' 1\n3 ' ' 1");
  REQUIRE(entries.size() == 3);
  REQUIRE(entries[0].id == 1);
  REQUIRE(entries[2].bytes == " ");
}

TEST_CASE("vocabulary: a line that is wrong is refused by its number") {
  const struct {
    std::string line, message;
  } cases[] = {
      {"", "it is not `id literal length`"},
      {"3 'a'", "it is not `id literal length`"},
      {"'a'", "it is not `id literal length`"},
      {"x 'a' 1", R"(the id "x" is not a whole number)"},
      {"-3 'a' 1", R"(the id "-3" is not a whole number)"},
      {"0 'a' 1", "id 0 is not between 1 and 1048576"},
      {"1048577 'a' 1", "id 1048577 is not between 1 and 1048576"},
      {"99999999999999999999 'a' 1", R"(the id "99999999999999999999" is not a whole number)"},
      {"3 'a' 1x", R"(the length "1x" is not a whole number)"},
      {"3 'a' 2", "token 3 has 1 bytes, not 2"},
      {"3 '' 0", "token 3 is empty"},
      {"3 a 1", "the literal does not begin with a quote"},
      {"3 'a\" 1", "the literal has no closing quote"},
      {"3 '\\' 1", "the literal has no closing quote"},
      {"3 'a'b' 1", R"("b'" follows the literal's closing quote)"},
      {R"(3 '\q' 1)", R"(the literal has the unknown escape "\\q")"},
      {R"(3 '\N{DASH}' 1)", R"(the literal has the unknown escape "\\N")"},
      {R"(3 b'\u00e9' 1)", R"(the literal has the unknown escape "\\u")"},
      {R"(3 '\x9' 1)", "an escape in the literal has too few digits"},
      {R"(3 '\u123' 1)", "an escape in the literal has too few digits"},
      {R"(3 '\ud800' 3)", "an escape in the literal stands for 0xd800, which is no character"},
      {R"(3 '\U00110000' 4)", "an escape in the literal stands for 0x110000, which is no character"},
      {R"(3 b'\777' 1)", "an escape in the literal stands for 0x1ff, which is no byte"},
      {"3 b'\xc3\xa9' 2", "a bytes literal holds a character that is not ASCII"},
      {"3 '\xe4\xb8' 2", "the literal is not valid UTF-8"},
      {"3 '\xed\xa0\x80' 3", "the literal is not valid UTF-8"},
      {"3 '\xc0\x80' 2", "the literal is not valid UTF-8"},
      {"1 'c' 1", "the id is in line 1 already"},
      {"3 'b' 1", "the token is in line 2 already"},
  };
  for (const auto& wrong : cases) {
    CAPTURE(wrong.line);
    REQUIRE(refusal("1 'a' 1\n2 'b' 1\n" + wrong.line + "\n4 'd' 1\n") == "line 3: " + wrong.message);
  }
}

TEST_CASE("world tokenizer: the longest token wins, from the left, inside characters too") {
  const auto tokenizer = parse_world_tokenizer(single_bytes() +
                                               "300 'ab' 2\n301 'abcde' 5\n302 'cd' 2\n303 b'\\xe4\\xb8' 2\n"
                                               "1000 '\xe4\xb8\xad' 3\n");
  const auto single = [](unsigned char byte) { return Token{byte} + 1; };
  REQUIRE(tokenizer->encode("abcde") == Tokens{301});
  REQUIRE(tokenizer->encode("abcdx") == Tokens{300, 302, single('x')});
  REQUIRE(tokenizer->encode("aab") == Tokens{single('a'), 300});
  REQUIRE(tokenizer->encode("\xe4\xb8\xad\xe4\xb8\xae\xe4") == Tokens{1000, 303, single(0xae), single(0xe4)});
  REQUIRE(tokenizer->encode("\0"s) == Tokens{1});
  REQUIRE(tokenizer->encode("").empty());
  REQUIRE(tokenizer->vocabulary() == 1001);
  REQUIRE(tokenizer->name() == "world");
  REQUIRE(tokenizer->decode(Tokens{301, single('x'), 1000}) == "abcdex\xe4\xb8\xad");
}

TEST_CASE("world tokenizer: id 0 ends a text; ids without text decode to nothing") {
  const auto tokenizer = parse_world_tokenizer(single_bytes());
  REQUIRE(tokenizer->ends_text(0));
  REQUIRE_FALSE(tokenizer->ends_text(1));
  for (const Token token : {0, 257, 65535, -1, INT32_MAX, INT32_MIN}) REQUIRE(tokenizer->bytes_of(token).empty());
}

TEST_CASE("world tokenizer: a vocabulary without all single bytes is refused") {
  const std::string lines = single_bytes();
  const std::string message = "its tokens lack some of the 256 single bytes";
  REQUIRE_THROWS_WITH(parse_world_tokenizer(lines.substr(lines.find('\n') + 1)), message);
  REQUIRE_THROWS_WITH(parse_world_tokenizer(lines.substr(lines.find('\n') + 1) + "300 b'\\x00a' 2"), message);
  REQUIRE_THROWS_WITH(parse_world_tokenizer(""), message);
}

TEST_CASE("world tokenizer: errors name the file") {
  const TemporaryDirectory directory;
  write_bytes(directory / "vocab.txt", "1 'a' 1\n2 'b 1\n");
  REQUIRE_THROWS_WITH(
      read_world_tokenizer(directory / "vocab.txt"),
      "cannot read " + (directory / "vocab.txt").string() + ": line 2: the literal has no closing quote");
  REQUIRE_THROWS_WITH(read_world_tokenizer(directory / "none"), Catch::EndsWith("none: No such file or directory"));
}

TEST_CASE("byte tokenizer: a token is a byte") {
  const auto tokenizer = byte_tokenizer();
  REQUIRE(tokenizer->encode("a\xff\0"s) == Tokens{97, 255, 0});
  REQUIRE(tokenizer->decode(Tokens{97, 255, 0}) == "a\xff\0"s);
  REQUIRE(tokenizer->vocabulary() == 256);
  REQUIRE_FALSE(tokenizer->ends_text(0));
  REQUIRE(tokenizer->bytes_of(256).empty());
  REQUIRE(tokenizer->bytes_of(-1).empty());
}

// Expected ids are what a search of the file for the longest token at each place gives.
TEST_CASE("world tokenizer: the World vocabulary encodes text as its file says") {
  const auto path = std::filesystem::path(WKV_SOURCE_DIR) / ".." / "shared" / "data" / "rwkv_vocab_v20230424.txt";
  if (!std::filesystem::exists(path)) {
    WARN("SKIPPED: there is no " << path.string());
    return;
  }
  const auto tokenizer = read_world_tokenizer(path);
  REQUIRE(tokenizer->vocabulary() == 65530);
  REQUIRE(tokenizer->encode("The Eagle has landed.\n") == Tokens{6699, 36606, 21800, 46393, 47, 11});
  REQUIRE(tokenizer->encode("\nUser: \u4f60\u597d\n\n") == Tokens{11, 24281, 59, 33, 10464, 11685, 261});
  REQUIRE(tokenizer->encode("\u00e9 na\u00efve \U0001f600") == Tokens{2503, 46644, 33, 3319, 153, 129});
  REQUIRE(tokenizer->encode("    return x\t# 1000000") == Tokens{19250, 42178, 355, 10, 36, 3483, 620, 620, 49});
  REQUIRE(tokenizer->encode("\u200b\u00a0'\"\\") == Tokens{9808, 2430, 435, 93});
  REQUIRE(tokenizer->encode(std::string(131, ' ')) == Tokens{65529, 3340});
  REQUIRE(tokenizer->encode("\xe4\xb8\xff\x80") == Tokens{3025, 256, 129});
  for (Token token = 1; token < tokenizer->vocabulary(); ++token) {
    const std::string_view bytes = tokenizer->bytes_of(token);
    if (tokenizer->encode(bytes) != Tokens{token}) FAIL_CHECK("token " << token << " is not its own encoding");
  }
  std::mt19937_64 random(3);
  for (int round = 0; round < 50; ++round) {
    std::string text(random() % 5000, '\0');  // of random bytes, and of tokens in a random order
    for (char& byte : text) byte = static_cast<char>(random());
    for (int i = 0; i < 200; ++i) text += tokenizer->bytes_of(static_cast<Token>(random() % 65530));
    REQUIRE(tokenizer->decode(tokenizer->encode(text)) == text);
  }
}

}  // namespace
}  // namespace wkv::model
