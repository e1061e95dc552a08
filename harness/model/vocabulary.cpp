#include "harness/model/vocabulary.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <stdexcept>

#include "harness/stored_tensor.hpp"

namespace wkv::model {
namespace {

constexpr int32_t kMaxId = 1 << 20;

[[noreturn]] void fail(const std::string& message) { throw std::runtime_error(message); }

void append_utf8(std::string& text, uint32_t point) {
  const auto continuation = [&](int shift) { text += static_cast<char>(0x80 | (point >> shift & 0x3f)); };
  if (point < 0x80) {
    text += static_cast<char>(point);
  } else if (point < 0x800) {
    text += static_cast<char>(0xc0 | point >> 6);
    continuation(0);
  } else if (point < 0x10000) {
    text += static_cast<char>(0xe0 | point >> 12);
    continuation(6), continuation(0);
  } else {
    text += static_cast<char>(0xf0 | point >> 18);
    continuation(12), continuation(6), continuation(0);
  }
}

// How many bytes the UTF-8 character at the start takes; 0 if it is none (overlong forms and surrogates are none).
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0}; };
  const auto follows = [&](size_t count) {
    for (size_t i = 1; i <= count; ++i) {
      if ((byte(i) & 0xc0) != 0x80) return false;
    }
    return true;
  };
  const uint8_t first = byte(0), second = byte(1);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first < 0xe0) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first < 0xf0) {
    const bool overlong = first == 0xe0 && second < 0xa0, surrogate = first == 0xed && second >= 0xa0;
    return follows(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (first >= 0xf0 && first < 0xf5) {
    const bool overlong = first == 0xf0 && second < 0x90, beyond = first == 0xf4 && second >= 0x90;
    return follows(3) && !overlong && !beyond ? 4 : 0;
  }
  return 0;
}

// A Python literal of str or bytes, whose value is bytes.
class Literal {
 public:
  explicit Literal(std::string_view text) : text_(text) {}

  std::string value() {
    is_bytes_ = take_if('b') || take_if('B');
    const char quote = text_.empty() ? '\0' : text_.front();
    if (quote != '\'' && quote != '"') fail("the literal does not begin with a quote");
    text_.remove_prefix(1);
    while (!text_.empty() && text_.front() != quote) {
      if (take_if('\\')) {
        escape();
      } else {
        character();
      }
    }
    if (!take_if(quote)) fail("the literal has no closing quote");
    if (!text_.empty()) fail(fmt::format("{} follows the literal's closing quote", in_quotes(text_)));
    return std::move(value_);
  }

 private:
  bool take_if(char wanted) {
    if (text_.empty() || text_.front() != wanted) return false;
    text_.remove_prefix(1);
    return true;
  }

  void character() {
    const size_t length = utf8_length(text_);
    if (length == 0) fail("the literal is not valid UTF-8");
    if (is_bytes_ && length > 1) fail("a bytes literal holds a character that is not ASCII");
    value_ += text_.substr(0, length);
    text_.remove_prefix(length);
  }

  uint32_t digits(size_t most, size_t least, int base) {
    uint32_t number = 0;
    const std::string_view digits = text_.substr(0, most);
    const auto end = std::from_chars(digits.data(), digits.data() + digits.size(), number, base).ptr;
    const auto count = static_cast<size_t>(end - digits.data());
    if (count < least) fail("an escape in the literal has too few digits");
    text_.remove_prefix(count);
    return number;
  }

  void append(uint32_t point) {
    if (is_bytes_ ? point > 0xff : point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) {
      fail(fmt::format("an escape in the literal stands for {:#x}, which is no {}", point,
                       is_bytes_ ? "byte" : "character"));
    }
    if (is_bytes_) {
      value_ += static_cast<char>(point);
    } else {
      append_utf8(value_, point);
    }
  }

  void escape() {
    constexpr std::string_view kLetters = "abfnrtv\\'\"", kMeanings = "\a\b\f\n\r\t\v\\'\"";
    const char letter = text_.empty() ? '\0' : text_.front();
    if (letter >= '0' && letter <= '7') return append(digits(3, 1, 8));
    if (const size_t known = kLetters.find(letter); known != std::string_view::npos) {
      text_.remove_prefix(1);
      value_ += kMeanings[known];
    } else if (take_if('x')) {
      append(digits(2, 2, 16));
    } else if (!is_bytes_ && take_if('u')) {
      append(digits(4, 4, 16));
    } else if (!is_bytes_ && take_if('U')) {
      append(digits(8, 8, 16));
    } else {
      fail(fmt::format("the literal has the unknown escape {}", in_quotes(fmt::format("\\{}", text_.substr(0, 1)))));
    }
  }

  std::string_view text_;
  bool is_bytes_ = false;
  std::string value_;
};

int64_t whole_number(std::string_view text, const char* what) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 0) {
    fail(fmt::format("the {} {} is not a whole number", what, in_quotes(text)));
  }
  return number;
}

// The literal may hold spaces; id and length do not.
VocabularyEntry parse_line(std::string_view line) {
  const size_t first = line.find(' '), last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) fail("it is not `id literal length`");
  const int64_t id = whole_number(line.substr(0, first), "id");
  if (id < 1 || id > kMaxId) fail(fmt::format("id {} is not between 1 and {}", id, kMaxId));
  VocabularyEntry entry{static_cast<int32_t>(id), Literal(line.substr(first + 1, last - first - 1)).value()};
  const int64_t length = whole_number(line.substr(last + 1), "length");
  if (length != std::ssize(entry.bytes)) {
    fail(fmt::format("token {} has {} bytes, not {}", id, entry.bytes.size(), length));
  }
  if (entry.bytes.empty()) fail(fmt::format("token {} is empty", id));
  return entry;
}

// Lines by the value that `key` gives, so that one which comes again is found. No line is empty, so i is line i + 1.
template <class Key>
void refuse_doubles(const std::vector<VocabularyEntry>& entries, const char* what, const Key& key) {
  std::vector<size_t> lines(entries.size());
  for (size_t i = 0; i < lines.size(); ++i) lines[i] = i;
  std::stable_sort(lines.begin(), lines.end(), [&](size_t a, size_t b) { return key(entries[a]) < key(entries[b]); });
  for (size_t i = 1; i < lines.size(); ++i) {
    if (key(entries[lines[i - 1]]) == key(entries[lines[i]])) {
      fail(fmt::format("line {}: {} is in line {} already", lines[i] + 1, what, lines[i - 1] + 1));
    }
  }
}

}  // namespace

std::vector<VocabularyEntry> parse_vocabulary(std::string_view text) {
  std::vector<VocabularyEntry> entries;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    try {
      entries.push_back(parse_line(line));
    } catch (const std::runtime_error& error) {
      fail(fmt::format("line {}: {}", entries.size() + 1, error.what()));
    }
  }
  refuse_doubles(entries, "the id", [](const VocabularyEntry& entry) { return entry.id; });
  refuse_doubles(entries, "the token", [](const VocabularyEntry& entry) -> const std::string& { return entry.bytes; });
  return entries;
}

}  // namespace wkv::model
