#include "harness/model/pth.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <set>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>

#include "harness/model/pickle.hpp"
#include "harness/model/zip_archive.hpp"

namespace wkv::model {
namespace {

using Bytes = std::span<const std::byte>;

constexpr std::string_view kRebuildTensor = "torch._utils._rebuild_tensor_v2";
constexpr std::string_view kRebuildParameter = "torch._utils._rebuild_parameter";
constexpr size_t kMaxRank = 64;

constexpr std::pair<std::string_view, StoredType> kStorageTypes[] = {
    {"torch.FloatStorage", StoredType::f32}, {"torch.BFloat16Storage", StoredType::bf16},
    {"torch.HalfStorage", StoredType::f16},  {"torch.DoubleStorage", StoredType::f64},
    {"torch.LongStorage", StoredType::i64},  {"torch.IntStorage", StoredType::i32},
    {"torch.ShortStorage", StoredType::i16}, {"torch.CharStorage", StoredType::i8},
    {"torch.ByteStorage", StoredType::u8},   {"torch.BoolStorage", StoredType::boolean},
};
constexpr auto kGlobals = [] {
  std::array<AllowedGlobal, 3 + std::size(kStorageTypes)> globals{
      {{"collections.OrderedDict", true}, {kRebuildTensor, true}, {kRebuildParameter, true}}};
  for (size_t i = 0; i < std::size(kStorageTypes); ++i) globals[3 + i] = {kStorageTypes[i].first, false};
  return globals;
}();

struct Storage {
  StoredType type;
  Bytes bytes;
};

class StateDict {
 public:
  StateDict(const Pickle& pickle, const Storages& storages) : pickle_(pickle), storages_(storages) {}

  std::vector<StoredTensor> tensors() {
    std::vector<StoredTensor> tensors;
    for (const auto& [key, value] : pickle_.dicts[dict_of_tensors()]) {
      const auto* call = pickle_.get_if<PickleCall>(value);
      if (call == nullptr) continue;
      tensor_ = {};
      at_ = value;
      const auto* name = pickle_.get_if<std::string_view>(key);
      if (name == nullptr) fail("its name is not a string");
      tensor_ = *name;
      if (!names_.insert(*name).second) fail("the name is there twice");
      tensors.push_back(read(*call));
    }
    return tensors;
  }

 private:
  // The outermost one, or else the only one in it that has tensors, as in a checkpoint of training.
  uint32_t dict_of_tensors() const {
    const auto* outermost = pickle_.get_if<PickleDict>(pickle_.root);
    if (outermost == nullptr) throw std::runtime_error("the pickle's outermost value is not a dict of tensors");
    std::vector<bool> has_tensors;
    for (const auto& items : pickle_.dicts) {
      has_tensors.push_back(std::any_of(items.begin(), items.end(), [&](const auto& item) {
        return pickle_.get_if<PickleCall>(item.second) != nullptr;
      }));
    }
    if (has_tensors[outermost->index]) return outermost->index;
    std::vector<std::pair<PickleId, uint32_t>> found;
    for (const auto& [key, value] : pickle_.dicts[outermost->index]) {
      const auto* dict = pickle_.get_if<PickleDict>(value);
      if (dict != nullptr && has_tensors[dict->index]) found.emplace_back(key, dict->index);
    }
    if (found.empty()) throw std::runtime_error("the pickle's dict has no tensors, nor has a dict in it");
    if (found.size() > 1) {
      throw std::runtime_error(fmt::format("the pickle's dicts {} and {} both have tensors; save one of them alone",
                                           shown(found[0].first), shown(found[1].first)));
    }
    return found.front().second;
  }
  std::string shown(PickleId key) const {
    const auto* name = pickle_.get_if<std::string_view>(key);
    return name != nullptr ? in_quotes(*name) : fmt::format("pickled at {}", pickle_.values[key].offset);
  }

  template <class... Arguments>
  [[noreturn]] void fail(fmt::format_string<Arguments...> format, Arguments&&... arguments) const {
    throw std::runtime_error(fmt::format("tensor {}, pickled at {}: {}", in_quotes(tensor_), pickle_.values[at_].offset,
                                         fmt::format(format, std::forward<Arguments>(arguments)...)));
  }

