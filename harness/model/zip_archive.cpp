#include "harness/model/zip_archive.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "harness/stored_tensor.hpp"

namespace wkv::model {
namespace {

using Bytes = std::span<const std::byte>;

constexpr uint32_t kLocalSignature = 0x04034b50, kDirectorySignature = 0x02014b50, kEndSignature = 0x06054b50;
constexpr uint32_t kEnd64Signature = 0x06064b50, kLocatorSignature = 0x07064b50;
constexpr size_t kLocalBytes = 30, kDirectoryBytes = 46, kEndBytes = 22, kEnd64Bytes = 56, kLocatorBytes = 20;
constexpr size_t kMaxComment = 0xffff;
constexpr uint16_t kZip64Extra = 1;
constexpr uint16_t kEncrypted = 1 << 0 | 1 << 6 | 1 << 13, kPatched = 1 << 5;

template <class... Arguments>
[[noreturn]] void fail(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  throw std::runtime_error(fmt::format(format, std::forward<Arguments>(arguments)...));
}

Bytes part_of(Bytes file, uint64_t offset, uint64_t size, std::string_view what) {
  if (offset > file.size() || size > file.size() - offset) {
    fail("the zip file's {} at {} has {} bytes, beyond the end of its part at {}", what, offset, size, file.size());
  }
  return file.subspan(offset, size);
}

// A record's fields, all of which lie inside it.
class Record {
 public:
  explicit Record(Bytes bytes) : bytes_(bytes) {}
  uint16_t u16(size_t at) const { return get<uint16_t>(at); }
  uint32_t u32(size_t at) const { return get<uint32_t>(at); }
  uint64_t u64(size_t at) const { return get<uint64_t>(at); }

