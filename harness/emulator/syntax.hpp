// A PTX module as the parser leaves it: names are text still, looked up by scope.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "harness/emulator/types.hpp"

namespace wkv::emulator::syntax {

struct Operand {
  enum class Kind {
    name,     // register, special register, variable, label or function, in text
    integer,  // bits
    real32,   // bits
    real64,   // bits
    vector,   // {parts}
    address,  // [text + offset] or [offset]; more than one part where the bracket has commas
    list,     // (parts), of a call
    pair,     // first|second
  };
  Kind kind = Kind::name;
  bool negated = false;  // !predicate
  bool minus = false;    // -register, in some instructions
  std::string_view text;
  uint64_t bits = 0;
  int64_t offset = 0;
  std::vector<Operand> parts;
};

struct Location {
  uint32_t file = 0, line = 0;  // 0: none
};

struct Instruction {
  uint32_t line = 0;
  Location location;
  uint32_t scope = 0;
  std::string_view guard;  // predicate register or empty
  bool guard_negated = false;
  std::string_view opcode;  // with modifiers
  std::vector<Operand> operands;
};

struct Initialiser {
  uint64_t offset = 0;
  uint32_t bytes = 0;
  uint64_t value = 0;  // added to the address of the symbol, where there is one
  std::string_view symbol;
};

struct Variable {
  Space space = Space::global;
  std::string_view name;
  Type type = Type::b8;
  uint64_t bytes = 0;  // 0: extern with open size
  uint32_t alignment = 1;
  bool is_extern = false;
  std::vector<Initialiser> initialisers;
};

struct Symbol {
  enum class Kind { reg, variable, label, targets, prototype };
  Kind kind;
  uint32_t index;  // into the function's registers, variables, targets or prototypes; label: instruction
};

struct NameHash {
  using is_transparent = void;
  size_t operator()(std::string_view name) const { return std::hash<std::string_view>()(name); }
};

struct Scope {
  uint32_t parent = 0;  // the outermost is its own
  std::unordered_map<std::string, Symbol, NameHash, std::equal_to<>> names;
};

struct Prototype {
  std::vector<Variable> returns, parameters;
};

struct Function {
  std::string name;
  uint32_t line = 0;
  bool is_entry = false, has_body = false;
  std::vector<Variable> returns, parameters;
  std::array<uint32_t, 3> max_block{}, required_block{};
  std::vector<Scope> scopes;
  std::vector<Type> registers;
  std::vector<Variable> variables;                     // local, shared and param ones of the body
  std::vector<std::vector<std::string_view>> targets;  // of .branchtargets
  std::vector<Prototype> prototypes;
  std::vector<Instruction> instructions;

  const Symbol* find(uint32_t scope, std::string_view name) const;
};

struct Module {
  std::string target;     // "sm_80"
  bool is_debug = false;  // as nvcc -G makes it
  std::map<uint32_t, std::string> files;
  std::vector<Variable> variables;  // global, const and shared ones outside functions
  std::vector<Function> functions;  // a declaration is dropped where there is a definition
};

}  // namespace wkv::emulator::syntax
