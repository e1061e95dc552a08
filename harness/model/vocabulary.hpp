// The World tokenizer's vocabulary file: one token a line, `id literal length`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace wkv::model {

struct VocabularyEntry {
  int32_t id;
  std::string bytes;
};

// In the file's order. Ids are 1 to 2^20, no id and no token comes twice, and no token is empty. Literals are Python's,
// of str (as UTF-8) or of bytes, without triple quotes, raw strings or \N{...}.
// Throws std::runtime_error "line N: ...".
std::vector<VocabularyEntry> parse_vocabulary(std::string_view text);

}  // namespace wkv::model
