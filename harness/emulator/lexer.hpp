// PTX text as tokens.
#pragma once

#include <cstdint>
#include <string_view>

namespace wkv::emulator {

struct Token {
  enum class Kind {
    word,     // names, directives, opcodes with all their modifiers, special registers with their component
    integer,  // value holds it
    real32,   // value holds the bits
    real64,   //
    string,   // text without the quotes
    symbol,   // one character of punctuation
    end
  };
  Kind kind = Kind::end;
  std::string_view text;
  uint64_t value = 0;
  uint32_t line = 0;

  bool is(std::string_view symbol_or_word) const {
    return (kind == Kind::symbol || kind == Kind::word) && text == symbol_or_word;
  }
};

class Lexer {
 public:
  // The module's name is for messages. The text must outlive the tokens.
  Lexer(std::string_view text, std::string_view module);

  const Token& peek() const { return token_; }
  Token next();
  bool accept(std::string_view symbol_or_word);
  void expect(std::string_view symbol_or_word);
  std::string_view word();  // the next token's text, which must be a word
  uint64_t integer();       // likewise an integer, with a minus before it or not
  [[noreturn]] void fail(std::string_view what) const;
  [[noreturn]] void fail_at(uint32_t line, std::string_view what) const;

 private:
  void skip_blanks();
  void read();
  void read_word();
  void read_number();

  std::string_view text_, module_;
  size_t at_ = 0;
  uint32_t line_ = 1;
  Token token_;
};

}  // namespace wkv::emulator
