#include "harness/model/zip_archive.hpp"

#include <catch2/catch.hpp>
#include <cstring>
#include <stdexcept>

#include "tests/model/pth_writer.hpp"

namespace wkv::model {
namespace {

using namespace std::string_literals;

std::vector<ZipEntry> read(std::string_view bytes) {
  return read_zip_directory(std::as_bytes(std::span(bytes.data(), bytes.size())));
}

std::string refusal(std::string_view bytes) {
  try {
    read(bytes);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return {};
}

template <class Value>
std::string patched(std::string bytes, size_t at, Value value) {
  std::memcpy(bytes.data() + at, &value, sizeof(value));
  return bytes;
}

const std::vector<ZipFile> kFiles{{.name = "m/data.pkl", .data = "pickle"}, {.name = "m/data/0", .data = "weights"}};

TEST_CASE("zip: entries of plain and of zip64 directories are where their headers say") {
  const ZipEnd end = GENERATE(ZipEnd::plain, ZipEnd::zip64);
  const std::string file = zip_of(kFiles, end);
  const auto entries = read(file);
  REQUIRE(entries.size() == 2);
  for (size_t i = 0; i < entries.size(); ++i) {
    REQUIRE(entries[i].name == kFiles[i].name);
    const std::string_view data(reinterpret_cast<const char*>(entries[i].data.data()), entries[i].data.size());
    REQUIRE(data == kFiles[i].data);
    REQUIRE((data.data() - file.data()) % 64 == 0);
  }
  REQUIRE(read(zip_of({}, end)).empty());
}

TEST_CASE("zip: a comment may follow the directory, and nothing else") {
  const std::string file = zip_of(kFiles);
  REQUIRE(read(patched(file, file.size() - 2, uint16_t{5}) + "PK\5\6!").size() == 2);
  const std::string missing = "the zip file's directory is missing: the file was cut off or goes on after its end";
  REQUIRE(refusal(file + "x") == missing);
  REQUIRE(refusal("") == missing);
}

TEST_CASE("zip: compressed, encrypted and split files are refused by name") {
  const auto with = [](uint16_t flags, uint16_t method) {
    return zip_of({{.name = "m/data.pkl", .data = "pickle", .flags = flags, .method = method}});
  };
  REQUIRE(refusal(with(0x0808, 8)) ==
          R"(zip entry "m/data.pkl" is compressed (method 8); torch.save stores entries as they are)");
  for (const uint16_t flags : {0x0001, 0x0041, 0x2000}) {
    REQUIRE(refusal(with(flags, 0)) == R"(zip entry "m/data.pkl" is encrypted)");
  }
  const std::string plain = zip_of(kFiles, ZipEnd::plain), wide = zip_of(kFiles);
  REQUIRE(refusal(patched(plain, plain.size() - 18, uint16_t{1})) == "the zip file is split into parts");
  REQUIRE(refusal(patched(wide, wide.rfind("PK\6\6") + 16, uint32_t{1})) == "the zip file is split into parts");
}

TEST_CASE("zip: a directory that contradicts itself or the file is refused") {
  const std::string file = zip_of(kFiles, ZipEnd::plain), wide = zip_of(kFiles);
  const size_t entry = file.rfind("PK\1\2"), end = file.rfind("PK\5\6"), directory = file.find("PK\1\2");
  const size_t wide_entry = wide.rfind("PK\1\2"), end64 = wide.rfind("PK\6\6"), locator = wide.rfind("PK\6\7");
  uint32_t offset = 0;
  std::memcpy(&offset, file.data() + entry + 42, sizeof(offset));
  const struct {
    std::string bytes, message;
  } cases[] = {
      {patched(patched(file, end + 8, uint16_t{3}), end + 10, uint16_t{3}),
       "the zip file's directory has 2 entries, not 3"},
      {patched(file, end + 16, uint32_t{0x7fffffff}),
       "the zip file's directory, 110 bytes at 2147483647, does not end before 261"},
      {patched(file, end + 12, uint32_t{1000}), "the zip file's directory, 1000 bytes at 151, does not end before 261"},
      {patched(file, end + 12, uint32_t{105}),
       "the zip file's directory entry at 207 has 54 bytes, beyond the end of its part at 256"},
      {patched(file, end + 12, uint32_t{60}),
       "the zip file's directory entry at 207 has 46 bytes, beyond the end of its part at 211"},
      {patched(file, entry, uint32_t{0}), "the zip file has no directory entry at 207"},
      {patched(file, entry + 42, offset + 1), R"(zip entry "m/data/0" has no local header at 87)"},
      {patched(file, entry + 42, uint32_t{0}), R"(zip entry "m/data/0" has another name in its local header at 0)"},
      {patched(file, entry + 42, uint32_t{130}),
       "the zip file's local header at 130 has 30 bytes, beyond the end of its part at 151"},
      {patched(file, entry + 20, uint32_t{8}), R"(zip entry "m/data/0" has 7 bytes but is stored in 8)"},
      {patched(patched(file, entry + 20, uint32_t{80}), entry + 24, uint32_t{80}),
       R"(zip entry "m/data/0" has 80 bytes at 128, beyond the entries' end at 151)"},
      {patched(file, offset + 28, uint16_t{0xffff}),
       R"(zip entry "m/data/0" has 7 bytes at 65659, beyond the entries' end at 151)"},
      {patched(wide, wide_entry + 46 + 8 + 2, uint16_t{16}), R"(the zip64 field of zip entry "m/data/0" is too short)"},
      {patched(wide, end64, uint32_t{0}), "the zip file has no zip64 end record at 317"},
      {patched(wide, locator + 8, UINT64_MAX - 7),
       "the zip file's zip64 end record at 18446744073709551608 has 56 bytes, beyond the end of its part at 373"},
      {patched(wide, wide_entry + 46 + 8 + 4, UINT64_MAX),
       R"(zip entry "m/data/0" has 18446744073709551615 bytes but is stored in 7)"},
      {patched(wide, wide_entry + 46 + 8 + 20, UINT64_MAX),
       "the zip file's local header at 18446744073709551615 has 30 bytes, beyond the end of its part at 151"},
      {zip_of({kFiles[0], kFiles[0]}), R"(zip entry "m/data.pkl" is there twice)"},
  };
  REQUIRE(directory == 151);
  for (const auto& damaged : cases) {
    CAPTURE(damaged.message);
    REQUIRE(refusal(damaged.bytes) == damaged.message);
  }
}

TEST_CASE("zip: entries whose data overlap are refused") {
  const std::string inner = zip_of({{.name = "m/data/1", .data = "inside"}}, ZipEnd::plain);
  std::string file =
      zip_of({{.name = "m/data/0", .data = inner}, {.name = "m/data/1", .data = "beside"}}, ZipEnd::plain);
  file = patched(file, file.rfind("PK\1\2") + 42, static_cast<uint32_t>(file.find(inner)));
  REQUIRE(refusal(file) == R"(zip entry "m/data/1" begins at 128, inside "m/data/0", which ends at 226)");
}

}  // namespace
}  // namespace wkv::model
