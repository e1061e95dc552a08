#include "tests/model/pth_writer.hpp"

#include <array>
#include <cstring>

namespace wkv {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

template <class Value>
std::string little_endian(Value value) {
  std::string bytes(sizeof(value), '\0');
  std::memcpy(bytes.data(), &value, sizeof(value));
  return bytes;
}
std::string u16(size_t value) { return little_endian(static_cast<uint16_t>(value)); }
std::string u32(size_t value) { return little_endian(static_cast<uint32_t>(value)); }
std::string u64(size_t value) { return little_endian(static_cast<uint64_t>(value)); }

// Checksums are left 0, since they are not compared.
std::string local_header(const ZipFile& file, size_t padding) {
  const std::string extra = "FB"s + u16(padding) + std::string(padding, 'Z');
  return "PK\3\4"s + u16(0) + u16(file.flags) + u16(file.method) + u32(0) + u32(0) + u32(0) + u32(0) +
         u16(file.name.size()) + u16(extra.size()) + file.name + extra;
}

std::string directory_entry(const ZipFile& file, size_t offset, ZipEnd end) {
  const bool wide = end == ZipEnd::zip64;
  const size_t bytes = file.data.size();
  const std::string extra = wide ? u16(1) + u16(24) + u64(bytes) + u64(bytes) + u64(offset) : "";
  const auto number = [&](size_t value) { return u32(wide ? UINT32_MAX : value); };
  return "PK\1\2"s + u16(0) + u16(0) + u16(file.flags) + u16(file.method) + u32(0) + u32(0) + number(bytes) +
         number(bytes) + u16(file.name.size()) + u16(extra.size()) + u16(0) + u16(0) + u16(0) + u32(0) +
         number(offset) + file.name + extra;
}

}  // namespace

std::string zip_of(const std::vector<ZipFile>& files, ZipEnd end) {
  constexpr size_t kAlignment = 64, kLocalBytes = 30, kExtraHead = 4;
  std::string bytes, directory;
  for (const ZipFile& file : files) {
    const size_t offset = bytes.size(), unpadded = offset + kLocalBytes + file.name.size() + kExtraHead;
    bytes += local_header(file, (kAlignment - unpadded % kAlignment) % kAlignment) + file.data;
    bytes += "PK\7\10"s + u32(0) + u32(file.data.size()) + u32(file.data.size());
    directory += directory_entry(file, offset, end);
  }
  const size_t at = bytes.size(), at64 = at + directory.size(), count = files.size();
  bytes += directory;
  if (end == ZipEnd::zip64) {
    bytes += "PK\6\6"s + u64(44) + u16(45) + u16(45) + u32(0) + u32(0) + u64(count) + u64(count) +
             u64(directory.size()) + u64(at) + "PK\6\7"s + u32(0) + u64(at64) + u32(1);
  }
  return bytes + "PK\5\6"s + u16(0) + u16(0) + u16(count) + u16(count) + u32(directory.size()) + u32(at) + u16(0);
}

PickleText& PickleText::text(std::string_view value) { return op("X").op(u32(value.size())).op(value); }
PickleText& PickleText::integer(int64_t value) { return op("\x8a\x08").op(u64(static_cast<uint64_t>(value))); }
PickleText& PickleText::integers(const std::vector<int64_t>& values) {
  op("(");
  for (const int64_t value : values) integer(value);
  return op("t");
}
PickleText& PickleText::global(std::string_view module, std::string_view name) {
  return op("c").op(module).op("\n").op(name).op("\n");
}

std::string pickle_of(const std::vector<PthTensor>& tensors) {
  PickleText pickle;
  pickle.op("}(");
  for (const PthTensor& tensor : tensors) {
    pickle.text(tensor.name).global("torch._utils", "_rebuild_tensor_v2").op("(");
    pickle.op("(").text("storage").global("torch", tensor.storage_type).text(tensor.key).text("cpu");
    pickle.integer(tensor.storage_elements).op("tQ").integer(tensor.offset);
    pickle.integers(tensor.shape).integers(tensor.strides).op("\x89");
    pickle.global("collections", "OrderedDict").op(")R").op(tensor.metadata).op("tR");
  }
  return pickle.op("u").end();
}