  template <class Content>
  Content expect(PickleId id, const char* what) const {
    const Content* content = pickle_.get_if<Content>(id);
    if (content == nullptr) fail("its {}", what);
    return *content;
  }

  StoredTensor read(PickleCall call) {
    auto arguments = pickle_.elements_of(*pickle_.get_if<PickleTuple>(call.arguments));
    if (call.global == kRebuildParameter) {  // data, requires_grad, backward_hooks
      if (arguments.size() != 3) fail("a parameter has {} parts, not 3", arguments.size());
      call = expect<PickleCall>(arguments[0], "parameter holds no tensor");
      if (call.global != kRebuildTensor) fail("its parameter holds no tensor");
      arguments = pickle_.elements_of(*pickle_.get_if<PickleTuple>(call.arguments));
    }
    // storage, storage_offset, size, stride, requires_grad, backward_hooks, and in newer files metadata
    if (arguments.size() != 6 && arguments.size() != 7) fail("it has {} parts, not 6 or 7", arguments.size());
    if (arguments.size() == 7 && !is_nothing(arguments[6])) fail("it is a view that changes values (its metadata)");
    const Storage storage = read_storage(arguments[0]);
    StoredTensor tensor{.name = std::string(tensor_), .type = storage.type, .shape = {}, .bytes = {}};
    tensor.shape = whole_numbers(arguments[2], "sizes");
    check_contiguous(tensor.shape, whole_numbers(arguments[3], "strides"));
    const auto offset = expect<int64_t>(arguments[1], "offset is not a whole number");
    tensor.bytes = part_of(storage, offset, tensor.shape);
    return tensor;
  }

  bool is_nothing(PickleId id) const {
    const auto* dict = pickle_.get_if<PickleDict>(id);
    return dict != nullptr ? pickle_.dicts[dict->index].empty() : pickle_.get_if<PickleNone>(id) != nullptr;
  }

  // ("storage", type, key, location, elements)
  Storage read_storage(PickleId id) const {
    const auto persistent = expect<PicklePersistent>(id, "storage is not one");
    const auto parts = pickle_.elements_of(expect<PickleTuple>(persistent.id, "storage is not a tuple"));
    if (parts.size() != 5) fail("its storage has {} parts, not 5", parts.size());
    if (expect<std::string_view>(parts[0], "storage is not called so") != "storage")
      fail("its storage is not called so");
    const auto global = expect<PickleGlobal>(parts[1], "storage has no type");
    const auto* type = std::find_if(std::begin(kStorageTypes), std::end(kStorageTypes),
                                    [&](const auto& entry) { return entry.first == global.name; });
    if (type == std::end(kStorageTypes)) fail("{} is not a storage", global.name);
    const auto key = expect<std::string_view>(parts[2], "storage's key is not a string");
    const auto elements = expect<int64_t>(parts[4], "storage's size is not a whole number");
    const auto found = storages_.find(key);
    if (found == storages_.end()) fail("the zip file has no storage {}", in_quotes(key));
    const Storage storage{type->second, found->second};
    int64_t bytes = 0;
    if (__builtin_mul_overflow(elements, static_cast<int64_t>(size_of(storage.type)), &bytes) ||
        bytes != std::ssize(storage.bytes)) {
      fail("its storage {} has {} bytes, not {} elements of {}", in_quotes(key), storage.bytes.size(), elements,
           name_of(storage.type));
    }
    return storage;
  }

  std::vector<int64_t> whole_numbers(PickleId id, const char* what) const {
    const auto* tuple = pickle_.get_if<PickleTuple>(id);
    if (tuple == nullptr) fail("its {} are not a tuple", what);
    if (tuple->count > kMaxRank) fail("it has more than {} dimensions", kMaxRank);
    std::vector<int64_t> numbers;
    for (const PickleId element : pickle_.elements_of(*tuple)) {
      const auto* number = pickle_.get_if<int64_t>(element);
      if (number == nullptr || *number < 0) fail("its {} are not whole numbers of 0 and above", what);
      numbers.push_back(*number);
    }
    return numbers;
  }

