// Lines of a vocabulary, which follow those of all single bytes, and behind a byte 0 a text to encode.
#include "harness/model/vocabulary.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "harness/model/tokenizer.hpp"
#include "tests/fuzz/checks.hpp"
#include "tests/fuzz/targets.hpp"

namespace wkv::fuzz {
namespace {

const std::string& single_bytes() {
  static const std::string lines = [] {
    std::string text;
    for (int byte = 0; byte < 256; ++byte) text += fmt::format("{} b'\\x{:02x}' 1\n", byte + 1, byte);
    return text;
  }();
  return lines;
}

// Every token is the longest of these that the text goes on with, or else a single byte.
void check_longest(const std::vector<model::VocabularyEntry>& entries, std::string_view text,
                   const std::vector<model::Token>& tokens) {
  for (const model::Token token : tokens) {
    require(!text.empty(), "no token is too many");
    model::Token longest = static_cast<unsigned char>(text.front()) + 1;
    size_t length = 1;
    for (const model::VocabularyEntry& entry : entries) {
      if (entry.bytes.size() <= length || !text.starts_with(entry.bytes)) continue;
      longest = entry.id;
      length = entry.bytes.size();
    }
    require(token == longest, "a token is the longest that fits");
    text.remove_prefix(length);
  }
  require(text.empty(), "the whole text is encoded");
}

bool accepts(std::span<const std::byte> input) {
  const std::string_view bytes(reinterpret_cast<const char*>(input.data()), input.size());
  const size_t end = std::min(bytes.find('\0'), bytes.size());
  const std::string_view lines = bytes.substr(0, end), text = bytes.substr(std::min(end + 1, bytes.size()));
  try {
    const auto entries = model::parse_vocabulary(lines);
    const auto tokenizer = model::parse_world_tokenizer(single_bytes() + std::string(lines));
    const auto tokens = tokenizer->encode(text);
    require(tokenizer->decode(tokens) == text, "decoding gives the text back");
    check_longest(entries, text, tokens);
    return true;
  } catch (const std::runtime_error& error) {
    check_refusal(error);
    return false;
  }
}

std::vector<std::string> seeds() {
  using namespace std::string_literals;
  return {
      "300 'ab' 2\n301 \"abc'\" 4\n302 '\\u00e9\\n' 3\n"
      "303 b'\\xe4\\xb8' 2\n304 '\xe4\xb8\xad' 3\n305 '\\U0001f600' 4\0abcab\xe4\xb8\xad\xe4\xb8"s,
      "1000 'aaaa' 4\n1001 'aa' 2\n1002 'aab' 3\n1003 '  ' 2\0aaaaaab  aab"s,
  };
}

}  // namespace

extern const Target vocabulary{"vocabulary", accepts, seeds, " \n\r\\'\"bBxuU0123456789abfnrtv"};

}  // namespace wkv::fuzz
