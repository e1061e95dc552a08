#include "harness/emulator/access_checks.hpp"

#include <fmt/format.h>

namespace wkv::emulator {
namespace {

template <class IsWrong>
Mask lanes_that(const Accesses& accesses, const IsWrong& is_wrong) {
  Mask wrong = 0;
  for (Mask rest = accesses.lanes; rest; rest &= rest - 1) {
    const uint32_t lane = first_lane(rest);
    wrong |= Mask{is_wrong(accesses.addresses[lane])} << lane;
  }
  return wrong;
}

}  // namespace

std::string access_text(bool writes, uint32_t bytes, Space space, uint64_t address) {
  return fmt::format("{} of {} bytes at {} address {:#x}", writes ? "write" : "read", bytes, name_of(space), address);
}

Mask aligned_lanes(Context& context, const Op& op, Space space, const Accesses& accesses, bool writes) {
  const uint32_t bytes = accesses.bytes;
  if (!context.grid->check) return accesses.lanes;
  if (accesses.pattern != Pattern::any && (accesses.first() & (bytes - 1)) == 0) return accesses.lanes;
  const Mask wrong = lanes_that(accesses, [&](uint64_t address) { return (address & (bytes - 1)) != 0; });
  if (wrong) {
    const uint32_t lane = first_lane(wrong);
    context.report(FindingKind::misaligned, op, wrong, lane, accesses.addresses[lane],
                   [&] { return access_text(writes, bytes, space, accesses.addresses[lane]); });
  }
  return accesses.lanes & ~wrong;
}

Mask lanes_below(Context& context, const Op& op, Space space, const Accesses& accesses, uint64_t size, bool writes) {
  const uint32_t bytes = accesses.bytes;
  const auto is_outside = [&](uint64_t address, uint64_t length) { return address > size || size - address < length; };
  if (accesses.pattern != Pattern::any) {
    const uint64_t length = accesses.pattern == Pattern::same ? bytes : uint64_t{bytes} * kLanes;
    if (!is_outside(accesses.first(), length)) return accesses.lanes;
  }
  const Mask wrong = lanes_that(accesses, [&](uint64_t address) { return is_outside(address, bytes); });
  if (wrong) {
    const uint32_t lane = first_lane(wrong);
    context.report(FindingKind::out_of_bounds, op, wrong, lane, accesses.addresses[lane], [&] {
      return fmt::format("{}, of which there are {} bytes", access_text(writes, bytes, space, accesses.addresses[lane]),
                         size);
    });
  }
  return accesses.lanes & ~wrong;
}

}  // namespace wkv::emulator
