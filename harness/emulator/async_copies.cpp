#include "harness/emulator/async_copies.hpp"

#include <algorithm>
#include <cstring>

#include "harness/emulator/block.hpp"

namespace wkv::emulator {

void AsyncCopies::start(uint32_t warps) {
  warps_.resize(warps);
  for (Warp& warp : warps_) {
    warp.copies.clear();
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
            {}};
  std::memcpy(copy.values.data(), values, bytes);
  warp.copies.push_back(copy);
}

void AsyncCopies::commit(const Context& context, Mask lanes) {
  for (Mask rest = lanes; rest; rest &= rest - 1) ++warps_[context.warp->index()].groups[first_lane(rest)];
}

template <class Arrives>
void AsyncCopies::arrive(Context& context, const Arrives& arrives) {
  Warp& warp = warps_[context.warp->index()];
  const auto waiting = std::stable_partition(warp.copies.begin(), warp.copies.end(),
                                             [&](const Copy& copy) { return arrives(warp, copy); });
  for (auto copy = warp.copies.begin(); copy != waiting; ++copy) {
    context.block->shared().end_copy(context, copy->address, copy->lane, copy->bytes, copy->values.data());
  }
  warp.copies.erase(warp.copies.begin(), waiting);
}

void AsyncCopies::wait_groups(Context& context, Mask lanes, uint32_t latest) {
  arrive(context, [&](const Warp& warp, const Copy& copy) {
    return (lanes >> copy.lane & 1) && copy.group + latest < warp.groups[copy.lane];
  });
}

void AsyncCopies::wait_all(Context& context, Mask lanes) {
  arrive(context, [&](const Warp&, const Copy& copy) { return (lanes >> copy.lane & 1) != 0; });
}

bool AsyncCopies::any_pending() const {
  return std::any_of(warps_.begin(), warps_.end(), [](const Warp& warp) { return !warp.copies.empty(); });
}

}  // namespace wkv::emulator