std::string image_of(const PthFile& file, ZipEnd end) {
  std::vector<ZipFile> files{{.name = "model/data.pkl", .data = file.pickle}};
  files.push_back({.name = "model/byteorder", .data = "little"});
  for (const auto& [key, bytes] : file.storages) files.push_back({.name = "model/data/" + key, .data = bytes});
  files.push_back({.name = "model/version", .data = "3\n"});
  return zip_of(files, end);
}

PthFile small_pth() {
  const std::array<float, 6> a{0, 1, 2, 3, 4, 5};
  const std::array<uint16_t, 4> b{0x0000, 0x3f80, 0x4000, 0x4040};
  const PthTensor second{
      .name = "b", .key = "1", .shape = {4}, .strides = {1}, .storage_elements = 4, .storage_type = "BFloat16Storage"};
  return {.pickle = pickle_of({PthTensor{.name = "a"}, second}),
          .storages = {{"0", {reinterpret_cast<const char*>(a.data()), sizeof(a)}},
                       {"1", {reinterpret_cast<const char*>(b.data()), sizeof(b)}}}};
}

const std::string_view kPickledInProtocol2 =
    "\200\002ccollections\012OrderedDict\012q\000)Rq\001(X\012\000\000\000emb.weightq\002ctorch._utils\012_rebuil"
    "d_tensor_v2\012q\003((X\007\000\000\000storageq\004ctorch\012BFloat16Storage\012q\005X\001\000\000\0000q\006"
    "X\003\000\000\000cpuq\007K\006tq\010QK\000K\002K\003\206q\011K\003K\001\206q\012\211h\000)Rq\013tq\014Rq\015"
    "X\013\000\000\000head.weightq\016ctorch._utils\012_rebuild_parameter\012q\017h\003((h\004ctorch\012FloatStor"
    "age\012q\020X\001\000\000\0001q\021h\007K\005tq\022QK\001K\001K\001K\004\207q\023K\004K\004K\001\207q\024"
    "\211h\000)Rq\025tq\026Rq\027\210h\000)Rq\030\207q\031Rq\032X\005\000\000\000epochq\033K\007X\002\000\000\000"
    "lrq\034G\077\340\000\000\000\000\000\000X\005\000\000\000extraq\035}q\036(X\005\000\000\000stepsq\037]q (K"
    "\001K\002K\003eX\003\000\000\000bigq!\212\006\000\000\000\000\000\001X\004\000\000\000noneq\"NX\004\000\000"
    "\000flagq#\210uu}q$X\011\000\000\000_metadataq%h\000)Rq&X\000\000\000\000q'}q(X\007\000\000\000versionq)K"
    "\001sssb."sv;

const std::string_view kPickledInProtocol4 =
    "\200\004\225\223\001\000\000\000\000\000\000\214\013collections\224\214\013OrderedDict\224\223\224)R\224("
    "\214\012emb.weight\224\214\014torch._utils\224\214\022_rebuild_tensor_v2\224\223\224((\214\007storage\224"
    "\214\005torch\224\214\017BFloat16Storage\224\223\224\214\0010\224\214\003cpu\224K\006t\224QK\000K\002K\003"
    "\206\224K\003K\001\206\224\211h\002)R\224t\224R\224\214\013head.weight\224h\005\214\022_rebuild_parameter"
    "\224\223\224h\007((h\010h\011\214\014FloatStorage\224\223\224\214\0011\224h\015K\005t\224QK\001K\001K\001K"
    "\004\207\224K\004K\004K\001\207\224\211h\002)R\224t\224R\224\210h\002)R\224\207\224R\224\214\005epoch\224K"
    "\007\214\002lr\224G\077\340\000\000\000\000\000\000\214\005extra\224}\224(\214\005steps\224]\224(K\001K\002K"
    "\003e\214\003big\224\212\006\000\000\000\000\000\001\214\004none\224N\214\004flag\224\210uu}\224\214\011_met"
    "adata\224h\002)R\224\214\000\224}\224\214\007version\224K\001sssb."sv;

}  // namespace wkv
