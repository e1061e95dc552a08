// The frames of a warp: registers, special values, local memory.
#include <algorithm>
#include <cstring>

#include "harness/emulator/block.hpp"
#include "harness/emulator/warp_state.hpp"

namespace wkv::emulator {

Frame* Warp::new_frame(const Function& function, Frame* caller, Mask lanes) {
  const auto known = std::find_if(free_frames_.begin(), free_frames_.end(),
                                  [&](const auto& frame) { return frame->function == &function; });
  std::unique_ptr<Frame> frame;
  if (known != free_frames_.end()) {
    frame = std::move(*known);
    free_frames_.erase(known);
  } else {
    frame = std::make_unique<Frame>();
    frame->function = &function;
    constexpr size_t kAlignment = 64;
    frame->storage.resize(function.frame_bytes + kAlignment);
    const auto address = reinterpret_cast<uintptr_t>(frame->storage.data());
    frame->registers = frame->storage.data() + (kAlignment - address % kAlignment) % kAlignment;
    frame->parameters.resize(size_t{function.parameter_bytes} * kLanes);
  }
  // What PTX leaves undefined is zero, so that a kernel that depends on it does the same every time.
  std::memset(frame->registers, 0, function.frame_bytes);
  frame->caller = caller;
  frame->live = lanes;
  frame->depth = caller ? caller->depth + 1 : 0;
  frame->local_base = caller ? caller->local_base + caller->function->local_bytes : 0;
  frame->site = nullptr;
  if (function.local_bytes) {
    reserve_local(frame->local_base + function.local_bytes);
    for (Mask rest = lanes; rest; rest &= rest - 1) {
      std::memset(local_written(first_lane(rest), frame->local_base), 0, function.local_bytes);
    }
  }
  fill_specials(*frame);
  frames_.push_back(std::move(frame));
  return frames_.back().get();
}

// Lanes return or end; the frame is kept for the next call once all have.
void Warp::drop_lanes(Frame& frame, Mask lanes) {
  frame.live &= ~lanes;
  if (frame.live) return;
  const auto at =
      std::find_if(frames_.begin(), frames_.end(), [&](const auto& other) { return other.get() == &frame; });
  free_frames_.push_back(std::move(*at));
  frames_.erase(at);
}

void Warp::reserve_local(uint32_t bytes) {
  if (bytes <= local_capacity_) return;
  const uint32_t capacity = std::max(bytes, 2 * local_capacity_);
  std::vector<std::byte> local(size_t{capacity} * kLanes);
  std::vector<uint8_t> written(size_t{capacity} * kLanes);
  if (local_capacity_) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      std::memcpy(&local[lane * capacity], &local_[lane * local_capacity_], local_capacity_);
      std::memcpy(&written[lane * capacity], &local_written_[lane * local_capacity_], local_capacity_);
    }
  }
  local_ = std::move(local);
  local_written_ = std::move(written);
  local_capacity_ = capacity;
}

void Warp::fill_specials(Frame& frame) {
  for (const SpecialRegister& special : frame.function->specials) {
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      const uint64_t value = special_value(special, frame, lane) + static_cast<uint64_t>(special.addend);
      std::memcpy(frame.registers + special.offset + size_t{lane} * special.bytes, &value, special.bytes);
    }
  }
}

uint64_t Warp::special_value(const SpecialRegister& special, const Frame& frame, uint32_t lane) const {
  const std::array<uint32_t, 3> thread = block_->thread(index_, lane);
  const auto axis = [&](Special x) { return static_cast<size_t>(special.kind) - static_cast<size_t>(x); };
  const auto of = [](const Dim3& size, size_t i) { return i == 0 ? size.x : i == 1 ? size.y : size.z; };
  switch (special.kind) {
    case Special::tid_x:
    case Special::tid_y:
    case Special::tid_z:
      return thread[axis(Special::tid_x)];
    case Special::ntid_x:
    case Special::ntid_y:
    case Special::ntid_z:
      return of(grid_->block, axis(Special::ntid_x));
    case Special::ctaid_x:
    case Special::ctaid_y:
    case Special::ctaid_z:
      return block_->coordinates()[axis(Special::ctaid_x)];
    case Special::nctaid_x:
    case Special::nctaid_y:
    case Special::nctaid_z:
      return of(grid_->grid, axis(Special::nctaid_x));
    case Special::laneid:
      return lane;
    case Special::warpid:
      return index_;
    case Special::nwarpid:
      return block_->warp_count();
    case Special::lanemask_eq:
      return 1u << lane;
    case Special::lanemask_lt:
      return (1u << lane) - 1;
    case Special::lanemask_le:
      return (2u << lane) - 1;
    case Special::lanemask_gt:
      return ~((2u << lane) - 1);
    case Special::lanemask_ge:
      return ~((1u << lane) - 1);
    case Special::nsmid:
    case Special::one:
      return 1;
    case Special::smid:
    case Special::gridid:
    case Special::zero:
      return 0;
    case Special::local_base:
      return frame.local_base;
    case Special::dynamic_smem_size:
      return grid_->shared_bytes - grid_->dynamic_offset;
    case Special::total_smem_size:
      return grid_->shared_bytes - grid_->module->reserved_shared_bytes;
    case Special::dynamic_shared:
      return grid_->dynamic_offset;
    case Special::variable:
      return (*grid_->variable_addresses)[special.index];
  }
  return 0;
}

}  // namespace wkv::emulator
