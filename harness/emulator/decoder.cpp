#include "harness/emulator/decoder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "harness/emulator/control.hpp"

namespace wkv::emulator {

using syntax::Operand;
using syntax::Symbol;

Decoder::Decoder(const ModuleImage& module, const syntax::Function& syntax, Function& function)
    : module_(module), syntax_(syntax), function_(function) {}

void Decoder::decode() {
  lay_out();
  function_.ops.resize(syntax_.instructions.size() + 1);
  flows_.assign(function_.ops.size(), Flow::next);
  for (at_ = 0; at_ < syntax_.instructions.size(); ++at_) {
    instruction_ = &syntax_.instructions[at_];
    try {
      decode_one(function_.ops[at_]);
    } catch (const Error& error) {
      if (function_.unsupported.empty()) function_.unsupported = error.what();
    }
  }
  finish();
}

void Decoder::finish() {
  Op& last = function_.ops.back();
  last.run = function_.is_entry ? run_exit : run_return;
  last.instruction_class = InstructionClass::control;
  flows_.back() = Flow::leave;
  if (function_.unsupported.empty()) find_joins(function_.ops, flows_, function_.is_entry);
}

void Decoder::lay_out() {
  for (const Type type : syntax_.registers) registers_.push_back({type});
  const auto place_at = [&](uint32_t& top, const syntax::Variable& variable, uint32_t most, std::string_view kind) {
    const uint32_t begin = (top + variable.alignment - 1) / variable.alignment * variable.alignment;
    if (begin + variable.bytes > most) {
      function_.unsupported = fmt::format("{}: PTX line {}, in {}: more than {} bytes of {}", module_.name,
                                          syntax_.line, syntax_.name, most, kind);
      return Place{0, 0};
    }
    top = begin + static_cast<uint32_t>(variable.bytes);
    return Place{begin, static_cast<uint32_t>(variable.bytes)};
  };
  const auto add = [&](const syntax::Variable& variable) {
    return place_at(function_.parameter_bytes, variable, kMaxParameters, "parameters");
  };
  if (!syntax_.is_entry) {
    for (const auto& parameter : syntax_.parameters) {
      function_.parameters.push_back(parameters_[parameter.name] = add(parameter));
    }
    for (const auto& result : syntax_.returns) function_.results.push_back(parameters_[result.name] = add(result));
  }
  for (const syntax::Variable& variable : syntax_.variables) {
    variable_offsets_.push_back(0);
    if (variable.space == Space::param) {
      variable_offsets_.back() = add(variable).offset;
    } else if (variable.space == Space::local) {
      variable_offsets_.back() = place_at(function_.local_bytes, variable, kMaxLocal, "local memory").offset;
    }
  }
  function_.local_bytes = (function_.local_bytes + 15) / 16 * 16;
}

void Decoder::split_opcode(std::string_view opcode) {
  modifiers_.clear();
  while (!opcode.empty()) {
    const size_t dot = opcode.find('.');
    modifiers_.push_back(opcode.substr(0, dot));
    opcode.remove_prefix(dot == std::string_view::npos ? opcode.size() : dot + 1);
  }
}

DecodeFunction Decoder::find_decoder() const {
  const OpcodeTable& table = opcode_table();
  const auto look_up = [&](std::string_view suffix) {
    const auto found = table.find(std::string(modifiers_.front()) + std::string(suffix));
    return found == table.end() ? nullptr : found->second;
  };
  DecodeFunction decode = nullptr;
  for (const std::string_view modifier : modifiers_) {
    const auto type = type_named(modifier);
    if (modifier == "cc") decode = look_up(":cc");
    if (type && is_float(*type)) decode = look_up(":float");
    if (decode) return decode;
  }
  return look_up("");
}

void Decoder::decode_one(Op& op) {
  op.line = instruction_->line;
  op.location = instruction_->location;
  split_opcode(instruction_->opcode);
  const DecodeFunction decode = find_decoder();
  if (!decode) fail("unknown instruction");
  modifiers_.erase(modifiers_.begin());
  if (!instruction_->guard.empty()) {
    Operand guard;
    guard.text = instruction_->guard;
    op.guard = predicate(guard).frame_offset();
    op.guard_flip = instruction_->guard_negated ? kFull : 0;
  }
  decode(*this, op);
  if (!modifiers_.empty()) fail(fmt::format("\".{}\" is not covered here", modifiers_.front()));
}

void Decoder::fail(std::string_view why) const {
  throw Error(fmt::format("{}: PTX line {}, in {}: {}: {}", module_.name, instruction_->line, syntax_.name,
                          instruction_->opcode, why));
}

bool Decoder::take(std::string_view modifier) {
  const auto found = std::find(modifiers_.begin(), modifiers_.end(), modifier);
  if (found == modifiers_.end()) return false;
  modifiers_.erase(found);
  return true;
}

std::string_view Decoder::take_one_of(std::initializer_list<std::string_view> modifiers) {
  for (const std::string_view modifier : modifiers) {
    if (take(modifier)) return modifier;
  }
  fail(fmt::format("expected one of .{}", fmt::join(modifiers, ", .")));
}

bool Decoder::take_any_of(std::initializer_list<std::string_view> modifiers) {
  bool any = false;
  for (const std::string_view modifier : modifiers) any = take(modifier) || any;
  return any;
}

std::optional<Type> Decoder::maybe_take_type() {
  for (auto modifier = modifiers_.begin(); modifier != modifiers_.end(); ++modifier) {
    if (const auto type = type_named(*modifier)) {
      modifiers_.erase(modifier);
      return type;
    }
  }
  return std::nullopt;
}

Type Decoder::take_type() {
  const auto type = maybe_take_type();
  if (!type) fail("a type is missing");
  return *type;
}

std::string_view Decoder::peek_modifier() const { return modifiers_.empty() ? std::string_view() : modifiers_.front(); }

const Operand& Decoder::operand(size_t index) const {
  if (index >= instruction_->operands.size()) fail("an operand is missing");
  return instruction_->operands[index];
}

void Decoder::expect_operands(size_t from, size_t to) const {
  const size_t count = instruction_->operands.size();
  if (count < from || count > to) fail(fmt::format("{} operands are not covered", count));
}

uint32_t Decoder::allocate(uint32_t bytes) {
  // 32 lanes of it; a predicate is one word for all lanes. Rows begin at vector boundaries.
  constexpr uint32_t kAlignment = 64;
  const uint32_t offset = function_.frame_bytes;
  function_.frame_bytes += (bytes + kAlignment - 1) / kAlignment * kAlignment;
  return offset;
}

uint32_t Decoder::offset_of(Register& reg) {
  if (reg.offset == kNone) {
    reg.offset = allocate(reg.type == Type::pred ? sizeof(Mask) : register_bytes(reg.type) * kLanes);
  }
  return reg.offset;
}

Decoder::Register* Decoder::find_register(const Operand& operand) {
  if (operand.kind != Operand::Kind::name) return nullptr;
  const Symbol* symbol = find(operand.text);
  return symbol && symbol->kind == Symbol::Kind::reg ? &registers_[symbol->index] : nullptr;
}

uint32_t Decoder::register_size(const Operand& operand) {
  const Register* reg = find_register(operand);
  return reg ? register_bytes(reg->type) : 0;
}

bool Decoder::is_predicate(const Operand& operand) const {
  if (operand.kind != Operand::Kind::name) return false;
  const Symbol* symbol = find(operand.text);
  return symbol && symbol->kind == Symbol::Kind::reg && syntax_.registers[symbol->index] == Type::pred;
}

uint32_t Decoder::destination(const Operand& operand, uint32_t bytes) {
  if (operand.kind == Operand::Kind::name && operand.text == "_") return kNone;
  Register* reg = find_register(operand);
  if (!reg) fail(fmt::format("\"{}\" is no register", operand.text));
  if (reg->type == Type::pred || register_bytes(reg->type) != bytes) {
    fail(fmt::format("register \"{}\" does not have {} bits", operand.text, 8 * bytes));
  }
  return offset_of(*reg);
}

uint32_t Decoder::predicate_destination(const Operand& operand) {
  if (operand.kind == Operand::Kind::name && operand.text == "_") return kNone;
  Register* reg = find_register(operand);
  if (!reg || reg->type != Type::pred) fail(fmt::format("\"{}\" is no predicate register", operand.text));
  return offset_of(*reg);
}

Source Decoder::predicate(const Operand& operand) {
  if (const auto value = integer(operand)) return constant(*value ? ~uint64_t{0} : 0, sizeof(uint32_t));
  if (operand.text == "%is_explicit_cluster") return constant(0, sizeof(uint32_t));
  return Source::at_frame(predicate_destination(operand));
}

Source Decoder::constant(uint64_t bits, uint32_t bytes) {
  if (bytes < sizeof bits) bits &= (uint64_t{1} << (8 * bytes)) - 1;
  const auto [known, inserted] = function_.constants_by_value.try_emplace({bytes, bits}, nullptr);
  if (inserted) {
    Function::Constant& lanes = function_.constants.emplace_back();
    auto* to = reinterpret_cast<std::byte*>(lanes.lanes);
    for (uint32_t lane = 0; lane < kLanes; ++lane) std::memcpy(to + size_t{lane} * bytes, &bits, bytes);
    known->second = &lanes;
  }
  return Source::constant(known->second->lanes);
}

uint32_t Decoder::carry() {
  if (carry_ == kNone) carry_ = allocate(sizeof(Mask));
  return carry_;
}

std::optional<uint64_t> Decoder::integer(const Operand& operand) const {
  if (operand.kind == Operand::Kind::integer) return operand.bits;
  if (operand.kind == Operand::Kind::name && operand.text == "WARP_SZ") return kLanes;
  return std::nullopt;
}

uint64_t Decoder::literal(const Operand& operand, Type type) const {
  const bool single = operand.kind == Operand::Kind::real32;
  if (operand.kind == Operand::Kind::integer) {
    if (type == Type::f64) return std::bit_cast<uint64_t>(static_cast<double>(static_cast<int64_t>(operand.bits)));
    if (type == Type::f32) return std::bit_cast<uint32_t>(static_cast<float>(static_cast<int64_t>(operand.bits)));
    return operand.bits;
  }
  const auto bits = static_cast<uint32_t>(operand.bits);
  if (type == Type::f64 && single) return std::bit_cast<uint64_t>(double{std::bit_cast<float>(bits)});
  if (bytes_of(type) == 4 && !single) {
    return std::bit_cast<uint32_t>(static_cast<float>(std::bit_cast<double>(operand.bits)));
  }
  if (bytes_of(type) < 4) fail("a floating-point literal for a 16-bit operand");
  return operand.bits;
}

Source Decoder::source(const Operand& operand, Type type) {
  const uint32_t bytes = register_bytes(type);
  switch (operand.kind) {
    case Operand::Kind::integer:
    case Operand::Kind::real32:
    case Operand::Kind::real64:
      return constant(literal(operand, type), bytes);
    case Operand::Kind::name:
      break;
    default:
      fail("a vector or an address stands where a value is expected");
  }
  if (operand.negated || operand.minus) fail("a negated register");
  if (Register* reg = find_register(operand)) {
    if (reg->type == Type::pred || register_bytes(reg->type) != bytes) {
      fail(fmt::format("register \"{}\" does not have {} bits", operand.text, 8 * bytes));
    }
    return Source::at_frame(offset_of(*reg));
  }
  if (const auto value = integer(operand)) return constant(*value, bytes);
  if (const auto value = special(operand.text, bytes)) return *value;
  if (const auto value = symbol_address(operand.text, operand.offset, bytes)) return *value;
  fail(fmt::format("\"{}\" is not declared", operand.text));
}

void Decoder::address(const Operand& operand, Op& op, size_t index) {
  if (operand.kind != Operand::Kind::address || !operand.parts.empty()) fail("expected an address in brackets");
  op.address_bytes = 8;
  op.immediate = operand.offset;
  if (operand.text.empty()) {
    op.src[index] = constant(0, 8);
    return;
  }
  Operand base;
  base.text = operand.text;
  if (const uint32_t bytes = register_size(base)) {
    if (bytes < 4) fail("a 16-bit address");
    op.address_bytes = static_cast<uint8_t>(bytes);
    op.src[index] = source(base, bytes == 4 ? Type::b32 : Type::b64);
    return;
  }
  const auto symbol = symbol_address(operand.text, 0, 8);
  if (!symbol) fail(fmt::format("\"{}\" is not declared", operand.text));
  op.src[index] = *symbol;
}

void Decoder::destination_list(Op& op, std::vector<uint32_t> list) {
  const auto& kept = function_.dst_lists.emplace_back(std::move(list));
  op.dst_list = kept.data();
  op.dst_count = static_cast<uint16_t>(kept.size());
}

void Decoder::source_list(Op& op, std::vector<Source> list) {
  const auto& kept = function_.src_lists.emplace_back(std::move(list));
  op.src_list = kept.data();
  op.src_count = static_cast<uint16_t>(kept.size());
}

uint32_t Decoder::label(std::string_view name) const {
  const Symbol* symbol = find(name);
  if (!symbol || symbol->kind != Symbol::Kind::label) fail(fmt::format("\"{}\" is no label", name));
  return symbol->index;
}

void Decoder::note_shared(uint32_t bytes) { function_.shared_granule = std::min(function_.shared_granule, bytes); }

}  // namespace wkv::emulator
