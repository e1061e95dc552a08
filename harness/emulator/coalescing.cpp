#include "harness/emulator/coalescing.hpp"

#include <algorithm>
#include <array>
#include <bit>

namespace wkv::emulator {
namespace {

// Wavefronts of one group of lanes: the most distinct words in any bank.
uint32_t most_words_in_a_bank(const uint64_t* addresses, Mask lanes, uint32_t bytes) {
  std::array<uint8_t, kBanks> words_in{};
  std::array<std::array<uint32_t, kLanes>, kBanks> words;
  uint32_t most = 0;
  for (Mask rest = lanes; rest; rest &= rest - 1) {
    const uint64_t address = addresses[std::countr_zero(rest)];
    const auto last = static_cast<uint32_t>((address + bytes - 1) / kBankBytes);
    for (auto word = static_cast<uint32_t>(address / kBankBytes); word <= last; ++word) {
      const uint32_t bank = word % kBanks;
      const auto begin = words[bank].begin(), end = begin + words_in[bank];
      if (words_in[bank] == kLanes || std::find(begin, end, word) != end) continue;
      words[bank][words_in[bank]++] = word;
      most = std::max<uint32_t>(most, words_in[bank]);
    }
  }
  return most;
}

}  // namespace

uint32_t count_sectors(const uint64_t* addresses, Mask lanes, uint32_t bytes) {
  std::array<uint64_t, 2 * kLanes> sectors;
  uint32_t count = 0;
  bool ascending = true;
  for (Mask rest = lanes; rest; rest &= rest - 1) {
    const uint64_t address = addresses[std::countr_zero(rest)];
    const uint64_t last = (address + bytes - 1) / kSectorBytes;
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

Wavefronts count_wavefronts(const uint64_t* addresses, Mask lanes, uint32_t bytes) {
  const uint32_t lanes_at_once = bytes <= kBankBytes ? kLanes : kLanes * kBankBytes / bytes;
  Wavefronts wavefronts;
  for (uint32_t first = 0; first < kLanes; first += lanes_at_once) {
    const Mask group = lanes & (kFull >> (kLanes - lanes_at_once) << first);
    if (!group) continue;
    const uint32_t count = most_words_in_a_bank(addresses, group, bytes);
    wavefronts.count += count;
    wavefronts.conflicts += count - 1;
  }
  return wavefronts;
}

}  // namespace wkv::emulator
