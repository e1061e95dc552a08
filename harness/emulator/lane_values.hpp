// Values of 1, 2, 4, 8 or 16 bytes, one for each lane at lane * bytes: copies without a call of memcpy.
#pragma once

#include <cstddef>
#include <cstring>

#include "harness/emulator/program.hpp"

namespace wkv::emulator {

// Calls body with the size as a constant.
template <class Body>
inline void with_size(uint32_t bytes, const Body& body) {
  switch (bytes) {
    case 1:
      return body(std::integral_constant<size_t, 1>());
    case 2:
      return body(std::integral_constant<size_t, 2>());
    case 4:
      return body(std::integral_constant<size_t, 4>());
    case 8:
      return body(std::integral_constant<size_t, 8>());
    default:
      return body(std::integral_constant<size_t, 16>());
  }
}

inline void copy_value(void* to, const void* from, uint32_t bytes) {
  with_size(bytes, [&](auto size) { std::memcpy(to, from, size); });
}

// The same value for all lanes of the mask.
inline void broadcast(std::byte* values, Mask lanes, const void* from, uint32_t bytes) {
  with_size(bytes, [&](auto size) {
    std::byte value[size];
    std::memcpy(value, from, size);
    if (lanes == kFull) {
      for (uint32_t lane = 0; lane < kLanes; ++lane) std::memcpy(values + lane * size, value, size);
    } else {
      for (Mask rest = lanes; rest; rest &= rest - 1) std::memcpy(values + first_lane(rest) * size, value, size);
    }
  });
}

// Whether each of the bytes is the one given.
inline bool all_bytes_are(const uint8_t* bytes, uint32_t count, uint8_t byte) {
  bool result = false;
  with_size(count, [&](auto size) {
    uint8_t expected[size];
    std::memset(expected, byte, size);
    result = std::memcmp(bytes, expected, size) == 0;
  });
  return result;
}

}  // namespace wkv::emulator
