// What reads files of others, as targets of fuzzing: of libFuzzer (scripts/fuzz) and of a driver in the tests.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace wkv::fuzz {

struct Target {
  std::string_view name;
  // Whether the input was accepted. A refusal is a std::runtime_error of one short line; any other exception, and
  // std::logic_error for a result that is not what its header promises, is a finding.
  bool (*accepts)(std::span<const std::byte> input);
  std::vector<std::string> (*seeds)();  // small inputs, most of them valid
  std::string_view syntax;              // bytes that the format gives a meaning
};

extern const Target safetensors, pth, pickle, vocabulary;

}  // namespace wkv::fuzz
