// A warp: 32 lanes of which groups that have taken different ways run one after the other. A branch at which lanes part
// makes a join at the point where their ways meet again (the branch's immediate post-dominator); each group waits there
// for the others. Groups can also wait at barriers and for lanes that a .sync instruction names.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "harness/emulator/context.hpp"

namespace wkv::emulator {

// A function's call by some lanes of a warp: registers and the rest of what they own in it.
struct Frame {
  const Function* function = nullptr;
  std::byte* registers = nullptr;
  std::vector<std::byte> storage;     // of the registers
  std::vector<std::byte> parameters;  // for each lane, parameter_bytes of it
  uint32_t local_base = 0;            // of the function's local variables in each lane's local memory
  uint32_t depth = 0;
  Mask live = 0;  // lanes that have not returned
  Frame* caller = nullptr;
  const CallSite* site = nullptr;
  uint32_t return_pc = 0;
  int32_t return_join = -1;

  std::byte* parameter(uint32_t lane, uint32_t offset) {
    return &parameters[size_t{lane} * function->parameter_bytes + offset];
  }
};

inline constexpr uint32_t kMaxDepth = 1000;  // of calls

class Warp {
 public:
  Warp();
  ~Warp();
  Warp(Warp&&) noexcept;

  void start(Block& block, const Grid& grid, uint32_t index, Mask live);
  // Runs until the quantum of instructions is used up or no group can go on. Returns what it has left of it.
  uint32_t run(Context& context, uint32_t quantum);
  // When nothing in the block can go on: lets lanes go on that wait at a join. False if there are none.
  bool force_joins();
  bool was_forced() const { return forced_; }  // then lanes may be apart that the program has together

  uint32_t index() const { return index_; }
  Mask live() const { return live_; }

  // For handlers. The lanes are some of the running group.
  void branch(Context& context, Mask taken, uint32_t target, uint32_t join);
  // Lets some lanes go on at pc by themselves until they meet the others at the join.
  void split(Context& context, uint32_t pc, Mask lanes, uint32_t join);
  void exit(Context& context, Mask lanes);
  void call(Context& context, const Op& op, uint32_t function, Mask lanes);
  void return_to_caller(Context& context);
  // Suspends the running group; it goes on behind op once the block has let it.
  void wait_at_barrier(Context& context, const Op& op, Mask lanes, uint32_t barrier);
  bool all_at_barrier(uint32_t barrier) const;  // whether all live lanes wait there
  // Lets them go on, after body(op, frame, lanes) of each group.
  template <class Body>
  void leave_barrier(uint32_t barrier, const Body& body);
  // At an instruction for which the lanes that it needs must come together: whether they have. If not, the group is
  // suspended in front of it until they have, and then the instruction runs for all of them at once.
  bool gather(Context& context, const Op& op, Mask lanes, Mask needed);
  void note_synchronous() { synchronous_ = true; }
  // Other warps, and other blocks, get their turn.
  void sleep(Context& context) {
    synchronous_ = asleep_ = true;
    context.leave = true;
  }

  // When nothing else helps: a group stops waiting for lanes that its instruction needs, with a finding.
  bool give_up_gathering(Context& context);
  const Op* waiting_op(uint32_t* lane) const;  // some operation at which a group waits, null if none

  // Local memory: the bytes of a lane and whether they were written.
  std::byte* local(uint32_t lane, uint32_t offset) { return &local_[size_t{lane} * local_capacity_ + offset]; }
  uint8_t* local_written(uint32_t lane, uint32_t offset) {
    return &local_written_[size_t{lane} * local_capacity_ + offset];
  }

 private:
  enum class State : uint8_t { ready, at_barrier, gathering };
  struct Group {
    uint32_t pc = 0;
    Mask active = 0;
    int32_t join = -1;
    Frame* frame = nullptr;
    State state = State::ready;
    uint32_t barrier = 0;
    const Op* op = nullptr;  // where it waits, and with which lanes
    Mask lanes = 0, needed = 0;
  };
  struct Join {
    uint32_t pc = 0;
    Mask expected = 0, arrived = 0;
    int32_t parent = -1;
    Frame* frame = nullptr;
    bool used = false;
  };

  bool resume(Context& context);
  bool resume_gathered(Context& context, size_t first);
  void enter(Context& context, const Group& group);
  Group running(const Context& context) const;
  uint32_t step(Context& context, uint32_t quantum);
  void set_join(Context& context, int32_t join);
  int32_t new_join(uint32_t pc, Mask expected, int32_t parent, Frame* frame);
  void arrive(int32_t join, Mask lanes);
  void settle(int32_t join);
  Frame* new_frame(const Function& function, Frame* caller, Mask lanes);
  void drop_lanes(Frame& frame, Mask lanes);
  void reserve_local(uint32_t bytes);
  void fill_specials(Frame& frame);
  uint64_t special_value(const SpecialRegister& special, const Frame& frame, uint32_t lane) const;

  Block* block_ = nullptr;
  const Grid* grid_ = nullptr;
  uint32_t index_ = 0;
  Mask live_ = 0;
  std::vector<Group> groups_;  // all but the running one; the last that is ready runs next
  std::vector<Join> joins_;
  std::vector<std::unique_ptr<Frame>> frames_, free_frames_;
  std::vector<std::byte> local_;
  std::vector<uint8_t> local_written_;
  uint32_t local_capacity_ = 0;
  uint32_t starved_ = 0;  // instructions that one group has executed while lanes waited at a join for it
  bool forced_ = false;
  bool synchronous_ = false;  // it has used atomic or volatile accesses in the present quantum
  bool asleep_ = false;       // it has given up the rest of the quantum
};

template <class Body>
void Warp::leave_barrier(uint32_t barrier, const Body& body) {
  for (Group& group : groups_) {
    if (group.state != State::at_barrier || group.barrier != barrier) continue;
    body(*group.op, *group.frame, group.lanes);
    group.state = State::ready;
  }
}

}  // namespace wkv::emulator
