#include "harness/emulator/async_copies.hpp"

#include <algorithm>
#include <cstring>

#include "harness/emulator/block.hpp"

namespace wkv::emulator {

void AsyncCopies::start(uint32_t warps) {
  warps_.resize(warps);
  for (Warp& warp : warps_) {
    warp.copies.clear();
    warp.tracked.clear();
    warp.groups.fill(0);
  }
}

void AsyncCopies::begin(Context& context, const Op& op, uint32_t lane, uint64_t shared_address, const std::byte* values,
                        uint32_t bytes) {
  context.block->shared().begin_copy(context, op, shared_address, lane, bytes);
  Warp& warp = warps_[context.warp->index()];
  Copy copy{static_cast<uint32_t>(shared_address),
            static_cast<uint8_t>(lane),
            static_cast<uint8_t>(bytes),
            warp.groups[lane],
            warp.begun++,
            {}};
  std::memcpy(copy.values.data(), values, bytes);
  warp.copies.push_back(copy);
}

void AsyncCopies::commit(const Context& context, Mask lanes) {
  for (Mask rest = lanes; rest; rest &= rest - 1) ++warps_[context.warp->index()].groups[first_lane(rest)];
}

template <class Arrives>
void AsyncCopies::arrive(Context& context, uint32_t index, const Arrives& arrives) {
  Warp& warp = warps_[index];
  const auto waiting = std::stable_partition(warp.copies.begin(), warp.copies.end(),
                                             [&](const Copy& copy) { return arrives(warp, copy); });
  for (auto copy = warp.copies.begin(); copy != waiting; ++copy) {
    context.block->shared().end_copy(context, index, copy->address, copy->lane, copy->bytes, copy->values.data());
  }
  warp.copies.erase(warp.copies.begin(), waiting);
}

void AsyncCopies::wait_groups(Context& context, Mask lanes, uint32_t latest) {
  arrive(context, context.warp->index(), [&](const Warp& warp, const Copy& copy) {
    return copy.group != kNone && (lanes >> copy.lane & 1) && copy.group + latest < warp.groups[copy.lane];
  });
}

void AsyncCopies::wait_all(Context& context, Mask lanes) {
  arrive(context, context.warp->index(),
         [&](const Warp&, const Copy& copy) { return copy.group != kNone && (lanes >> copy.lane & 1) != 0; });
}

void AsyncCopies::track(const Context& context, uint32_t lane, uint32_t barrier) {
  Warp& warp = warps_[context.warp->index()];
  warp.tracked.push_back({lane, barrier, 0, warp.begun, {.count = 1}});
}

void AsyncCopies::begin_bulk(Context& context, const Op& op, uint32_t lane, uint64_t shared_address,
                             const std::byte* values, uint32_t bytes, uint32_t barrier) {
  Warp& warp = warps_[context.warp->index()];
  const uint64_t first = warp.begun;
  for (uint32_t at = 0; at < bytes; at += 16) {
    begin(context, op, lane, shared_address + at, values + at, std::min(16u, bytes - at));
    warp.copies.back().group = kNone;
  }
  warp.tracked.push_back({lane, barrier, first, warp.begun, {.bytes = bytes}});
}

AsyncCopies::Arrivals AsyncCopies::arrive_at(Context& context, uint32_t barrier) {
  Arrivals total;
  for (uint32_t index = 0; index < warps_.size(); ++index) {
    Warp& warp = warps_[index];
    const auto here = std::stable_partition(warp.tracked.begin(), warp.tracked.end(),
                                            [&](const Tracked& tracked) { return tracked.barrier != barrier; });
    if (here == warp.tracked.end()) continue;
    arrive(context, index, [&](const Warp&, const Copy& copy) {
      return std::any_of(here, warp.tracked.end(), [&](const Tracked& tracked) {
        const bool of_kind = (tracked.arrivals.bytes != 0) == (copy.group == kNone);
        return of_kind && copy.lane == tracked.lane && copy.number >= tracked.first && copy.number < tracked.end;
      });
    });
    context.block->shared().release(index);
    for (auto tracked = here; tracked != warp.tracked.end(); ++tracked) {
      total.count += tracked->arrivals.count;
      total.bytes += tracked->arrivals.bytes;
    }
    warp.tracked.erase(here, warp.tracked.end());
  }
  return total;
}

bool AsyncCopies::any_pending() const {
  return std::any_of(warps_.begin(), warps_.end(), [](const Warp& warp) { return !warp.copies.empty(); });
}

}  // namespace wkv::emulator