 private:
  template <class Value>
  Value get(size_t at) const {
    Value value;
    std::memcpy(&value, bytes_.subspan(at, sizeof(value)).data(), sizeof(value));
    return value;
  }
  Bytes bytes_;
};

std::string_view text(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

struct Directory {
  uint64_t entries, offset, bytes;
  size_t limit;  // it ends before this
};

// The end record is at the end of the file but for a comment.
size_t find_end(Bytes file) {
  if (file.size() >= kEndBytes) {
    const size_t last = file.size() - kEndBytes, first = last - std::min(last, kMaxComment);
    for (size_t at = last + 1; at-- > first;) {
      const Record end(file.subspan(at, kEndBytes));
      if (end.u32(0) == kEndSignature && end.u16(20) == last - at) return at;
    }
  }
  fail("the zip file's directory is missing: the file was cut off or goes on after its end");
}

Directory find_directory(Bytes file) {
  const size_t at = find_end(file);
  const Record end(file.subspan(at, kEndBytes));
  if (end.u16(4) != 0 || end.u16(6) != 0 || end.u16(8) != end.u16(10)) fail("the zip file is split into parts");
  Directory directory{.entries = end.u16(10), .offset = end.u32(16), .bytes = end.u32(12), .limit = at};
  if (at >= kLocatorBytes) {
    const Record locator(file.subspan(at - kLocatorBytes, kLocatorBytes));
    if (locator.u32(0) == kLocatorSignature) {
      const uint64_t at64 = locator.u64(8);
      const Record end64(part_of(file.first(at - kLocatorBytes), at64, kEnd64Bytes, "zip64 end record"));
      if (end64.u32(0) != kEnd64Signature) fail("the zip file has no zip64 end record at {}", at64);
      if (end64.u32(16) != 0 || end64.u32(20) != 0 || end64.u64(24) != end64.u64(32)) {
        fail("the zip file is split into parts");
      }
      directory = {.entries = end64.u64(32), .offset = end64.u64(48), .bytes = end64.u64(40), .limit = at64};
    }
  }
  if (directory.offset > directory.limit || directory.bytes > directory.limit - directory.offset) {
    fail("the zip file's directory, {} bytes at {}, does not end before {}", directory.bytes, directory.offset,
         directory.limit);
  }
  return directory;
}

// What a directory entry says, its zip64 fields resolved.
struct Description {
  std::string_view name;
  uint64_t stored_bytes, bytes, offset;
  size_t record_bytes;
};

// In zip64's extra field are those of the three that do not fit 32 bits, in this order.
void resolve_zip64(Bytes extra, Description& description) {
  while (extra.size() >= 4) {
    const Record head(extra.first(4));
    const Bytes field = extra.subspan(4, std::min<size_t>(head.u16(2), extra.size() - 4));
    if (head.u16(0) != kZip64Extra) {
      extra = extra.subspan(4 + field.size());
      continue;
    }
    size_t read = 0;
    for (uint64_t* value : {&description.bytes, &description.stored_bytes, &description.offset}) {
      if (*value != UINT32_MAX) continue;
      if (read + 8 > field.size()) fail("the zip64 field of zip entry {} is too short", in_quotes(description.name));
      *value = Record(field).u64(read);
      read += 8;
    }
    return;
  }
}

// Both kinds of header have flags and method at the same distance.
void check_storage(const Record& header, size_t flags_at, std::string_view name) {
  const uint16_t flags = header.u16(flags_at), method = header.u16(flags_at + 2);
  if ((flags & kEncrypted) != 0) fail("zip entry {} is encrypted", in_quotes(name));
  if (method != 0 || (flags & kPatched) != 0) {
    fail("zip entry {} is compressed (method {}); torch.save stores entries as they are", in_quotes(name), method);
  }
}

// `file` ends where the directory does.
Description read_description(Bytes file, size_t at) {
  constexpr const char* kWhat = "directory entry";
  const Record header(part_of(file, at, kDirectoryBytes, kWhat));
  if (header.u32(0) != kDirectorySignature) fail("the zip file has no directory entry at {}", at);
  const size_t name_bytes = header.u16(28), extra_bytes = header.u16(30);
  const size_t record_bytes = kDirectoryBytes + name_bytes + extra_bytes + header.u16(32);
  const Bytes variable = part_of(file, at, record_bytes, kWhat).subspan(kDirectoryBytes);
  Description description{.name = text(variable.first(name_bytes)),
                          .stored_bytes = header.u32(20),
                          .bytes = header.u32(24),
                          .offset = header.u32(42),
                          .record_bytes = record_bytes};
  check_storage(header, 8, description.name);
  resolve_zip64(variable.subspan(name_bytes, extra_bytes), description);
  if (description.bytes != description.stored_bytes) {
    fail("zip entry {} has {} bytes but is stored in {}", in_quotes(description.name), description.bytes,
         description.stored_bytes);
  }
  return description;
}

// `files` is the part of the file before the directory. Sizes in the local header may be 0 with the true ones behind
// the data, as PyTorch writes them, so only the directory's count.
ZipEntry locate(Bytes files, const Description& description) {
  const Record header(part_of(files, description.offset, kLocalBytes, "local header"));
  if (header.u32(0) != kLocalSignature) {
    fail("zip entry {} has no local header at {}", in_quotes(description.name), description.offset);
  }
  check_storage(header, 6, description.name);
  const size_t name_bytes = header.u16(26), begin = description.offset + kLocalBytes + name_bytes + header.u16(28);
  if (begin > files.size() || description.bytes > files.size() - begin) {
    fail("zip entry {} has {} bytes at {}, beyond the entries' end at {}", in_quotes(description.name),
         description.bytes, begin, files.size());
  }
  if (text(files.subspan(description.offset + kLocalBytes, name_bytes)) != description.name) {
    fail("zip entry {} has another name in its local header at {}", in_quotes(description.name), description.offset);
  }
  return {.name = description.name, .data = files.subspan(begin, description.bytes)};
}

void check_distinct(std::vector<ZipEntry> entries, Bytes file) {
  std::sort(entries.begin(), entries.end(), [](const ZipEntry& a, const ZipEntry& b) { return a.name < b.name; });
  for (size_t i = 1; i < entries.size(); ++i) {
    if (entries[i - 1].name == entries[i].name) fail("zip entry {} is there twice", in_quotes(entries[i].name));
  }
  std::sort(entries.begin(), entries.end(), [](const ZipEntry& a, const ZipEntry& b) {
    return std::pair(a.data.data(), a.data.size()) < std::pair(b.data.data(), b.data.size());
  });
  size_t covered = 0;
  for (size_t i = 0; i < entries.size(); ++i) {
    const auto begin = static_cast<size_t>(entries[i].data.data() - file.data());
    if (begin < covered) {
      fail("zip entry {} begins at {}, inside {}, which ends at {}", in_quotes(entries[i].name), begin,
           in_quotes(entries[i - 1].name), covered);
    }
    covered = begin + entries[i].data.size();
  }
}

}  // namespace

std::vector<ZipEntry> read_zip_directory(Bytes file) {
  const Directory directory = find_directory(file);
  const Bytes files = file.first(directory.offset), to_end = file.first(directory.offset + directory.bytes);
  std::vector<ZipEntry> entries;
  for (size_t at = directory.offset; at < to_end.size();) {
    const Description description = read_description(to_end, at);
    entries.push_back(locate(files, description));
    at += description.record_bytes;
  }
  if (entries.size() != directory.entries) {
    fail("the zip file's directory has {} entries, not {}", entries.size(), directory.entries);
  }
  check_distinct(entries, file);
  return entries;
}

}  // namespace wkv::model
