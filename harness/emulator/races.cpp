#include "harness/emulator/races.hpp"

#include <algorithm>
#include <bit>

namespace wkv::emulator {

void Races::start(uint32_t shared_bytes, uint32_t granule, uint32_t warps) {
  warp_count_ = warps;
  for (const Warp& warp : warps_) base_ = std::max(base_, *std::max_element(warp.seen.begin(), warp.seen.end()));
  const uint32_t count = (shared_bytes + granule - 1) / granule;
  if (granule != granule_ || base_ > (1u << 30)) {
    granules_.clear();
    base_ = 0;
  }
  if (granules_.size() < count) granules_.resize(count);
  // Records of earlier blocks have clocks up to the base and so count as ordered; tables are dropped.
  for (Granule& record : granules_) record.readers = 0;
  tables_.clear();
  free_tables_.clear();
  granule_ = granule;
  for (uint32_t i = 0; i < kMaxWarps; ++i) {
    warps_[i].seen.fill(base_);
    warps_[i].seen[i] = base_ + 1;
    warps_[i].all_lanes = base_ + 1;
    warps_[i].floor = base_;
    if (warps_[i].has_pairs) {
      for (Clocks& row : warps_[i].pairs) row.fill(0);
    }
    warps_[i].has_pairs = false;
  }
}

void Races::release(uint32_t warp, Clocks& clocks) {
  Clocks& seen = warps_[warp].seen;
  for (uint32_t i = 0; i < kMaxWarps; ++i) clocks[i] = std::max(clocks[i], seen[i]);
  ++seen[warp];
}

// The warp's own clock goes on behind all that it has seen, so that clocks keep together and the floor rises.
void Races::acquire(uint32_t warp, const Clocks& clocks) {
  Clocks& seen = warps_[warp].seen;
  uint32_t latest = 0;
  for (uint32_t i = 0; i < kMaxWarps; ++i) {
    seen[i] = std::max(seen[i], clocks[i]);
    latest = std::max(latest, clocks[i]);
  }
  seen[warp] = std::max(seen[warp], latest + 1);
  raise_floor(warp);
}

void Races::raise_floor(uint32_t index) {
  Warp& warp = warps_[index];
  uint32_t floor = warp.all_lanes - 1;
  for (uint32_t i = 0; i < warp_count_; ++i) {
    if (i != index) floor = std::min(floor, warp.seen[i]);
  }
  warp.floor = floor;
}

void Races::sync_lanes(uint32_t warp_index, Mask lanes) {
  Warp& warp = warps_[warp_index];
  const uint32_t now = ++warp.seen[warp_index];
  if (lanes == kFull) {
    warp.all_lanes = now;
    raise_floor(warp_index);
    return;
  }
  warp.has_pairs = true;
  for (Mask rest = lanes; rest; rest &= rest - 1) {
    Clocks& row = warp.pairs[static_cast<size_t>(std::countr_zero(rest))];
    for (uint32_t other = 0; other < kLanes; ++other) {
      if (lanes >> other & 1) row[other] = now;
    }
  }
}

// Whether every later lane is ordered behind every other lane among the earlier ones, which acted at the clock.
bool Races::ordered_lanes(const Warp& warp, Mask earlier, Mask later, uint32_t clock, uint32_t* culprit) const {
  if (clock < warp.all_lanes || (earlier == later && std::has_single_bit(earlier))) return true;
  for (Mask rest = later; rest; rest &= rest - 1) {
    const auto lane = static_cast<uint32_t>(std::countr_zero(rest));
    for (Mask others = earlier & ~(1u << lane); others; others &= others - 1) {
      const auto other = static_cast<uint32_t>(std::countr_zero(others));
      if (clock < warp.pairs[lane][other]) continue;
      *culprit = other;
      return false;
    }
  }
  return true;
}

Races::Conflict Races::after_write(const Granule& granule, const Access& access) const {
  if (granule.write_clock <= base_ || (granule.write_synchronous && access.synchronous)) return {};
  const Warp& warp = warps_[access.warp];
  if (granule.write_warp != access.warp) {
    const bool ordered = granule.write_clock <= warp.seen[granule.write_warp];
    return ordered ? Conflict{} : Conflict{true, granule.write_warp, granule.write_lane, true};
  }
  uint32_t culprit = 0;
  if (ordered_lanes(warp, 1u << granule.write_lane, access.lanes, granule.write_clock, &culprit)) return {};
  return {true, access.warp, culprit, true};
}

Races::Conflict Races::after_reads(const Granule& granule, const Access& access) const {
  const Warp& warp = warps_[access.warp];
  if (granule.readers) {
    const Clocks& clocks = tables_[granule.readers - 1];
    for (uint32_t reader = 0; reader < kMaxWarps; ++reader) {
      if (reader != access.warp && clocks[reader] > warp.seen[reader]) return {true, reader, 0, false};
    }
  }
  if (granule.read_clock <= base_) return {};
  for (uint32_t rest = granule.read_warps; rest; rest &= rest - 1) {
    const uint32_t reader = first_lane(rest);
    const bool last = reader == granule.read_warp;
    if (reader != access.warp && granule.read_clock > warp.seen[reader]) {
      return {true, reader, last ? first_lane(granule.read_lanes) : 0, false};
    }
    uint32_t culprit = 0;
    if (reader == access.warp && last && granule.exchanges == warp.exchanges &&
        !ordered_lanes(warp, granule.read_lanes, access.lanes, granule.read_clock, &culprit)) {
      return {true, access.warp, culprit, false};
    }
  }
  return {};
}

// Of a read at another clock than the last one's.
void Races::record_read(Granule& granule, const Access& access) {
  const Warp& warp = warps_[access.warp];
  const uint32_t own = 1u << access.warp;
  const bool others_ordered = granule.read_clock <= warp.floor || granule.read_warps == own;
  if (!others_ordered && !granule.readers) {
    if (free_tables_.empty() && tables_.size() < 0xfffe) {
      tables_.emplace_back();
      free_tables_.push_back(static_cast<uint16_t>(tables_.size()));
    }
    if (!free_tables_.empty()) {  // without a table the earlier readers are forgotten: a race may be missed
      granule.readers = free_tables_.back();
      free_tables_.pop_back();
      tables_[granule.readers - 1].fill(0);
    }
  }
  if (granule.readers) {
    Clocks& clocks = tables_[granule.readers - 1];
    for (uint32_t rest = granule.read_warps; rest; rest &= rest - 1) clocks[first_lane(rest)] = granule.read_clock;
  }
  granule.read_clock = warp.seen[access.warp];
  granule.read_warps = own;
  granule.read_warp = static_cast<uint8_t>(access.warp);
  granule.read_lanes = access.lanes;
  granule.exchanges = warp.exchanges;
}

void Races::forget_readers(Granule& granule) {
  granule.read_clock = 0;
  granule.read_warps = 0;
  granule.read_lanes = 0;
  if (granule.readers) free_tables_.push_back(granule.readers);
  granule.readers = 0;
}

Races::Conflict Races::read(uint32_t address, uint32_t bytes, const Access& access) {
  const Warp& warp = warps_[access.warp];
  const uint32_t now = warp.seen[access.warp];
  Conflict conflict;
  for (uint32_t i = address / granule_, end = (address + bytes - 1) / granule_; i <= end; ++i) {
    Granule& granule = granules_[i];
    if (granule.write_clock > warp.floor && !conflict.found) conflict = after_write(granule, access);
    if (access.synchronous) continue;
    if (granule.read_clock != now) {
      record_read(granule, access);
    } else if (granule.read_warp == access.warp && granule.exchanges == warp.exchanges) {
      granule.read_lanes |= access.lanes;
    } else {
      granule.read_warps |= 1u << access.warp;
      granule.read_warp = static_cast<uint8_t>(access.warp);
      granule.read_lanes = access.lanes;
      granule.exchanges = warp.exchanges;
    }
  }
  return conflict;
}

Races::Conflict Races::write(uint32_t address, uint32_t bytes, const Access& access) {
  const Warp& warp = warps_[access.warp];
  Conflict conflict;
  for (uint32_t i = address / granule_, end = (address + bytes - 1) / granule_; i <= end; ++i) {
    Granule& granule = granules_[i];
    if (granule.write_clock > warp.floor && !conflict.found) conflict = after_write(granule, access);
    if ((granule.read_clock > warp.floor || granule.readers) && !conflict.found)
      conflict = after_reads(granule, access);
    forget_readers(granule);
    granule.write_clock = warp.seen[access.warp];
    granule.write_warp = static_cast<uint8_t>(access.warp);
    granule.write_lane = static_cast<uint8_t>(first_lane(access.lanes));
    granule.write_synchronous = access.synchronous;
  }
  return conflict;
}

}  // namespace wkv::emulator
