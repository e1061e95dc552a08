#include "harness/emulator/coalescing.hpp"

#include <algorithm>
#include <array>

namespace wkv::emulator {
namespace {

Pattern pattern_of(const uint64_t* addresses, Mask lanes, uint32_t bytes) {
  if (!lanes) return Pattern::any;
  const uint64_t first = addresses[first_lane(lanes)];
  uint64_t from_first = 0, from_sequence = 0;
  if (lanes == kFull) {
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      from_first |= addresses[lane] ^ first;
      from_sequence |= addresses[lane] ^ (first + uint64_t{bytes} * lane);
    }
    return from_first == 0 ? Pattern::same : from_sequence == 0 ? Pattern::contiguous : Pattern::any;
  }
  for (Mask rest = lanes; rest; rest &= rest - 1) from_first |= addresses[first_lane(rest)] ^ first;
  return from_first == 0 ? Pattern::same : Pattern::any;
}

// Wavefronts of one group of lanes: the most distinct words in any bank.
uint32_t most_words_in_a_bank(const uint64_t* addresses, Mask lanes, uint32_t bytes) {
  uint32_t used = 0;  // banks of which first_words has the word
  std::array<uint32_t, kBanks> first_words;
  std::array<uint8_t, kBanks> more{};
  std::array<std::array<uint32_t, kLanes>, kBanks> words;
  uint32_t most = 1;
  for (Mask rest = lanes; rest; rest &= rest - 1) {
    const uint64_t address = addresses[first_lane(rest)];
    const auto last = static_cast<uint32_t>((address + bytes - 1) / kBankBytes);
    for (auto word = static_cast<uint32_t>(address / kBankBytes); word <= last; ++word) {
      const uint32_t bank = word % kBanks;
      if (!(used >> bank & 1)) {
        used |= 1u << bank;
        first_words[bank] = word;
        continue;
      }
      const auto begin = words[bank].begin(), end = begin + more[bank];
      if (first_words[bank] == word || more[bank] == kLanes || std::find(begin, end, word) != end) continue;
      words[bank][more[bank]++] = word;
      most = std::max(most, 1u + more[bank]);
    }
  }
  return most;
}

}  // namespace

Accesses::Accesses(const uint64_t* all_addresses, Mask all_lanes, uint32_t all_bytes)
    : addresses(all_addresses), lanes(all_lanes), bytes(all_bytes), pattern(pattern_of(addresses, lanes, bytes)) {}

bool Accesses::keep(Mask some) {
  if (some != lanes) *this = Accesses(addresses, some, bytes);
  return lanes != 0;
}

uint32_t count_sectors(const Accesses& accesses) {
  const auto sectors_in = [](uint64_t address, uint64_t bytes) {
    return static_cast<uint32_t>((address + bytes - 1) / kSectorBytes - address / kSectorBytes + 1);
  };
  if (accesses.pattern == Pattern::same) return sectors_in(accesses.first(), accesses.bytes);
  if (accesses.pattern == Pattern::contiguous) return sectors_in(accesses.first(), uint64_t{accesses.bytes} * kLanes);
  std::array<uint64_t, 2 * kLanes> sectors;
  uint32_t count = 0;
  bool ascending = true;
  for (Mask rest = accesses.lanes; rest; rest &= rest - 1) {
    const uint64_t address = accesses.addresses[first_lane(rest)];
    const uint64_t last = (address + accesses.bytes - 1) / kSectorBytes;
    for (uint64_t sector = address / kSectorBytes; sector <= last; ++sector) {
      if (count && sectors[count - 1] == sector) continue;
      ascending = ascending && (!count || sectors[count - 1] < sector);
      sectors[count++] = sector;
    }
  }
  if (ascending) return count;
  std::sort(sectors.begin(), sectors.begin() + count);
  return static_cast<uint32_t>(std::unique(sectors.begin(), sectors.begin() + count) - sectors.begin());
}

Wavefronts count_wavefronts(const Accesses& accesses) {
  const uint32_t lanes_at_once = accesses.bytes <= kBankBytes ? kLanes : kLanes * kBankBytes / accesses.bytes;
  Wavefronts wavefronts;
  for (uint32_t first = 0; first < kLanes; first += lanes_at_once) {
    const Mask group = accesses.lanes & (kFull >> (kLanes - lanes_at_once) << first);
    if (!group) continue;
    const uint32_t count =
        accesses.pattern == Pattern::any ? most_words_in_a_bank(accesses.addresses, group, accesses.bytes) : 1;
    wavefronts.count += count;
    wavefronts.conflicts += count - 1;
  }
  return wavefronts;
}

}  // namespace wkv::emulator
