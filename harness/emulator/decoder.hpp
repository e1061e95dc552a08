// Turns a function's instructions into operations. decode_*.cpp have a decoding function for each opcode, which takes
// the instruction's modifiers one by one, resolves its operands and picks the handler; what it does not take makes the
// instruction one that is not covered.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "harness/emulator/context.hpp"
#include "harness/emulator/program.hpp"
#include "harness/emulator/syntax.hpp"

namespace wkv::emulator {

class Decoder;
using DecodeFunction = void (*)(Decoder&, Op&);
// By the opcode without modifiers. "add:float" is looked up before "add" where a modifier is a floating-point type, and
// "add:cc" where one is .cc.
using OpcodeTable = std::unordered_map<std::string, DecodeFunction>;
const OpcodeTable& opcode_table();

// How control goes on behind an operation.
enum class Flow : uint8_t { next, branch, branch_many, leave };

class Decoder {
 public:
  Decoder(const ModuleImage& module, const syntax::Function& syntax, Function& function);
  void decode();

  // The present instruction. The opcode's parts are its modifiers; each must be taken.
  bool take(std::string_view modifier);
  std::string_view take_one_of(std::initializer_list<std::string_view> modifiers);  // fails if none is there
  bool take_any_of(std::initializer_list<std::string_view> modifiers);
  Type take_type();  // the first that is left
  std::optional<Type> maybe_take_type();
  std::string_view peek_modifier() const;  // the first that is left, or empty
  const std::vector<syntax::Operand>& operands() const { return instruction_->operands; }
  const syntax::Operand& operand(size_t index) const;
  void expect_operands(size_t from, size_t to) const;
  [[noreturn]] void fail(std::string_view why) const;  // the instruction is not covered
  const syntax::Function& syntax() const { return syntax_; }
  Function& function() { return function_; }
  const ModuleImage& module() const { return module_; }
  uint32_t scope() const { return instruction_->scope; }

  // Registers to write. kNone for the sink "_". Bytes are those of the register: 2, 4, 8; 4 for predicates.
  uint32_t destination(const syntax::Operand& operand, uint32_t bytes);
  uint32_t destination(const syntax::Operand& operand, Type type) { return destination(operand, register_bytes(type)); }
  uint32_t predicate_destination(const syntax::Operand& operand);
  // Registers, constants, special registers, addresses of variables.
  Source source(const syntax::Operand& operand, Type type);
  Source predicate(const syntax::Operand& operand);        // without its negation, which is operand.negated
  Source constant(uint64_t bits, uint32_t bytes);          // the same in all lanes
  uint32_t register_size(const syntax::Operand& operand);  // 0 if it is none
  uint32_t carry();                                        // the hidden predicate of add.cc and its like
  bool is_predicate(const syntax::Operand& operand) const;
  static uint32_t register_bytes(Type type) { return type == Type::pred ? 4 : std::max(2u, bytes_of(type)); }
  // An address operand: base to src[index], offset to immediate.
  void address(const syntax::Operand& operand, Op& op, size_t index = 0);
  std::optional<uint64_t> integer(const syntax::Operand& operand) const;  // a literal
  void destination_list(Op& op, std::vector<uint32_t> list);
  void source_list(Op& op, std::vector<Source> list);

  // Control flow.
  uint32_t label(std::string_view name) const;
  void set_flow(Flow flow) { flows_[at_] = flow; }
  uint32_t end() const { return static_cast<uint32_t>(syntax_.instructions.size()); }
  std::optional<Place> parameter_place(std::string_view name) const;  // in the function's parameter area
  std::optional<uint32_t> function_named(std::string_view name) const;
  // A shared memory access of that many bytes may happen.
  void note_shared(uint32_t bytes);

 private:
  struct Register {
    Type type;
    uint32_t offset = kNone;
  };

  void lay_out();
  void decode_one(Op& op);
  void split_opcode(std::string_view opcode);
  DecodeFunction find_decoder() const;
  void finish();
  const syntax::Symbol* find(std::string_view name) const { return syntax_.find(instruction_->scope, name); }
  Register* find_register(const syntax::Operand& operand);
  uint32_t offset_of(Register& reg);
  uint32_t allocate(uint32_t bytes);
  std::optional<Source> special(std::string_view name, uint32_t bytes);
  Source special_source(Special kind, uint32_t index, uint32_t bytes, int64_t addend);
  std::optional<Source> symbol_address(std::string_view name, int64_t addend, uint32_t bytes);
  uint64_t literal(const syntax::Operand& operand, Type type) const;

  const ModuleImage& module_;
  const syntax::Function& syntax_;
  Function& function_;
  std::vector<Register> registers_;
  std::unordered_map<std::string_view, Place> parameters_;  // parameters, results and .param variables
  std::vector<uint32_t> variable_offsets_;                  // of the body's variables, in their space
  std::vector<Flow> flows_;

  uint32_t carry_ = kNone;

  uint32_t at_ = 0;
  const syntax::Instruction* instruction_ = nullptr;
  std::vector<std::string_view> modifiers_;
};

// Finds for each branch where its ways meet again; flows are those of the operations.
void find_joins(std::vector<Op>& ops, const std::vector<Flow>& flows, bool is_entry);

}  // namespace wkv::emulator
