// Values of command-line options, read from text. What is wrong is thrown as a UsageError with a line for the user.
#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace wkv {

struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// All take the option's name for their messages, and comma-separated lists where they give several values.

// "1..65536": powers of two; "1..4096:x4": powers of four; "1,100,1000"; any of them joined by commas.
// Ascending, each once.
std::vector<int64_t> parse_lengths(std::string_view option, std::string_view text);

int64_t parse_integer(std::string_view option, std::string_view text, int64_t lowest, int64_t highest);
std::vector<int64_t> parse_integers(std::string_view option, std::string_view text, int64_t lowest, int64_t highest);
uint64_t parse_seed(std::string_view option, std::string_view text);
double parse_seconds(std::string_view option, std::string_view text);

// Each is one of the allowed words, in the order given, each once; "all" stands for all of them.
std::vector<std::string> parse_words(std::string_view option, std::string_view text,
                                     std::span<const std::string> allowed);
std::string parse_word(std::string_view option, std::string_view text, std::span<const std::string> allowed);

// The candidate nearest to what was typed; empty where none is near.
std::string nearest(std::string_view typed, std::span<const std::string> candidates);

}  // namespace wkv
