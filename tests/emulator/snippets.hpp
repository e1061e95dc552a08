// Tables of instructions: a line of PTX with its operands and what it must give, each case in a lane of its own.
#pragma once

#include <bit>
#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <vector>

namespace test {

// Bits of an operand or result; wide enough for all.
struct Word {
  Word() = default;
  template <class Integer>
  requires std::is_integral_v<Integer>
  constexpr Word(Integer value) : bits(static_cast<uint64_t>(value)) {}
  constexpr Word(float value) : bits(std::bit_cast<uint32_t>(value)) {}
  constexpr Word(double value) : bits(std::bit_cast<uint64_t>(value)) {}
  uint64_t bits = 0;
};

struct Case {
  std::vector<Word> operands;  // up to 4
  Word result;
};

// The operands are in registers %a, %b, %c, %e of 32 bits, in %a16 to %e16 and %a64 to %e64; the predicates %pa to %pe
// say whether they are not zero. The result is to be put in one of %d, %d16, %d64 or the predicate %p.
struct Snippet {
  std::string_view ptx;
  std::vector<Case> cases;
};

// Runs all of them and compares bit by bit.
void check_snippets(const std::vector<Snippet>& snippets);

}  // namespace test
