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

// Every token is the longest of the vocabulary that the text goes on with.
void check_longest(const std::vector<model::VocabularyEntry>& entries, std::string_view text,
                   const std::vector<model::Token>& tokens) {
  for (const model::Token token : tokens) {
    const model::VocabularyEntry* longest = nullptr;
    for (const model::VocabularyEntry& entry : entries) {
      if (!text.starts_with(entry.bytes)) continue;
      if (longest == nullptr || entry.bytes.size() > longest->bytes.size()) longest = &entry;
    }
    require(longest != nullptr && longest->id == token, "a token is the longest that fits");
    text.remove_prefix(longest->bytes.size());
  }
  require(text.empty(), "the whole text is encoded");
}

bool accepts(std::span<const std::byte> input) {
  const std::string_view bytes(reinterpret_cast<const char*>(input.data()), input.size());
  const size_t end = std::min(bytes.find('\0'), bytes.size());
  const std::string_view own_lines = bytes.substr(0, end);
  const std::string_view text = bytes.substr(std::min(end + 1, bytes.size()));
  try {
    model::parse_vocabulary(own_lines);  // the quicker refusal
    const std::string lines = single_bytes() + std::string(own_lines);
    const auto tokenizer = model::parse_world_tokenizer(lines);
    const auto tokens = tokenizer->encode(text);
    require(tokenizer->decode(tokens) == text, "decoding gives the text back");
    check_longest(model::parse_vocabulary(lines), text.substr(0, 64), tokenizer->encode(text.substr(0, 64)));
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
