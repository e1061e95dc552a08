#include "harness/emulator/parser.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace wkv::emulator {

using syntax::Function;
using syntax::Variable;

namespace {

// Far beyond what a device has, so that sums of sizes and the stack hold whatever the text says.
constexpr uint32_t kMaxNesting = 200;
constexpr uint32_t kMaxAlignment = 64 * 1024;
constexpr uint64_t kMaxGlobal = uint64_t{1} << 32;  // bytes of a variable
constexpr uint64_t kMaxOther = uint64_t{1} << 24;   // of one that is not in global memory

std::optional<Space> space_of(std::string_view directive) {
  if (directive == ".global") return Space::global;
  if (directive == ".const") return Space::constant;
  if (directive == ".shared") return Space::shared;
  if (directive == ".local") return Space::local;
  if (directive == ".param") return Space::param;
  return std::nullopt;
}

}  // namespace

syntax::Module parse_ptx(std::string_view text, std::string_view name) { return Parser(text, name).module(); }

syntax::Module Parser::module() {
  while (lexer_.peek().kind != Token::Kind::end) directive();
  return std::move(module_);
}

void Parser::directive() {
  bool is_extern = false;
  for (;;) {
    if (lexer_.accept(".extern")) {
      is_extern = true;
    } else if (!lexer_.accept(".visible") && !lexer_.accept(".weak") && !lexer_.accept(".common")) {
      break;
    }
  }
  const Token token = lexer_.next();
  if (token.is(".version") || token.is(".address_size")) {
    const Token number = lexer_.next();
    if (token.is(".address_size") && number.value != 64)
      lexer_.fail_at(token.line, "only 64-bit addresses are covered");
  } else if (token.is(".target")) {
    module_.target = lexer_.word();
    while (lexer_.accept(",")) module_.is_debug |= lexer_.word() == "debug";
  } else if (token.is(".file")) {
    file();
  } else if (token.is(".section")) {
    section();
  } else if (token.is(".entry") || token.is(".func")) {
    function(token.is(".entry"));
  } else if (token.is(".pragma") || token.is(".alias")) {
    skip_past(";");
  } else if (token.is(".loc")) {
    location();
  } else if (const auto space = space_of(token.text); space && token.kind == Token::Kind::word) {
    for (Variable& variable : variables(*space, is_extern)) module_.variables.push_back(std::move(variable));
  } else if (!token.is(";")) {
    lexer_.fail_at(token.line, fmt::format("unknown directive \"{}\"", token.text));
  }
}

void Parser::file() {
  const uint64_t index = lexer_.integer();
  const Token name = lexer_.next();
  if (name.kind != Token::Kind::string) lexer_.fail("expected a file name");
  module_.files[static_cast<uint32_t>(index)] = name.text;
  while (lexer_.accept(",")) lexer_.integer();
}

Parser::Nesting::Nesting(Parser& parser) : parser_(parser) {
  if (++parser_.depth_ > kMaxNesting) parser_.lexer_.fail("nested too deeply");
}

void Parser::skip_past(std::string_view symbol) {
  while (!lexer_.accept(symbol)) {
    if (lexer_.next().kind == Token::Kind::end) lexer_.fail(fmt::format("expected \"{}\"", symbol));
  }
}

// Debug information in DWARF; .loc has what is needed.
void Parser::section() {
  lexer_.word();
  skip_balanced("{", "}");
}

void Parser::skip_balanced(std::string_view open, std::string_view close) {
  lexer_.expect(open);
  for (int depth = 1; depth > 0;) {
    const Token token = lexer_.next();
    if (token.kind == Token::Kind::end) lexer_.fail(fmt::format("expected \"{}\"", close));
    depth += token.is(open);
    depth -= token.is(close);
  }
}

void Parser::function(bool is_entry) {
  Function function;
  function.is_entry = is_entry;
  function.line = lexer_.peek().line;
  if (lexer_.accept(".attribute")) skip_balanced("(", ")");
  if (lexer_.peek().is("(")) function.returns = parameters();
  function.name = lexer_.word();
  if (lexer_.peek().is("(")) function.parameters = parameters();
  function_attributes(function);
  if (!lexer_.accept(";")) {
    function.has_body = true;
    body(function);
  }
  keep(std::move(function));
}

void Parser::function_attributes(Function& function) {
  for (;;) {
    const Token& token = lexer_.peek();
    if (token.is("{") || token.is(";")) return;
    const std::string_view name = lexer_.word();
    if (name == ".maxntid" || name == ".reqntid") {
      auto& block = name == ".maxntid" ? function.max_block : function.required_block;
      block = {static_cast<uint32_t>(lexer_.integer()), 1, 1};
      for (size_t i = 1; i < 3 && lexer_.accept(","); ++i) block[i] = static_cast<uint32_t>(lexer_.integer());
    } else if (name == ".pragma" || name == ".attribute") {
      while (!lexer_.accept(";") && !lexer_.accept(")")) {
        if (lexer_.next().kind == Token::Kind::end) lexer_.fail("expected \";\"");
      }
    } else if (name.starts_with(
                   ".")) {  // .minnctapersm, .maxnreg, .noreturn, .unique ... do not change what is computed
      while (lexer_.peek().kind == Token::Kind::integer || lexer_.peek().is(",")) lexer_.next();
    } else {
      lexer_.fail("expected a function's attribute, \"{\" or \";\"");
    }
  }
}

void Parser::keep(Function function) {
  const auto [known, is_new] = function_index_.emplace(function.name, module_.functions.size());
  if (is_new) {
    module_.functions.push_back(std::move(function));
  } else if (function.has_body) {
    Function& declaration = module_.functions[known->second];
    if (declaration.has_body) lexer_.fail_at(function.line, fmt::format("\"{}\" is defined twice", function.name));
    declaration = std::move(function);
  }
}

