#include "harness/model/tokenizer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <stdexcept>

#include "harness/mapped_file.hpp"
#include "harness/model/vocabulary.hpp"

namespace wkv::model {
namespace {

class ByteTokenizer final : public Tokenizer {
 public:
  ByteTokenizer() {
    for (size_t byte = 0; byte < bytes_.size(); ++byte) bytes_[byte] = static_cast<char>(byte);
  }

  std::string_view name() const override { return "bytes"; }
  Token vocabulary() const override { return static_cast<Token>(bytes_.size()); }
  std::vector<Token> encode(std::string_view text) const override {
    std::vector<Token> tokens(text.size());
    std::transform(text.begin(), text.end(), tokens.begin(), [](char c) { return static_cast<uint8_t>(c); });
    return tokens;
  }
  std::string_view bytes_of(Token token) const override {
    return token >= 0 && token < vocabulary() ? std::string_view(&bytes_[static_cast<size_t>(token)], 1)
                                              : std::string_view();
  }
  bool ends_text(Token) const override { return false; }

 private:
  std::array<char, 256> bytes_;
};

// A trie whose nodes are in breadth-first order, so that the children of a node stand side by side, ordered by their
// bytes: a walk down reads a few neighbouring bytes a step. Most nodes have one child; the root has all 256.
class Trie {
 public:
  // Entries are sorted by their bytes: a node is a range of them that begins with the same `depth` bytes.
  explicit Trie(const std::vector<VocabularyEntry>& sorted) {
    struct Range {
      size_t begin, end, depth;
    };
    std::vector<Range> ranges{{0, sorted.size(), 0}};
    add_node(0);
    for (size_t node = 0; node < ranges.size(); ++node) {
      auto [begin, end, depth] = ranges[node];
      nodes_[node].first_child = static_cast<uint32_t>(nodes_.size());
      if (begin < end && sorted[begin].bytes.size() == depth) nodes_[node].token = sorted[begin++].id;
      while (begin < end) {
        const char label = sorted[begin].bytes[depth];
        size_t next = begin;
        while (next < end && sorted[next].bytes[depth] == label) ++next;
        add_node(static_cast<uint8_t>(label));
        ranges.push_back({begin, next, depth + 1});
        begin = next;
      }
      nodes_[node].children = static_cast<uint32_t>(nodes_.size()) - nodes_[node].first_child;
    }
  }

  bool has_all_bytes() const {
    return nodes_[0].children == 256 && std::all_of(nodes_.begin() + 1, nodes_.begin() + 257,
                                                    [](const Node& node) { return node.token != kNoToken; });
  }

  struct Match {
    Token token;
    size_t length;
  };
  // Of a text that is not empty; the root has all bytes.
  Match longest(std::string_view text) const {
    uint32_t node = nodes_[0].first_child + static_cast<uint8_t>(text[0]);
    Match best{nodes_[node].token, 1};
    for (size_t i = 1; i < text.size(); ++i) {
      const Node& parent = nodes_[node];
      const auto* first = labels_.data() + parent.first_child;
      const auto* last = first + parent.children;
      const auto* child = std::lower_bound(first, last, static_cast<uint8_t>(text[i]));
      if (child == last || *child != static_cast<uint8_t>(text[i])) break;
      node = static_cast<uint32_t>(child - labels_.data());
      if (nodes_[node].token != kNoToken) best = {nodes_[node].token, i + 1};
    }
    return best;
  }

 private:
  static constexpr Token kNoToken = -1;
  struct Node {
    uint32_t first_child = 0, children = 0;
    Token token = kNoToken;
  };
  void add_node(uint8_t label) {
    nodes_.emplace_back();
    labels_.push_back(label);
  }

  std::vector<Node> nodes_;
  std::vector<uint8_t> labels_;  // the byte that leads to a node
};

class WorldTokenizer final : public Tokenizer {
 public:
  explicit WorldTokenizer(std::vector<VocabularyEntry> sorted) : trie_(sorted) {
    if (!trie_.has_all_bytes()) throw std::runtime_error("its tokens lack some of the 256 single bytes");
    for (VocabularyEntry& entry : sorted) {
      const auto id = static_cast<size_t>(entry.id);
      if (id >= bytes_.size()) bytes_.resize(id + 1);
      bytes_[id] = std::move(entry.bytes);
    }
  }

  std::string_view name() const override { return "world"; }
  Token vocabulary() const override { return static_cast<Token>(bytes_.size()); }
  std::vector<Token> encode(std::string_view text) const override {
    std::vector<Token> tokens;
    tokens.reserve(text.size() / 4);
    while (!text.empty()) {
      const Trie::Match match = trie_.longest(text);
      tokens.push_back(match.token);
      text.remove_prefix(match.length);
    }
    return tokens;
  }
  std::string_view bytes_of(Token token) const override {
    return token >= 0 && token < vocabulary() ? std::string_view(bytes_[static_cast<size_t>(token)])
                                              : std::string_view();
  }
  bool ends_text(Token token) const override { return token == 0; }

 private:
  Trie trie_;
  std::vector<std::string> bytes_;  // by id
};

}  // namespace

std::string Tokenizer::decode(std::span<const Token> tokens) const {
  std::string text;
  for (const Token token : tokens) text += bytes_of(token);
  return text;
}

std::unique_ptr<const Tokenizer> byte_tokenizer() { return std::make_unique<ByteTokenizer>(); }

std::unique_ptr<const Tokenizer> parse_world_tokenizer(std::string_view text) {
  std::vector<VocabularyEntry> entries = parse_vocabulary(text);
  std::sort(entries.begin(), entries.end(),
            [](const VocabularyEntry& a, const VocabularyEntry& b) { return a.bytes < b.bytes; });
  return std::make_unique<WorldTokenizer>(std::move(entries));
}

std::unique_ptr<const Tokenizer> read_world_tokenizer(const std::filesystem::path& vocabulary) {
  const MappedFile file(vocabulary);
  try {
    return parse_world_tokenizer({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()});
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(fmt::format("cannot read {}: {}", vocabulary.string(), error.what()));
  }
}

}  // namespace wkv::model
