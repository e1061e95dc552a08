#include <fmt/format.h>

#include "harness/emulator/parser.hpp"

namespace wkv::emulator {

using syntax::Function;
using syntax::Operand;
using syntax::Symbol;

const Symbol* Function::find(uint32_t scope, std::string_view name) const {
  for (;;) {
    const auto found = scopes[scope].names.find(name);
    if (found != scopes[scope].names.end()) return &found->second;
    if (scopes[scope].parent == scope) return nullptr;
    scope = scopes[scope].parent;
  }
}

// Registers of a function.
static constexpr size_t kMaxRegisters = 1'000'000;

void Parser::body(Function& function) {
  scope_ = 0;
  location_ = {};
  function.scopes.emplace_back();
  lexer_.expect("{");
  while (!lexer_.accept("}")) statement(function);
}

void Parser::statement(Function& function) {
  const Nesting nesting(*this);
  const Token token = lexer_.peek();
  if (token.kind == Token::Kind::end) lexer_.fail("expected \"}\"");
  if (lexer_.accept(";")) return;
  if (lexer_.accept("{")) {
    const uint32_t outer = scope_;
    scope_ = static_cast<uint32_t>(function.scopes.size());
    function.scopes.push_back({.parent = outer, .names = {}});
    while (!lexer_.accept("}")) statement(function);
    scope_ = outer;
  } else if (lexer_.accept(".reg")) {
    registers(function);
  } else if (lexer_.accept(".loc")) {
    location();
  } else if (lexer_.accept(".pragma")) {
    skip_past(";");
  } else if (token.is(".local") || token.is(".shared") || token.is(".param") || token.is(".global") ||
             token.is(".const")) {
    lexer_.next();
    const Space space = token.is(".local")    ? Space::local
                        : token.is(".shared") ? Space::shared
                        : token.is(".param")  ? Space::param
                        : token.is(".global") ? Space::global
                                              : Space::constant;
    for (syntax::Variable& variable : variables(space, false)) {
      declare(function, variable.name, {Symbol::Kind::variable, static_cast<uint32_t>(function.variables.size())});
      function.variables.push_back(std::move(variable));
    }
  } else if (token.kind == Token::Kind::word && !token.text.starts_with(".")) {
    const std::string_view word = lexer_.word();
    if (lexer_.accept(":")) return labelled(function, word);
    function.instructions.push_back(
        {.line = token.line, .location = location_, .scope = scope_, .guard = {}, .opcode = word, .operands = {}});
    instruction(function);
  } else if (token.is("@")) {
    lexer_.next();
    const bool negated = lexer_.accept("!");
    const std::string_view guard = lexer_.word();
    function.instructions.push_back({.line = lexer_.peek().line,
                                     .location = location_,
                                     .scope = scope_,
                                     .guard = guard,
                                     .guard_negated = negated,
                                     .opcode = {},
                                     .operands = {}});
    function.instructions.back().opcode = lexer_.word();
    instruction(function);
  } else {
    lexer_.fail("expected a statement");
  }
}

void Parser::declare(Function& function, std::string_view name, Symbol symbol) {
  if (!function.scopes[scope_].names.emplace(std::string(name), symbol).second) {
    lexer_.fail_at(lexer_.peek().line, fmt::format("\"{}\" is declared twice", name));
  }
}

void Parser::registers(Function& function) {
  syntax::Variable variable;
  variable_type(variable);
  if (variable.bytes > bytes_of(variable.type)) lexer_.fail("vector registers are not covered");
  do {
    const std::string_view name = lexer_.word();
    const auto add = [&](std::string_view full_name) {
      declare(function, full_name, {Symbol::Kind::reg, static_cast<uint32_t>(function.registers.size())});
      function.registers.push_back(variable.type);
    };
    if (lexer_.accept("<")) {
      const uint64_t count = lexer_.integer();
      if (count > kMaxRegisters - std::min(kMaxRegisters, function.registers.size())) {
        lexer_.fail("too many registers");
      }
      for (uint64_t i = 0; i < count; ++i) add(fmt::format("{}{}", name, i));
      lexer_.expect(">");
    } else {
      add(name);
    }
  } while (lexer_.accept(","));
  lexer_.expect(";");
}

// .loc file line column [, function_name label [+ offset], inlined_at file line column]
void Parser::location() {
  location_.file = static_cast<uint32_t>(lexer_.integer());
  location_.line = static_cast<uint32_t>(lexer_.integer());
  lexer_.integer();
  while (lexer_.accept(",")) {
    const std::string_view what = lexer_.word();
    if (what == "function_name") {
      lexer_.word();
      if (lexer_.accept("+")) lexer_.integer();
    } else if (what == "inlined_at") {
      for (int i = 0; i < 3; ++i) lexer_.integer();
    } else {
      lexer_.fail("expected function_name or inlined_at");
    }
  }
}

void Parser::labelled(Function& function, std::string_view label) {
  if (lexer_.accept(".branchtargets") || lexer_.accept(".calltargets")) {
    std::vector<std::string_view> targets;
    do targets.push_back(lexer_.word());
    while (lexer_.accept(","));
    lexer_.expect(";");
    declare(function, label, {Symbol::Kind::targets, static_cast<uint32_t>(function.targets.size())});
    function.targets.push_back(std::move(targets));
  } else if (lexer_.accept(".callprototype")) {
    syntax::Prototype prototype;
    if (lexer_.peek().is("(")) prototype.returns = parameters();
    lexer_.word();  // a placeholder for the name
    if (lexer_.peek().is("(")) prototype.parameters = parameters();
    skip_past(";");
    declare(function, label, {Symbol::Kind::prototype, static_cast<uint32_t>(function.prototypes.size())});
    function.prototypes.push_back(std::move(prototype));
  } else {
    declare(function, label, {Symbol::Kind::label, static_cast<uint32_t>(function.instructions.size())});
  }
}

void Parser::instruction(Function& function) {
  std::vector<Operand> operands;
  if (!lexer_.accept(";")) {
    do operands.push_back(operand());
    while (lexer_.accept(","));
    lexer_.expect(";");
  }
  function.instructions.back().operands = std::move(operands);
}

Operand Parser::operand() {
  const Nesting nesting(*this);
  if (lexer_.accept("{")) return group("}", Operand::Kind::vector);
  if (lexer_.accept("(")) return group(")", Operand::Kind::list);
  if (lexer_.peek().is("[")) return address();
  Operand first = simple_operand();
  if (!lexer_.accept("|")) return first;
  Operand pair;
  pair.kind = Operand::Kind::pair;
  pair.parts.push_back(std::move(first));
  pair.parts.push_back(simple_operand());
  return pair;
}

Operand Parser::group(std::string_view close, Operand::Kind kind) {
  Operand operand;
  operand.kind = kind;
  while (!lexer_.accept(close)) {
    operand.parts.push_back(this->operand());
    if (!lexer_.peek().is(close)) lexer_.expect(",");
  }
  return operand;
}

Operand Parser::simple_operand() {
  Operand operand;
  operand.negated = lexer_.accept("!");
  operand.minus = lexer_.accept("-");
  const Token token = lexer_.next();
  switch (token.kind) {
    case Token::Kind::word:
      operand.text = token.text;
      if (lexer_.accept("+")) operand.offset = static_cast<int64_t>(lexer_.integer());  // variable + offset
      break;
    case Token::Kind::integer:
      operand.kind = Operand::Kind::integer;
      operand.bits = operand.minus ? -token.value : token.value;
      operand.minus = false;
      break;
    case Token::Kind::real32:
      operand.kind = Operand::Kind::real32;
      operand.bits = operand.minus ? token.value ^ 0x8000'0000u : token.value;
      operand.minus = false;
      break;
    case Token::Kind::real64:
      operand.kind = Operand::Kind::real64;
      operand.bits = operand.minus ? token.value ^ (uint64_t{1} << 63) : token.value;
      operand.minus = false;
      break;
    default:
      lexer_.fail_at(token.line, fmt::format("expected an operand, found \"{}\"", token.text));
  }
  return operand;
}

Operand Parser::address() {
  Operand operand;
  operand.kind = Operand::Kind::address;
  lexer_.expect("[");
  if (lexer_.peek().kind == Token::Kind::integer || lexer_.peek().is("-")) {
    operand.offset = static_cast<int64_t>(lexer_.integer());
  } else {
    operand.text = lexer_.word();
  }
  for (;;) {
    if (lexer_.accept("+")) {
      operand.offset += static_cast<int64_t>(lexer_.integer());
    } else if (lexer_.accept("-")) {
      operand.offset -= static_cast<int64_t>(lexer_.integer());
    } else if (lexer_.accept(",")) {  // tensor coordinates
      operand.parts.push_back(this->operand());
    } else {
      break;
    }
  }
  lexer_.expect("]");
  return operand;
}

}  // namespace wkv::emulator
