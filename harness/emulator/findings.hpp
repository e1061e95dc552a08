// Collects what goes wrong, so that the report does not depend on the order in which blocks ran.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "harness/emulator/program.hpp"

namespace wkv::emulator {

// One worker's findings: for each kind and PTX line the one of the lowest block, and how many there were.
class FindingLog {
 public:
  // False: the kind is known at this line for a lower or the same block, and has been counted. Then there is no need to
  // describe it.
  bool is_new(FindingKind kind, uint32_t line, uint64_t block_index, uint64_t count);
  void add(Finding finding, uint64_t block_index);
  void merge(FindingLog&& other);
  // Those of blocks up to the last one, ordered by block, then as the block made them.
  std::vector<Finding> take(uint64_t last_block, size_t max) &&;

 private:
  struct Entry {
    Finding finding;
    uint64_t block_index = 0, order = 0;
  };
  std::map<std::pair<FindingKind, uint32_t>, Entry> entries_;
  uint64_t next_order_ = 0;
};

}  // namespace wkv::emulator
