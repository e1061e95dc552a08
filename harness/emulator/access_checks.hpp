// What every access is checked for, whatever its state space.
#pragma once

#include <string>

#include "harness/emulator/coalescing.hpp"
#include "harness/emulator/context.hpp"

namespace wkv::emulator {

std::string access_text(bool writes, uint32_t bytes, Space space, uint64_t address);

// The lanes whose address is a multiple of the access's size. Values of 12 bytes and the like do not exist.
Mask aligned_lanes(Context& context, const Op& op, Space space, const Accesses& accesses, bool writes);
// The lanes that lie in [0, size) of a space with small addresses.
Mask lanes_below(Context& context, const Op& op, Space space, const Accesses& accesses, uint64_t size, bool writes);

}  // namespace wkv::emulator
