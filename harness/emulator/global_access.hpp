// Accesses to global and constant memory: allocation, never-written bytes, sectors.
#pragma once

#include "harness/emulator/coalescing.hpp"
#include "harness/emulator/context.hpp"

namespace wkv::emulator {

// A lane's value lies at lane * bytes. Returns the lanes that loaded.
Mask load_global(Context& context, const Op& op, Space space, Accesses accesses, std::byte* values);
void store_global(Context& context, const Op& op, Space space, Accesses accesses, const std::byte* values);
// Where an atomic operation of the lane is to act; null if it cannot.
std::byte* atomic_place(Context& context, const Op& op, Space space, uint64_t address, uint32_t lane, uint32_t bytes);

}  // namespace wkv::emulator
