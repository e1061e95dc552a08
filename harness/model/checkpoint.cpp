#include "harness/model/checkpoint.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <string_view>

#include "harness/model/pth.hpp"
#include "harness/safetensors_header.hpp"

namespace wkv::model {
namespace {

using namespace std::string_view_literals;

// What torch.save pickled first, before PyTorch 1.6: LONG1 0x1950a86a20f9469cfc6c.
constexpr std::string_view kOldMagic = "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"sv;

[[noreturn]] void fail(const std::filesystem::path& path, std::string_view message) {
  throw std::runtime_error(fmt::format("cannot read {}: {}", path.string(), message));
}

}  // namespace

Checkpoint::Checkpoint(const std::filesystem::path& path) : path_(path), file_(path) {
  const std::span<const std::byte> bytes = file_.bytes();
  const std::string_view start(reinterpret_cast<const char*>(bytes.data()), std::min<size_t>(bytes.size(), 32));
  try {
    // The header's brace comes first: the length before it may read as "PK", but in a zip file 9 bytes on is 0.
    if (start.size() > 8 && start[8] == '{') {
      SafetensorsHeader header = read_safetensors_header(bytes);
      tensors_ = std::move(header.tensors);
      metadata_ = std::move(header.metadata);
    } else if (start.starts_with("PK\3\4"sv)) {
      tensors_ = read_pth(bytes);
    } else if (start.starts_with('\x80') && start.find(kOldMagic) != std::string_view::npos) {
      throw std::runtime_error(
          "it is in PyTorch's old format, which a PyTorch of 1.6 or later converts: "
          "torch.save(torch.load(OLD, map_location=\"cpu\"), NEW)");
    } else {
      throw std::runtime_error("it is neither a .safetensors file nor a zip file of torch.save (.pth)");
    }
  } catch (const std::runtime_error& error) {
    fail(path_, error.what());
  }
  for (size_t i = 0; i < tensors_.size(); ++i) index_.emplace(tensors_[i].name, i);
}

const StoredTensor* Checkpoint::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

const StoredTensor& Checkpoint::tensor(std::string_view name) const {
  const StoredTensor* found = find(name);
  if (found == nullptr) fail(path_, fmt::format("there is no tensor {}", in_quotes(name)));
  return *found;
}

size_t Checkpoint::offset_of(const StoredTensor& tensor) const {
  return static_cast<size_t>(tensor.bytes.data() - file_.bytes().data());
}

}  // namespace wkv::model
