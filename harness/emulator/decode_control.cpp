// Branches, calls, the end of threads.
#include <fmt/format.h>

#include "harness/emulator/block.hpp"
#include "harness/emulator/builtin_functions.hpp"
#include "harness/emulator/control.hpp"
#include "harness/emulator/opcodes.hpp"
#include "harness/emulator/operands.hpp"

namespace wkv::emulator {

void run_exit(Context& context, const Op&, Mask lanes) { context.warp->exit(context, lanes); }
void run_return(Context& context, const Op&, Mask) { context.warp->return_to_caller(context); }

namespace {

using Kind = syntax::Operand::Kind;

void run_branch(Context& context, const Op& op, Mask lanes) {
  ++context.counters->branches;
  context.warp->branch(context, lanes, op.target, op.join);
}
void run_jump_to_return(Context& context, const Op& op, Mask lanes) {
  context.warp->branch(context, lanes, op.target, op.join);
}

void decode_bra(Decoder& d, Op& op) {
  d.take("uni");
  d.expect_operands(1, 1);
  op.instruction_class = InstructionClass::control;
  op.target = d.label(d.operand(0).text);
  op.run = run_branch;
  d.set_flow(Flow::branch);
}

// Lanes with the first lane's target go there; the others come to this instruction again.
void run_branch_many(Context& context, const Op& op, Mask lanes) {
  if (!lanes) return;
  ++context.counters->branches;
  const auto* index = values_of<uint32_t>(context, op.src[0]);
  const uint32_t first = index[first_lane(lanes)];
  if (first >= op.dst_count) {
    context.report(FindingKind::invalid_operation, op, lanes, first_lane(lanes), 0,
                   [&] { return fmt::format("branch to entry {} of a table of {}", first, op.dst_count); });
    return context.abort();
  }
  Mask same = 0;
  for_each_lane(lanes, [&](uint32_t lane) { same |= Mask{index[lane] == first} << lane; });
  if (lanes != same) context.warp->split(context, context.pc - 1, lanes & ~same, op.join);
  context.warp->branch(context, same, op.dst_list[first], op.join);
}

void decode_brx(Decoder& d, Op& op) {
  d.take("uni");
  if (!d.take("idx")) d.fail("only .idx is covered");
  d.expect_operands(2, 2);
  op.instruction_class = InstructionClass::control;
  op.src[0] = d.source(d.operand(0), Type::u32);
  const syntax::Symbol* targets = d.syntax().find(d.scope(), d.operand(1).text);
  if (!targets || targets->kind != syntax::Symbol::Kind::targets) d.fail("the targets are not declared");
  std::vector<uint32_t> list;
  for (const auto& label : d.syntax().targets[targets->index]) list.push_back(d.label(label));
  d.destination_list(op, std::move(list));
  op.run = run_branch_many;
  d.set_flow(Flow::branch_many);
}

void run_call(Context& context, const Op& op, Mask lanes) {
  context.warp->call(context, op, static_cast<uint32_t>(op.immediate), lanes);
}

// As run_branch_many.
void run_call_pointer(Context& context, const Op& op, Mask lanes) {
  if (!lanes) return;
  const auto* pointer = values_of<uint64_t>(context, op.src[0]);
  const uint64_t first = pointer[first_lane(lanes)];
  Mask same = 0;
  for_each_lane(lanes, [&](uint32_t lane) { same |= Mask{pointer[lane] == first} << lane; });
  const auto& functions = context.grid->module->functions;
  const uint64_t index = (first - kFunctionWindow) / 16;
  if (first < kFunctionWindow || first % 16 || index >= functions.size() || !functions[index]->has_body ||
      functions[index]->is_entry) {
    context.report(FindingKind::invalid_operation, op, same, first_lane(same), first,
                   [&] { return fmt::format("call of {:#x}, which is no function", first); });
    return context.abort();
  }
  if (lanes != same) context.warp->split(context, context.pc - 1, lanes & ~same, context.pc);
  context.warp->call(context, op, static_cast<uint32_t>(index), same);
}

void decode_call(Decoder& d, Op& op) {
  d.take("uni");
  op.instruction_class = InstructionClass::control;
  CallSite site;
  const auto places_of = [&](const syntax::Operand& list) {
    std::vector<Place> places;
    for (const auto& part : list.parts) {
      const auto place = d.parameter_place(part.text);
      if (!place) d.fail("an argument is no .param variable");
      places.push_back(*place);
    }
    return places;
  };
  size_t at = 0;
  if (d.operand(at).kind == Kind::list) site.results = places_of(d.operand(at++));
  const syntax::Operand& callee = d.operand(at++);
  if (at < d.operands().size() && d.operand(at).kind == Kind::list) site.arguments = places_of(d.operand(at++));
  op.target = static_cast<uint32_t>(d.function().calls.size());
  if (d.register_size(callee)) {
    op.src[0] = d.source(callee, Type::b64);
    op.run = run_call_pointer;
    d.function().calls_pointers = true;
  } else {
    const auto index = d.function_named(callee.text);
    if (!index) d.fail(fmt::format("function \"{}\" is not declared", callee.text));
    op.immediate = *index;
    if (d.module().functions[*index]->has_body) {
      op.run = run_call;
      d.function().callees.push_back(*index);
    } else {
      op.run = builtin_function(callee.text, site.arguments.size());
      if (!op.run) d.fail(fmt::format("function \"{}\" has no body", callee.text));
    }
  }
  d.function().calls.push_back(std::move(site));
}

void decode_ret(Decoder& d, Op& op) {
  d.take("uni");
  op.instruction_class = InstructionClass::control;
  if (d.function().is_entry) {
    op.run = run_exit;
    d.set_flow(Flow::leave);
    return;
  }
  op.target = d.end();
  op.run = run_jump_to_return;
  d.set_flow(Flow::branch);
}

void decode_exit(Decoder& d, Op& op) {
  op.instruction_class = InstructionClass::control;
  op.run = run_exit;
  d.set_flow(Flow::leave);
}

void run_trap(Context& context, const Op& op, Mask lanes) {
  if (!lanes) return;
  context.report(FindingKind::trap, op, lanes, first_lane(lanes), 0, [] { return std::string("trap"); });
  context.abort();
}
void decode_trap(Decoder& d, Op& op) {
  op.instruction_class = InstructionClass::control;
  op.run = run_trap;
  d.set_flow(Flow::leave);
}

void run_sleep(Context& context, const Op&, Mask) { context.warp->sleep(context); }
void run_nothing(Context&, const Op&, Mask) {}

void decode_nanosleep(Decoder& d, Op& op) {
  d.take_type();
  op.instruction_class = InstructionClass::control;
  op.run = run_sleep;
}
void decode_brkpt(Decoder&, Op& op) {
  op.instruction_class = InstructionClass::control;
  op.run = run_nothing;
}
void decode_griddepcontrol(Decoder& d, Op& op) {
  d.take_one_of({"launch_dependents", "wait"});
  decode_brkpt(d, op);
}
void decode_setmaxnreg(Decoder& d, Op& op) {
  d.take_one_of({"inc", "dec"});
  d.take("sync");
  d.take("aligned");
  d.take_type();
  decode_brkpt(d, op);
}

}  // namespace

void add_control_opcodes(OpcodeTable& table) {
  table.insert({
      {"bra", decode_bra},
      {"brx", decode_brx},
      {"call", decode_call},
      {"ret", decode_ret},
      {"exit", decode_exit},
      {"trap", decode_trap},
      {"brkpt", decode_brkpt},
      {"nanosleep", decode_nanosleep},
      {"griddepcontrol", decode_griddepcontrol},
      {"setmaxnreg", decode_setmaxnreg},
  });
}

}  // namespace wkv::emulator
