// PTX text to syntax::Module.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

#include "harness/emulator/lexer.hpp"
#include "harness/emulator/syntax.hpp"

namespace wkv::emulator {

// The module's views point into the text. Throws Error with the line on a syntax error.
syntax::Module parse_ptx(std::string_view text, std::string_view name);

class Parser {
 public:
  Parser(std::string_view text, std::string_view name) : lexer_(text, name) {}
  syntax::Module module();

 private:
  // Held while something is read that may contain its like; too many of them would use up the stack.
  class Nesting {
   public:
    explicit Nesting(Parser& parser);
    ~Nesting() { --parser_.depth_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    Parser& parser_;
  };

  // parser.cpp: what stands outside functions, and declarations
  void directive();
  void file();
  void section();
  void function(bool is_entry);
  void function_attributes(syntax::Function& function);
  void keep(syntax::Function function);
  std::vector<syntax::Variable> parameters();
  syntax::Variable parameter();
  std::vector<syntax::Variable> variables(Space space, bool is_extern);
  void variable_type(syntax::Variable& variable);
  void dimensions(syntax::Variable& variable, bool may_be_open);
  void initialiser(syntax::Variable& variable);
  void initial_value(syntax::Variable& variable, uint64_t& offset);
  void skip_past(std::string_view symbol);
  void skip_balanced(std::string_view open, std::string_view close);

  // parser_body.cpp: statements
  void body(syntax::Function& function);
  void statement(syntax::Function& function);
  void registers(syntax::Function& function);
  void location();
  void declare(syntax::Function& function, std::string_view name, syntax::Symbol symbol);
  void labelled(syntax::Function& function, std::string_view label);
  void instruction(syntax::Function& function);
  syntax::Operand operand();
  syntax::Operand simple_operand();
  syntax::Operand address();
  syntax::Operand group(std::string_view close, syntax::Operand::Kind kind);

  Lexer lexer_;
  syntax::Module module_;
  syntax::Location location_;
  std::unordered_map<std::string, size_t> function_index_;
  uint32_t scope_ = 0, depth_ = 0;
};

}  // namespace wkv::emulator
