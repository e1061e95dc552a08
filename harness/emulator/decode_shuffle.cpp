// What lanes of a warp exchange: shfl, vote, match, redux, elect, activemask.
#include <fmt/format.h>

#include "harness/emulator/block.hpp"
#include "harness/emulator/opcodes.hpp"
#include "harness/emulator/operands.hpp"
#include "harness/emulator/warp_exchange.hpp"
#include "harness/emulator/warp_state.hpp"

namespace wkv::emulator {
namespace {

// Whether the lanes' member masks (src[3]) are met: waits for lanes that are elsewhere, and finds lanes that are in no
// mask or in those of others that do not know of them.
bool members_are_here(Context& context, const Op& op, Mask lanes) {
  const auto* members = values_of<uint32_t>(context, op.src[3]);
  Mask needed = 0, outside = 0;
  for_each_lane(lanes, [&](uint32_t lane) {
    needed |= members[lane];
    outside |= Mask{!(members[lane] >> lane & 1)} << lane;
  });
  if (outside) {
    context.report(FindingKind::warp_sync, op, outside, first_lane(outside), 0, [&] {
      return fmt::format("a lane is not in its own member mask {:#010x}", members[first_lane(outside)]);
    });
  }
  if (!context.warp->gather(context, op, lanes, needed)) return false;
  if ((context.warp->live() & ~needed) == 0) context.block->shared().races().exchange(context.warp->index());
  return true;
}

// Calls body(the lanes that act together) for each member mask among the lanes.
template <class Body>
void for_each_team(const Context& context, const Op& op, Mask lanes, const Body& body) {
  const auto* members = values_of<uint32_t>(context, op.src[3]);
  while (lanes) {
    const Mask mask = members[first_lane(lanes)];
    Mask team = 0;
    for_each_lane(lanes, [&](uint32_t lane) { team |= Mask{members[lane] == mask} << lane; });
    body(team);
    lanes &= ~team;
  }
}

Words words_of(const Context& context, const Source& source) {
  Words words;
  std::memcpy(words.data(), values_of<uint32_t>(context, source), sizeof words);
  return words;
}

void run_shfl(Context& context, const Op& op, Mask lanes) {
  if (!lanes || !members_are_here(context, op, lanes)) return;
  const Words a = words_of(context, op.src[0]), b = words_of(context, op.src[1]), c = words_of(context, op.src[2]);
  for_each_team(context, op, lanes, [&](Mask team) {
    Words result{};
    const ShuffleResult shuffled = shuffle(static_cast<ShuffleMode>(op.immediate), result, a, b, c, team);
    if (shuffled.undefined && context.grid->check) {
      const uint32_t lane = first_lane(shuffled.undefined);
      context.report(FindingKind::warp_sync, op, shuffled.undefined, lane, 0, [&] {
        return fmt::format("reads from lane {}, which takes no part",
                           shuffle_source(static_cast<ShuffleMode>(op.immediate), lane, b[lane], c[lane]).lane);
      });
    }
    if (op.dst[0] != kNone) {
      auto* to = register_at<uint32_t>(context, op.dst[0]);
      for_each_lane(team, [&](uint32_t lane) { to[lane] = result[lane]; });
    }
    set_predicate(context, op.dst[1], team, shuffled.in_range);
  });
}

void decode_shfl(Decoder& d, Op& op) {
  if (!d.take("sync")) d.fail("only the .sync form is covered");
  const std::string_view mode = d.take_one_of({"up", "down", "bfly", "idx"});
  op.immediate = static_cast<int64_t>(mode == "up"     ? ShuffleMode::up
                                      : mode == "down" ? ShuffleMode::down
                                      : mode == "bfly" ? ShuffleMode::bfly
                                                       : ShuffleMode::idx);
  d.take_type();
  d.expect_operands(5, 5);
  op.instruction_class = InstructionClass::shuffle;
  const syntax::Operand& to = d.operand(0);
  const bool pair = to.kind == syntax::Operand::Kind::pair;
  op.dst[0] = d.destination(pair ? to.parts[0] : to, Type::b32);
  if (pair) op.dst[1] = d.predicate_destination(to.parts[1]);
  for (size_t i = 0; i < 4; ++i) op.src[i] = d.source(d.operand(i + 1), Type::b32);
  op.run = run_shfl;
}

enum : int64_t { kAll, kAny, kUni, kBallot };

void run_vote(Context& context, const Op& op, Mask lanes) {
  if (!lanes || !members_are_here(context, op, lanes)) return;
  const Mask predicate = predicate_of(context, op.src[0]) ^ (op.flags ? kFull : 0);
  for_each_team(context, op, lanes, [&](Mask team) {
    if (op.immediate == kBallot) {
      if (op.dst[0] == kNone) return;
      auto* to = register_at<uint32_t>(context, op.dst[0]);
      for_each_lane(team, [&](uint32_t lane) { to[lane] = vote_ballot(predicate, team); });
      return;
    }
    const bool result = op.immediate == kAll   ? vote_all(predicate, team)
                        : op.immediate == kAny ? vote_any(predicate, team)
                                               : vote_uni(predicate, team);
    set_predicate(context, op.dst[0], team, result ? kFull : 0);
  });
}

void decode_vote(Decoder& d, Op& op) {
  if (!d.take("sync")) d.fail("only the .sync form is covered");
  const std::string_view mode = d.take_one_of({"all", "any", "uni", "ballot"});
  op.immediate = mode == "all" ? kAll : mode == "any" ? kAny : mode == "uni" ? kUni : kBallot;
  d.take_type();
  d.expect_operands(3, 3);
  op.instruction_class = InstructionClass::shuffle;
  op.dst[0] = mode == "ballot" ? d.destination(d.operand(0), Type::b32) : d.predicate_destination(d.operand(0));
  op.src[0] = d.predicate(d.operand(1));
  op.flags = d.operand(1).negated;
  op.src[3] = d.source(d.operand(2), Type::b32);
  op.run = run_vote;
}

template <class T>
void run_match(Context& context, const Op& op, Mask lanes) {
  if (!lanes || !members_are_here(context, op, lanes)) return;
  std::array<T, kWarpSize> a;
  std::memcpy(a.data(), values_of<T>(context, op.src[0]), sizeof a);
  for_each_team(context, op, lanes, [&](Mask team) {
    Words result{};
    if (op.immediate) {
      result.fill(match_all(a, team));
      set_predicate(context, op.dst[1], team, result[0] ? kFull : 0);
    } else {
      result = match_any(a, team);
    }
    if (op.dst[0] == kNone) return;
    auto* to = register_at<uint32_t>(context, op.dst[0]);
    for_each_lane(team, [&](uint32_t lane) { to[lane] = result[lane]; });
  });
}

void decode_match(Decoder& d, Op& op) {
  op.immediate = d.take_one_of({"any", "all"}) == "all";
  if (!d.take("sync")) d.fail("only the .sync form is covered");
  const Type type = d.take_type();
  d.expect_operands(3, 3);
  op.instruction_class = InstructionClass::shuffle;
  const syntax::Operand& to = d.operand(0);
  const bool pair = to.kind == syntax::Operand::Kind::pair;
  op.dst[0] = d.destination(pair ? to.parts[0] : to, Type::b32);
  if (pair) op.dst[1] = d.predicate_destination(to.parts[1]);
  op.src[0] = d.source(d.operand(1), type);
  op.src[3] = d.source(d.operand(2), Type::b32);
  op.run = bytes_of(type) == 4 ? run_match<uint32_t> : run_match<uint64_t>;
}

void run_redux(Context& context, const Op& op, Mask lanes) {
  if (!lanes || !members_are_here(context, op, lanes) || op.dst[0] == kNone) return;
  const Words a = words_of(context, op.src[0]);
  for_each_team(context, op, lanes, [&](Mask team) {
    const uint32_t result = reduce(static_cast<Reduction>(op.immediate), a, team);
    auto* to = register_at<uint32_t>(context, op.dst[0]);
    for_each_lane(team, [&](uint32_t lane) { to[lane] = result; });
  });
}

void decode_redux(Decoder& d, Op& op) {
  if (!d.take("sync")) d.fail("only the .sync form is covered");
  const std::string_view name = d.take_one_of({"add", "min", "max", "and", "or", "xor"});
  const bool negative = is_signed(d.take_type());
  const Reduction reduction = name == "add"   ? Reduction::add
                              : name == "min" ? (negative ? Reduction::min_signed : Reduction::min_unsigned)
                              : name == "max" ? (negative ? Reduction::max_signed : Reduction::max_unsigned)
                              : name == "and" ? Reduction::bit_and
                              : name == "or"  ? Reduction::bit_or
                                              : Reduction::bit_xor;
  op.immediate = static_cast<int64_t>(reduction);
  d.expect_operands(3, 3);
  op.instruction_class = InstructionClass::shuffle;
  op.dst[0] = d.destination(d.operand(0), Type::b32);
  op.src[0] = d.source(d.operand(1), Type::b32);
  op.src[3] = d.source(d.operand(2), Type::b32);
  op.run = run_redux;
}

void run_elect(Context& context, const Op& op, Mask lanes) {
  if (!lanes || !members_are_here(context, op, lanes)) return;
  for_each_team(context, op, lanes, [&](Mask team) {
    const uint32_t leader = elect(team);
    if (op.dst[0] != kNone) {
      auto* to = register_at<uint32_t>(context, op.dst[0]);
      for_each_lane(team, [&](uint32_t lane) { to[lane] = leader; });
    }
    set_predicate(context, op.dst[1], team, Mask{1} << leader);
  });
}

void decode_elect(Decoder& d, Op& op) {
  if (!d.take("sync")) d.fail("only the .sync form is covered");
  d.expect_operands(2, 2);
  op.instruction_class = InstructionClass::shuffle;
  const syntax::Operand& to = d.operand(0);
  if (to.kind != syntax::Operand::Kind::pair) d.fail("expected d|p");
  op.dst[0] = d.destination(to.parts[0], Type::b32);
  op.dst[1] = d.predicate_destination(to.parts[1]);
  op.src[3] = d.source(d.operand(1), Type::b32);
  op.run = run_elect;
}

void run_activemask(Context& context, const Op& op, Mask lanes) {
  if (op.dst[0] == kNone) return;
  auto* to = register_at<uint32_t>(context, op.dst[0]);
  for_each_lane(lanes, [&](uint32_t lane) { to[lane] = lanes; });
}
void decode_activemask(Decoder& d, Op& op) {
  d.take_type();
  d.expect_operands(1, 1);
  op.instruction_class = InstructionClass::shuffle;
  op.dst[0] = d.destination(d.operand(0), Type::b32);
  op.run = run_activemask;
}

}  // namespace

void add_shuffle_opcodes(OpcodeTable& table) {
  table.insert({{"shfl", decode_shfl},
                {"vote", decode_vote},
                {"match", decode_match},
                {"redux", decode_redux},
                {"elect", decode_elect},
                {"activemask", decode_activemask}});
}

}  // namespace wkv::emulator
