// Where the ways of a branch meet again: its immediate post-dominator, after Cooper, Harvey and Kennedy, "A simple,
// fast dominance algorithm" (2001), on the reversed control flow graph.
#include <algorithm>

#include "harness/emulator/decoder.hpp"

namespace wkv::emulator {
namespace {

class PostDominators {
 public:
  PostDominators(const std::vector<Op>& ops, const std::vector<Flow>& flows, bool is_entry);
  uint32_t join_of(uint32_t op) const;  // the operation at which control from it meets

 private:
  void find_leaders();
  void connect();
  void order();
  void solve();
  uint32_t intersect(uint32_t a, uint32_t b) const;
  void add_edge(uint32_t from, uint32_t to);

  const std::vector<Op>& ops_;
  const std::vector<Flow>& flows_;
  bool is_entry_;
  std::vector<uint32_t> block_of_, leader_;
  std::vector<std::vector<uint32_t>> successors_, predecessors_;
  std::vector<uint32_t> number_, ordered_;  // in postorder of the reversed graph
  std::vector<uint32_t> parent_;            // immediate post-dominators
};

PostDominators::PostDominators(const std::vector<Op>& ops, const std::vector<Flow>& flows, bool is_entry)
    : ops_(ops), flows_(flows), is_entry_(is_entry) {
  find_leaders();
  connect();
  order();
  solve();
}

void PostDominators::find_leaders() {
  std::vector<bool> leads(ops_.size(), false);
  leads[0] = leads.back() = true;
  for (size_t i = 0; i < ops_.size(); ++i) {
    if (flows_[i] == Flow::next) continue;
    if (i + 1 < ops_.size()) leads[i + 1] = true;
    if (flows_[i] == Flow::branch) leads[ops_[i].target] = true;
    if (flows_[i] != Flow::branch_many) continue;
    for (uint16_t t = 0; t < ops_[i].dst_count; ++t) leads[ops_[i].dst_list[t]] = true;
  }
  for (uint32_t i = 0; i < ops_.size(); ++i) {
    if (leads[i]) leader_.push_back(i);
    block_of_.push_back(static_cast<uint32_t>(leader_.size() - 1));
  }
  successors_.resize(leader_.size());
  predecessors_.resize(leader_.size());
}

void PostDominators::add_edge(uint32_t from, uint32_t to) {
  successors_[from].push_back(to);
  predecessors_[to].push_back(from);
}

// Lanes that end the thread meet nobody: a block that does so leads nowhere. Only the last one of an entry leads to the
// end, so that there is a way to it.
void PostDominators::connect() {
  const uint32_t end = static_cast<uint32_t>(leader_.size() - 1);
  uint32_t last_leaving = end;
  for (uint32_t block = 0; block < end; ++block) {
    const uint32_t last = leader_[block + 1] - 1;
    const bool always = ops_[last].guard == kNone;
    if (flows_[last] == Flow::leave && always) last_leaving = block;
    if (flows_[last] == Flow::branch) add_edge(block, block_of_[ops_[last].target]);
    if (flows_[last] == Flow::branch_many) {
      for (uint16_t t = 0; t < ops_[last].dst_count; ++t) add_edge(block, block_of_[ops_[last].dst_list[t]]);
    }
    if (flows_[last] == Flow::next || !always) add_edge(block, block + 1);
  }
  if (is_entry_ && last_leaving != end) add_edge(last_leaving, end);
}

void PostDominators::order() {
  number_.assign(leader_.size(), kNone);
  std::vector<bool> seen(leader_.size(), false);
  std::vector<std::pair<uint32_t, size_t>> path = {{static_cast<uint32_t>(leader_.size() - 1), 0}};
  seen.back() = true;
  while (!path.empty()) {
    auto& [block, next] = path.back();
    if (next < predecessors_[block].size()) {
      const uint32_t before = predecessors_[block][next++];
      if (seen[before]) continue;
      seen[before] = true;
      path.emplace_back(before, 0);
    } else {
      number_[block] = static_cast<uint32_t>(ordered_.size());
      ordered_.push_back(block);
      path.pop_back();
    }
  }
}

uint32_t PostDominators::intersect(uint32_t a, uint32_t b) const {
  while (a != b) {
    while (number_[a] < number_[b]) a = parent_[a];
    while (number_[b] < number_[a]) b = parent_[b];
  }
  return a;
}

void PostDominators::solve() {
  const uint32_t end = static_cast<uint32_t>(leader_.size() - 1);
  parent_.assign(leader_.size(), kNone);
  parent_[end] = end;
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = ordered_.size() - 1; i-- > 0;) {
      const uint32_t block = ordered_[i];
      uint32_t parent = kNone;
      for (const uint32_t next : successors_[block]) {
        if (parent_[next] == kNone) continue;
        parent = parent == kNone ? next : intersect(parent, next);
      }
      changed = changed || parent != parent_[block];
      parent_[block] = parent;
    }
  }
}

uint32_t PostDominators::join_of(uint32_t op) const {
  const uint32_t parent = parent_[block_of_[op]];
  return leader_[parent == kNone ? leader_.size() - 1 : parent];
}

}  // namespace

void find_joins(std::vector<Op>& ops, const std::vector<Flow>& flows, bool is_entry) {
  const PostDominators dominators(ops, flows, is_entry);
  for (uint32_t i = 0; i < ops.size(); ++i) {
    if (flows[i] == Flow::branch || flows[i] == Flow::branch_many) ops[i].join = dominators.join_of(i);
  }
}

}  // namespace wkv::emulator
