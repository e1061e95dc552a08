// How handlers that are not vectorised read and write registers.
#pragma once

#include <cstring>

#include "harness/emulator/context.hpp"

namespace wkv::emulator {

template <class T>
T* register_at(const Context& context, uint32_t offset) {
  return reinterpret_cast<T*>(context.registers + offset);
}
template <class T>
const T* values_of(const Context& context, const Source& source) {
  return reinterpret_cast<const T*>(source.lanes(context.registers));
}
inline Mask predicate_of(const Context& context, const Source& source) { return *values_of<Mask>(context, source); }
inline void set_predicate(const Context& context, uint32_t offset, Mask lanes, Mask value) {
  if (offset == kNone) return;
  Mask& mask = *register_at<Mask>(context, offset);
  mask = (mask & ~lanes) | (value & lanes);
}

// An operand of 2, 4 or 8 bytes, in 64 bits.
inline uint64_t value_in(const Context& context, const Source& source, uint32_t bytes, uint32_t lane) {
  uint64_t value = 0;
  std::memcpy(&value, source.lanes(context.registers) + size_t{lane} * bytes, bytes);
  return value;
}

// The addresses that lanes name: base register or symbol plus the immediate.
inline void addresses_of(const Context& context, const Op& op, uint64_t* addresses, const Source& base) {
  const auto offset = static_cast<uint64_t>(op.immediate);
  if (op.address_bytes == 4) {
    const auto* lanes = values_of<uint32_t>(context, base);
    for (uint32_t i = 0; i < kLanes; ++i) addresses[i] = static_cast<uint32_t>(lanes[i] + offset);
  } else {
    const auto* lanes = values_of<uint64_t>(context, base);
    for (uint32_t i = 0; i < kLanes; ++i) addresses[i] = lanes[i] + offset;
  }
}

template <class Body>
void for_each_lane(Mask lanes, const Body& body) {
  for (; lanes; lanes &= lanes - 1) body(first_lane(lanes));
}

}  // namespace wkv::emulator
