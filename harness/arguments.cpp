#include "harness/arguments.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

namespace wkv {
namespace {

constexpr int64_t kLongest = int64_t{1} << 26;

[[noreturn]] void fail(std::string_view option, std::string_view text, std::string_view allowed) {
  throw UsageError(fmt::format("{}: \"{}\" is not {}", option, text, allowed));
}

template <class Number>
std::optional<Number> number_of(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::vector<std::string_view> split(std::string_view option, std::string_view text) {
  std::vector<std::string_view> parts;
  while (true) {
    const auto comma = text.find(',');
    parts.push_back(text.substr(0, comma));
    if (parts.back().empty()) throw UsageError(fmt::format("{}: a value is missing in the list", option));
    if (comma == text.npos) return parts;
    text.remove_prefix(comma + 1);
  }
}

// "first..last" or "first..last:xfactor"
void append_range(std::string_view option, std::string_view range, std::vector<int64_t>& lengths) {
  const auto dots = range.find(".."), colon = range.find(":x");
  const auto first = number_of<int64_t>(range.substr(0, dots));
  const auto last = number_of<int64_t>(range.substr(dots + 2, colon == range.npos ? range.npos : colon - dots - 2));
  const auto factor = colon == range.npos ? 2 : number_of<int64_t>(range.substr(colon + 2));
  if (!first || !last || !factor) fail(option, range, "a range like 1..65536 (times two) or 1..4096:x4 (times four)");
  if (*first < 1 || *last > kLongest || *first > *last) {
    fail(option, range, fmt::format("a range within 1..{} that begins with its smaller end", kLongest));
  }
  if (*factor < 2 || *factor > kLongest) fail(option, range, "a range with a factor of at least 2, as in 1..4096:x4");
  for (int64_t length = *first; length <= *last; length *= *factor) lengths.push_back(length);
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::vector<int64_t> parse_lengths(std::string_view option, std::string_view text) {
  std::vector<int64_t> lengths;
  for (const auto part : split(option, text)) {
    if (part.find("..") != part.npos) {
      append_range(option, part, lengths);
    } else {
      const auto length = number_of<int64_t>(part);
      if (!length) fail(option, part, "a length; give 1..65536 (powers of two), 1,100,1000 or 1..4096:x4");
      if (*length < 1 || *length > kLongest) fail(option, part, fmt::format("a length from 1 to {}", kLongest));
      lengths.push_back(*length);
    }
  }
  std::sort(lengths.begin(), lengths.end());
  lengths.erase(std::unique(lengths.begin(), lengths.end()), lengths.end());
  return lengths;
}

int64_t parse_integer(std::string_view option, std::string_view text, int64_t lowest, int64_t highest) {
  const auto number = number_of<int64_t>(text);
  if (!number || *number < lowest || *number > highest) {
    fail(option, text, fmt::format("a whole number from {} to {}", lowest, highest));
  }
  return *number;
}

std::vector<int64_t> parse_integers(std::string_view option, std::string_view text, int64_t lowest, int64_t highest) {
  std::vector<int64_t> numbers;
  for (const auto part : split(option, text)) numbers.push_back(parse_integer(option, part, lowest, highest));
  std::sort(numbers.begin(), numbers.end());
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  return numbers;
}

uint64_t parse_seed(std::string_view option, std::string_view text) {
  const auto seed = number_of<uint64_t>(text);
  if (!seed) fail(option, text, "a whole number from 0 to 2^64 - 1");
  return *seed;
}

double parse_seconds(std::string_view option, std::string_view text) {
  const auto seconds = number_of<double>(text);
  if (!seconds || !std::isfinite(*seconds) || *seconds <= 0) fail(option, text, "a positive number of seconds");
  return *seconds;
}

std::vector<std::string> parse_words(std::string_view option, std::string_view text,
                                     std::span<const std::string> allowed) {
  if (text == "all") return {allowed.begin(), allowed.end()};
  std::vector<std::string> words;
  for (const auto part : split(option, text)) {
    const std::string word = parse_word(option, part, allowed);
    if (std::find(words.begin(), words.end(), word) == words.end()) words.push_back(word);
  }
  return words;
}

std::string parse_word(std::string_view option, std::string_view text, std::span<const std::string> allowed) {
  if (std::find(allowed.begin(), allowed.end(), text) != allowed.end()) return std::string(text);
  const std::string meant = nearest(text, allowed);
  const std::string hint = meant.empty() ? "" : fmt::format("; did you mean {}?", meant);
  fail(option, text, fmt::format("one of {}{}", fmt::join(allowed, ", "), hint));
}

std::string nearest(std::string_view typed, std::span<const std::string> candidates) {
  std::string best;
  size_t best_distance = std::max<size_t>(1, typed.size() / 3) + 1;  // about one letter in three may be wrong
  for (const auto& candidate : candidates) {
    const bool contained = typed.size() >= 3 && candidate.find(typed) != candidate.npos;
    const size_t distance = contained ? 0 : edit_distance(typed, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace wkv