  // The stride of a dimension of one element has no meaning, nor have those of a tensor without elements.
  void check_contiguous(const std::vector<int64_t>& shape, const std::vector<int64_t>& strides) const {
    if (shape.size() != strides.size()) fail("it has shape {} but strides {}", to_string(shape), to_string(strides));
    if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return;
    int64_t elements = 1;
    for (size_t d = shape.size(); d-- > 0;) {
      if (shape[d] != 1 && strides[d] != elements) {
        fail("it is not contiguous: shape {} with strides {}; save it after .contiguous()", to_string(shape),
             to_string(strides));
      }
      if (__builtin_mul_overflow(elements, shape[d], &elements)) {
        fail("the size of shape {} is out of range", to_string(shape));
      }
    }
  }

  // Of a checked shape.
  Bytes part_of(const Storage& storage, int64_t offset, const std::vector<int64_t>& shape) const {
    const auto unit = static_cast<int64_t>(size_of(storage.type)), size = std::ssize(storage.bytes) / unit;
    int64_t elements = 1;
    if (std::find(shape.begin(), shape.end(), 0) != shape.end()) elements = 0;
    for (size_t d = 0; d < shape.size() && elements != 0; ++d) elements *= shape[d];
    if (offset < 0 || offset > size || elements > size - offset) {
      fail("{} elements at {} do not lie in its storage of {}", elements, offset, size);
    }
    return storage.bytes.subspan(static_cast<size_t>(offset * unit), static_cast<size_t>(elements * unit));
  }

  const Pickle& pickle_;
  const Storages& storages_;
  std::string_view tensor_;  // what is read now
  PickleId at_ = 0;
  std::set<std::string_view> names_;
};

void sort_by_data(std::vector<StoredTensor>& tensors) {
  std::sort(tensors.begin(), tensors.end(), [](const StoredTensor& a, const StoredTensor& b) {
    return std::tuple(a.bytes.data(), a.bytes.size(), a.name) < std::tuple(b.bytes.data(), b.bytes.size(), b.name);
  });
  for (size_t i = 1; i < tensors.size(); ++i) {
    const StoredTensor &previous = tensors[i - 1], &tensor = tensors[i];
    if (tensor.bytes.data() < previous.bytes.data() + previous.bytes.size()) {
      throw std::runtime_error(fmt::format("tensor {} shares its data with tensor {}; save a copy, after .clone()",
                                           in_quotes(tensor.name), in_quotes(previous.name)));
    }
  }
}

// The folder that everything lies in, with its slash: PyTorch names it after the file, or "archive".
std::string_view folder_of(const std::vector<ZipEntry>& entries) {
  constexpr std::string_view kPickle = "/data.pkl";
  std::string_view folder;
  for (const ZipEntry& entry : entries) {
    if (!entry.name.ends_with(kPickle) || entry.name.find('/') != entry.name.size() - kPickle.size()) continue;
    if (!folder.empty()) throw std::runtime_error("the zip file holds more than one data.pkl");
    folder = entry.name.substr(0, entry.name.size() - kPickle.size() + 1);
  }
  if (folder.empty()) throw std::runtime_error("the zip file holds no data.pkl, so torch.save did not write it");
  return folder;
}

}  // namespace

std::vector<StoredTensor> read_pth(Bytes file) {
  constexpr std::string_view kData = "data/";
  const std::vector<ZipEntry> entries = read_zip_directory(file);
  const std::string_view folder = folder_of(entries);
  Bytes pickle;
  Storages storages;
  for (const ZipEntry& entry : entries) {
    if (!entry.name.starts_with(folder)) continue;
    const std::string_view name = entry.name.substr(folder.size());
    if (name == "data.pkl") pickle = entry.data;
    if (name.starts_with(kData)) storages.emplace(name.substr(kData.size()), entry.data);
    if (name == "byteorder" &&
        std::string_view(reinterpret_cast<const char*>(entry.data.data()), entry.data.size()) != "little") {
      throw std::runtime_error("its numbers are not little-endian");
    }
  }
  return read_state_dict(pickle, static_cast<size_t>(pickle.data() - file.data()), storages);
}

std::vector<StoredTensor> read_state_dict(Bytes pickle, size_t offset, const Storages& storages) {
  const Pickle contents = read_pickle(pickle, offset, kGlobals);
  std::vector<StoredTensor> tensors = StateDict(contents, storages).tensors();
  sort_by_data(tensors);
  return tensors;
}

}  // namespace wkv::model
