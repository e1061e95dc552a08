#include "harness/emulator/findings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace wkv::emulator {

std::string_view name_of(FindingKind kind) {
  constexpr std::array<std::string_view, 14> kNames = {"launch limit",
                                                       "argument size",
                                                       "out of bounds",
                                                       "misaligned",
                                                       "read of unwritten memory",
                                                       "write to read-only memory",
                                                       "shared memory race",
                                                       "divergent barrier",
                                                       "deadlock",
                                                       "missing wait",
                                                       "warp synchronisation",
                                                       "trap",
                                                       "endless loop",
                                                       "invalid operation"};
  return kNames[static_cast<size_t>(kind)];
}

std::string Finding::message() const {
  std::string where = kernel;
  if (line) where += fmt::format(", PTX line {}", line);
  if (!source.empty()) where += fmt::format(" ({})", source);
  if (line) {
    where += fmt::format(", block ({}, {}, {}), thread ({}, {}, {})", block[0], block[1], block[2], thread[0],
                         thread[1], thread[2]);
  }
  std::string message = fmt::format("{}: {}: {}", name_of(kind), where, text);
  if (count > 1) message += fmt::format("; {} times", count);
  return message;
}

bool FindingLog::is_new(FindingKind kind, uint32_t line, uint64_t block_index, uint64_t count) {
  const auto known = entries_.find({kind, line});
  if (known == entries_.end()) return true;
  if (known->second.block_index > block_index) return true;
  known->second.finding.count += count;
  return false;
}

void FindingLog::add(Finding finding, uint64_t block_index) {
  const auto [at, inserted] = entries_.try_emplace({finding.kind, finding.line});
  if (!inserted) finding.count += at->second.finding.count;
  at->second = {std::move(finding), block_index, next_order_++};
}

void FindingLog::merge(FindingLog&& other) {
  for (auto& [key, theirs] : other.entries_) {
    const auto [at, inserted] = entries_.try_emplace(key, theirs);
    if (inserted) continue;
    Entry& mine = at->second;
    const uint64_t count = mine.finding.count + theirs.finding.count;
    if (theirs.block_index < mine.block_index) mine = std::move(theirs);
    mine.finding.count = count;
  }
}

std::vector<Finding> FindingLog::take(uint64_t last_block, size_t max) && {
  std::vector<Entry> entries;
  for (auto& [key, entry] : entries_) {
    if (entry.block_index <= last_block) entries.push_back(std::move(entry));
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.block_index, a.order) < std::pair(b.block_index, b.order);
  });
  if (entries.size() > max) entries.resize(max);
  std::vector<Finding> findings;
  for (Entry& entry : entries) findings.push_back(std::move(entry.finding));
  return findings;
}

}  // namespace wkv::emulator
