// .pth files as torch.save writes them, and with anything about them wrong.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace wkv {

// An entry of a zip file. The defaults are PyTorch's: stored, data at a multiple of 64, sizes behind the data (bit 3 of
// the flags), names in UTF-8 (bit 11).
struct ZipFile {
  std::string name, data;
  uint16_t flags = 0x0808, method = 0;
};
enum class ZipEnd { plain, zip64 };  // zip64: as PyTorch, with every size and offset of the directory in 64 bits

std::string zip_of(const std::vector<ZipFile>& files, ZipEnd end = ZipEnd::zip64);

// The opcodes of a pickle of protocol 2, by what they do.
class PickleText {
 public:
  PickleText() : text_("\x80\x02") {}

  PickleText& op(std::string_view opcodes) { return text_ += opcodes, *this; }
  PickleText& text(std::string_view value);
  PickleText& integer(int64_t value);
  PickleText& integers(const std::vector<int64_t>& values);  // a tuple
  PickleText& global(std::string_view module, std::string_view name);

  std::string end() const { return text_ + "."; }

 private:
  std::string text_;
};

struct PthTensor {
  std::string name, key = "0";
  std::vector<int64_t> shape{2, 3}, strides{3, 1};
  int64_t offset = 0;
  int64_t storage_elements = 6;
  std::string storage_type = "FloatStorage";
  std::string metadata = "";  // opcodes of a seventh argument
};
std::string pickle_of(const std::vector<PthTensor>& tensors);

struct PthFile {
  std::string pickle;
  std::map<std::string, std::string> storages;
};
std::string image_of(const PthFile& file, ZipEnd end = ZipEnd::zip64);

// A small valid one: "a" f32 (2, 3), "b" bf16 (4), both with values 0, 1, 2 ...
PthFile small_pth();

// What Python's own pickler makes of an OrderedDict in protocols 2 and 4: "emb.weight" bf16 (2, 3) in storage "0", the
// parameter "head.weight" f32 (1, 1, 4) from the second of the five elements of "1", a number, a float, a dict of plain
// values, and the attribute _metadata.
extern const std::string_view kPickledInProtocol2, kPickledInProtocol4;

}  // namespace wkv
