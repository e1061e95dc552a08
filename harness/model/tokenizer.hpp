// Text to a model's tokens and back: the World tokenizer of RWKV-4 and RWKV-5 World, and single bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace wkv::model {

using Token = int32_t;

// Text is bytes, as a rule UTF-8; every sequence of bytes can be encoded, and decoding the tokens gives it back.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  virtual std::string_view name() const = 0;  // "world", "bytes"
  // Ids are below it. A model's vocabulary may be larger: World's has 65529 tokens, its models 65536.
  virtual Token vocabulary() const = 0;
  virtual std::vector<Token> encode(std::string_view text) const = 0;
  // A token's bytes, which may end inside a character; empty for ids that stand for no text.
  virtual std::string_view bytes_of(Token token) const = 0;
  virtual bool ends_text(Token token) const = 0;

  std::string decode(std::span<const Token> tokens) const;
};

// A byte's value is its token; the vocabulary is 256 and no token ends a text.
std::unique_ptr<const Tokenizer> byte_tokenizer();

// From a vocabulary file, whose lines are `id literal length`: the literal a Python str or bytes literal, length the
// number of its bytes in UTF-8. Encoding takes the longest token that fits, from the left; id 0 ends a text and is not
// in the file. All 256 single bytes must be there.
// Throws std::runtime_error with one line for the user: file, line number, what is wrong.
std::unique_ptr<const Tokenizer> read_world_tokenizer(const std::filesystem::path& vocabulary);
std::unique_ptr<const Tokenizer> parse_world_tokenizer(std::string_view text);  // the error without the file's name

}  // namespace wkv::model
