#include "harness/device/fatbin.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <cstring>

#include "harness/device/device.hpp"

namespace wkv {
namespace {

struct FileHeader {
  uint32_t magic;
  uint16_t version;
  uint16_t header_bytes;
  uint64_t payload_bytes;  // of all parts with their headers
};

struct PartHeader {
  uint16_t kind;
  uint16_t version;
  uint32_t header_bytes;
  uint64_t payload_bytes;
  uint32_t unused[3];
  uint32_t architecture;
};

constexpr uint32_t kMagic = 0xba55ed50u;
constexpr uint16_t kPtx = 1;

template <class Header>
Header read(const std::byte* from) {
  Header header;
  std::memcpy(&header, from, sizeof(header));
  return header;
}

}  // namespace

std::string_view ptx_of(const std::byte* fatbin, int architecture) {
  const auto file = read<FileHeader>(fatbin);
  if (file.magic != kMagic || file.version != 1) {
    throw DeviceError(fmt::format("unknown fat binary: magic {:#x}, version {}", file.magic, file.version));
  }
  std::string_view found;
  uint32_t found_architecture = 0;
  const std::byte* end = fatbin + file.header_bytes + file.payload_bytes;
  for (const std::byte* at = fatbin + file.header_bytes; at < end;) {
    const auto part = read<PartHeader>(at);
    const std::string_view payload(reinterpret_cast<const char*>(at + part.header_bytes), part.payload_bytes);
    const bool wanted = architecture == 0 ? part.architecture > found_architecture
                                          : part.architecture == static_cast<uint32_t>(architecture);
    if (part.kind == kPtx && wanted) {
      found = payload.substr(0, payload.find('\0'));
      found_architecture = part.architecture;
    }
    at += part.header_bytes + part.payload_bytes;
  }
  if (found.empty()) throw DeviceError(fmt::format("the fat binary has no PTX for sm_{}", architecture));
  if (found.find(".version") == std::string_view::npos) throw DeviceError("the PTX in the fat binary is compressed");
  return found;
}

}  // namespace wkv