std::vector<Variable> Parser::parameters() {
  std::vector<Variable> list;
  lexer_.expect("(");
  while (!lexer_.accept(")")) {
    list.push_back(parameter());
    if (!lexer_.peek().is(")")) lexer_.expect(",");
  }
  return list;
}

Variable Parser::parameter() {
  Variable variable;
  const std::string_view kind = lexer_.word();
  if (kind != ".param" && kind != ".reg") lexer_.fail("expected .param");
  variable.space = Space::param;
  variable_type(variable);
  if (lexer_.accept(".ptr")) {
    for (const std::string_view space : {".global", ".shared", ".const", ".local", ".generic"}) lexer_.accept(space);
    if (lexer_.accept(".align")) lexer_.integer();
  }
  variable.name = lexer_.word();
  dimensions(variable, false);
  return variable;
}

// Alignment, vector width and type; bytes is that of one element.
void Parser::variable_type(Variable& variable) {
  uint32_t vector = 1, alignment = 0;
  for (;;) {
    const Token token = lexer_.next();
    if (token.is(".align")) {
      alignment = static_cast<uint32_t>(lexer_.integer());
      if (alignment == 0 || (alignment & (alignment - 1)) || alignment > kMaxAlignment)
        lexer_.fail_at(token.line, "alignment is not a power of two, or too large");
    } else if (token.is(".v2")) {
      vector = 2;
    } else if (token.is(".v4")) {
      vector = 4;
    } else if (token.is(".attribute")) {
      skip_balanced("(", ")");
    } else {
      const auto type = token.kind == Token::Kind::word && token.text.starts_with(".")
                            ? type_named(token.text.substr(1))
                            : std::nullopt;
      if (!type) lexer_.fail_at(token.line, fmt::format("expected a type, found \"{}\"", token.text));
      variable.type = *type;
      break;
    }
  }
  variable.bytes = uint64_t{bytes_of(variable.type)} * vector;
  variable.alignment = alignment ? alignment : std::max<uint32_t>(1, static_cast<uint32_t>(variable.bytes));
}

void Parser::dimensions(Variable& variable, bool may_be_open) {
  bool open = false;
  while (lexer_.accept("[")) {
    if (lexer_.accept("]")) {
      open = true;
      continue;
    }
    if (__builtin_mul_overflow(variable.bytes, lexer_.integer(), &variable.bytes)) lexer_.fail("too many elements");
    lexer_.expect("]");
  }
  const bool in_memory = variable.space == Space::global || variable.space == Space::constant;
  const uint64_t most = in_memory ? kMaxGlobal : kMaxOther;
  if (variable.bytes > most) {
    lexer_.fail(fmt::format("\"{}\" has {} bytes, more than {}", variable.name, variable.bytes, most));
  }
  if (open && !may_be_open) lexer_.fail("a size is missing");
  if (open) variable.bytes = 0;
}

std::vector<Variable> Parser::variables(Space space, bool is_extern) {
  std::vector<Variable> list;
  Variable common;
  common.space = space;
  common.is_extern = is_extern;
  variable_type(common);
  do {
    Variable variable = common;
    variable.name = lexer_.word();
    const uint64_t element = std::max<uint64_t>(1, variable.bytes);
    dimensions(variable, true);
    if (lexer_.accept("=")) {
      const bool open = variable.bytes == 0;
      initialiser(variable);
      if (open && !variable.initialisers.empty()) {
        variable.bytes = variable.initialisers.back().offset + variable.initialisers.back().bytes;
        variable.bytes = (variable.bytes + element - 1) / element * element;
      }
    }
    list.push_back(std::move(variable));
  } while (lexer_.accept(","));
  lexer_.expect(";");
  return list;
}

void Parser::initialiser(Variable& variable) {
  uint64_t offset = 0;
  initial_value(variable, offset);
}

// A value or a braced list of them, each of the variable's type: number, symbol, symbol+number, generic(symbol)+number,
// or mask(symbol) in a .b8 array, which is one byte of the address.
void Parser::initial_value(Variable& variable, uint64_t& offset) {
  const Nesting nesting(*this);
  if (lexer_.accept("{")) {
    while (!lexer_.accept("}")) {
      initial_value(variable, offset);
      if (!lexer_.peek().is("}")) lexer_.expect(",");
    }
    return;
  }
  syntax::Initialiser value;
  value.offset = offset;
  value.bytes = bytes_of(variable.type);
  const bool minus = lexer_.accept("-");
  const Token token = lexer_.next();
  if (token.kind == Token::Kind::word) {
    value.symbol = token.text;
    if (token.is("generic")) {
      lexer_.expect("(");
      value.symbol = lexer_.word();
      if (lexer_.accept("+")) value.value += lexer_.integer();
      lexer_.expect(")");
    }
    if (lexer_.accept("+")) value.value += lexer_.integer();
    if (lexer_.accept("-")) value.value -= lexer_.integer();
  } else if (token.kind == Token::Kind::real64 && variable.type == Type::f32) {
    value.value = std::bit_cast<uint32_t>(static_cast<float>(std::bit_cast<double>(token.value)));
  } else if (token.kind == Token::Kind::symbol || token.kind == Token::Kind::string) {
    lexer_.fail_at(token.line, fmt::format("expected an initial value, found \"{}\"", token.text));
  } else if (lexer_.peek().is("(")) {
    lexer_.fail_at(token.line, "initial values that are single bytes of an address are not covered");
  } else {
    value.value = minus ? -token.value : token.value;
  }
  offset += value.bytes;
  variable.initialisers.push_back(value);
}

}  // namespace wkv::emulator
