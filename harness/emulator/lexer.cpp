#include "harness/emulator/lexer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstdlib>
#include <string>

#include "harness/emulator/emulator.hpp"

namespace wkv::emulator {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool starts_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' || c == '%' || c == '.';
}
bool continues_word(char c) { return starts_word(c) || is_digit(c); }

}  // namespace

Lexer::Lexer(std::string_view text, std::string_view module) : text_(text), module_(module) { read(); }

void Lexer::fail_at(uint32_t line, std::string_view what) const {
  throw Error(fmt::format("{}: PTX line {}: {}", module_, line, what));
}

void Lexer::fail(std::string_view what) const {
  const std::string_view found = token_.kind == Token::Kind::end ? "the end of the text" : token_.text;
  fail_at(token_.line, fmt::format("{}, found \"{}\"", what, found));
}

Token Lexer::next() {
  const Token token = token_;
  read();
  return token;
}

bool Lexer::accept(std::string_view symbol_or_word) {
  if (!token_.is(symbol_or_word)) return false;
  read();
  return true;
}

void Lexer::expect(std::string_view symbol_or_word) {
  if (!accept(symbol_or_word)) fail(fmt::format("expected \"{}\"", symbol_or_word));
}

std::string_view Lexer::word() {
  if (token_.kind != Token::Kind::word) fail("expected a name");
  return next().text;
}

uint64_t Lexer::integer() {
  const bool negative = accept("-");
  if (token_.kind != Token::Kind::integer) fail("expected an integer");
  const uint64_t value = next().value;
  return negative ? -value : value;
}

void Lexer::skip_blanks() {
  while (at_ < text_.size()) {
    if (text_[at_] == '\n') {
      ++line_;
      ++at_;
    } else if (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\r' || text_[at_] == '\f' || !text_[at_]) {
      ++at_;
    } else if (text_.substr(at_, 2) == "//") {
      at_ = std::min(text_.find('\n', at_), text_.size());
    } else if (text_.substr(at_, 2) == "/*") {
      const size_t end = text_.find("*/", at_ + 2);
      if (end == std::string_view::npos) fail_at(line_, "a comment does not end");
      for (size_t i = at_; i < end; ++i) line_ += text_[i] == '\n';
      at_ = end + 2;
    } else {
      return;
    }
  }
}

void Lexer::read() {
  skip_blanks();
  token_ = {};
  token_.line = line_;
  if (at_ >= text_.size()) return;
  const char c = text_[at_];
  if (is_digit(c)) return read_number();
  if (starts_word(c)) return read_word();
  token_.kind = Token::Kind::symbol;
  if (c == '"') {
    const size_t end = text_.find('"', at_ + 1);
    if (end == std::string_view::npos) fail_at(line_, "a string does not end");
    token_.kind = Token::Kind::string;
    token_.text = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return;
  }
  token_.text = text_.substr(at_++, 1);
}

// The modifiers of an opcode are parts of its word, what follows a directive (.reg.b32) is not.
void Lexer::read_word() {
  const bool directive = text_[at_] == '.';
  size_t end = at_ + 1;
  while (end < text_.size() && !(directive && text_[end] == '.')) {
    if (continues_word(text_[end])) {
      ++end;
    } else if (text_.substr(end, 2) == "::") {
      end += 2;
    } else {
      break;
    }
  }
  token_.kind = Token::Kind::word;
  token_.text = text_.substr(at_, end - at_);
  at_ = end;
}

void Lexer::read_number() {
  size_t end = at_;
  while (end < text_.size() && continues_word(text_[end])) ++end;
  token_.text = text_.substr(at_, end - at_);
  at_ = end;

  std::string_view digits = token_.text;
  const char mark = digits.size() > 1 && digits[0] == '0' ? static_cast<char>(digits[1] | 32) : ' ';
  const auto parse = [&](int base) {
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), token_.value, base);
    if (result.ec != std::errc() || result.ptr != digits.data() + digits.size()) {
      fail_at(token_.line, fmt::format("\"{}\" is not a number", token_.text));
    }
  };
  if ((mark == 'f' && digits.size() == 10) || (mark == 'd' && digits.size() == 18)) {
    token_.kind = mark == 'f' ? Token::Kind::real32 : Token::Kind::real64;
    digits.remove_prefix(2);
    return parse(16);
  }
  if (digits.find('.') != std::string_view::npos) {
    token_.kind = Token::Kind::real64;
    const std::string text(digits);
    char* stopped = nullptr;
    token_.value = std::bit_cast<uint64_t>(std::strtod(text.c_str(), &stopped));
    if (*stopped) fail_at(token_.line, fmt::format("\"{}\" is not a number", token_.text));
    return;
  }
  token_.kind = Token::Kind::integer;
  if ((digits.back() | 32) == 'u') digits.remove_suffix(1);
  if (mark == 'x' || mark == 'b') {
    digits.remove_prefix(2);
    return parse(mark == 'x' ? 16 : 2);
  }
  parse(digits.size() > 1 && digits[0] == '0' ? 8 : 10);
}

}  // namespace wkv::emulator
