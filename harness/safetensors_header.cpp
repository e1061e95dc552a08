#include "harness/safetensors_header.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <stdexcept>
#include <tuple>

namespace wkv {
namespace {

using Json = nlohmann::json;

constexpr size_t kLengthBytes = 8;
constexpr size_t kMaxHeaderBytes = 100'000'000;  // the limit of the format's own library
constexpr size_t kMaxRank = 64;
constexpr const char* kMetadata = "__metadata__";

template <class... Arguments>
[[noreturn]] void fail(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  throw std::runtime_error(fmt::format(format, std::forward<Arguments>(arguments)...));
}

// Checks the header's form while it is parsed, since the parsed tree no longer shows that a name came twice, and since
// a tree of nothing but brackets or dimensions would grow many times larger than the header itself.
class FormCheck {
 public:
  bool operator()(int depth, Json::parse_event_t event, Json& parsed) {
    switch (event) {
      case Json::parse_event_t::object_start:
        if (depth == 1) inner_keys_.clear();
        if (depth > 1) fail("tensor {}: objects are nested too deeply in the header", in_quotes(tensor_));
        break;
      case Json::parse_event_t::array_start:
        if (depth != 2) misplaced(depth);
        rank_ = 0;
        break;
      case Json::parse_event_t::key:
        key(depth, parsed.get_ref<const std::string&>());
        break;
      case Json::parse_event_t::value:
        if (depth < 2) misplaced(depth);
        if (depth == 3 && ++rank_ > kMaxRank)
          fail("tensor {} has more than {} dimensions", in_quotes(tensor_), kMaxRank);
        break;
      default:
        break;
    }
    return true;
  }

 private:
  [[noreturn]] void misplaced(int depth) const {
    if (depth == 0) fail("the header is not a JSON object");
    if (depth == 1) fail("tensor {} is not described by a JSON object", in_quotes(tensor_));
    fail("tensor {}: arrays are nested too deeply in the header", in_quotes(tensor_));
  }

  void key(int depth, const std::string& name) {
    if (depth == 1) {
      tensor_ = name;
      if (!tensors_.insert(name).second) fail("the header names tensor {} twice", in_quotes(name));
    } else if (!inner_keys_.insert(name).second) {
      fail("tensor {}: {} is given twice", in_quotes(tensor_), in_quotes(name));
    }
  }

  std::string tensor_;
  std::set<std::string> tensors_, inner_keys_;
  size_t rank_ = 0;
};

Json parse(std::span<const std::byte> text) {
  const auto* begin = reinterpret_cast<const char*>(text.data());
  FormCheck check;
  try {
    return Json::parse(begin, begin + text.size(), std::ref(check));
  } catch (const Json::parse_error& error) {
    fail("the header is not valid JSON at byte {} of the file", kLengthBytes + (error.byte > 0 ? error.byte - 1 : 0));
  } catch (const Json::exception&) {
    fail("the header holds a number that is out of range");
  }
}

const Json& member(const Json& tensor, const std::string& name, const char* key) {
  const auto found = tensor.find(key);
  if (found == tensor.end()) fail("tensor {} has no \"{}\"", in_quotes(name), key);
  return *found;
}

std::vector<uint64_t> whole_numbers(const Json& tensor, const std::string& name, const char* key) {
  const Json& array = member(tensor, name, key);
  const bool right = array.is_array() && std::all_of(array.begin(), array.end(), [](const Json& element) {
                       return element.is_number_unsigned() && element.get<uint64_t>() <= INT64_MAX;
                     });
  if (!right) fail("tensor {}: \"{}\" is not an array of whole numbers below 2^63", in_quotes(name), key);
  return array.get<std::vector<uint64_t>>();
}

StoredType stored_type(const Json& tensor, const std::string& name) {
  const Json& dtype = member(tensor, name, "dtype");
  if (!dtype.is_string()) fail("tensor {}: \"dtype\" is not a string", in_quotes(name));
  const auto& text = dtype.get_ref<const std::string&>();
  const std::optional<StoredType> type = stored_type_named(text);
  if (!type) fail("tensor {}: dtype {} is not known", in_quotes(name), in_quotes(text));
  return *type;
}

uint64_t bytes_of_shape(std::span<const int64_t> shape, StoredType type, const std::string& name) {
  uint64_t bytes = size_of(type);
  for (const int64_t size : shape) {
    if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes)) {
      fail("tensor {}: the size of shape {} is out of range", in_quotes(name), to_string(shape));
    }
  }
  return bytes;
}

// Offsets in the header count from where the data begins; in messages, and here in the result, from the file's start.
StoredTensor read_tensor(const std::string& name, const Json& description, std::span<const std::byte> file,
                         size_t data_begin) {
  StoredTensor tensor{.name = name, .type = stored_type(description, name), .shape = {}, .bytes = {}};
  for (const uint64_t size : whole_numbers(description, name, "shape"))
    tensor.shape.push_back(static_cast<int64_t>(size));
  const auto offsets = whole_numbers(description, name, "data_offsets");
  if (offsets.size() != 2) fail("tensor {}: \"data_offsets\" are not two numbers", in_quotes(name));
  const uint64_t begin = data_begin + offsets[0], end = data_begin + offsets[1];
  if (begin > end) fail("tensor {} begins at {} and ends before, at {}", in_quotes(name), begin, end);
  if (end > file.size()) fail("tensor {} ends at {} but the file has {} bytes", in_quotes(name), end, file.size());
  const uint64_t needed = bytes_of_shape(tensor.shape, tensor.type, name);
  if (needed != end - begin) {
    fail("tensor {} at {} has {} bytes but {} of shape {} needs {}", in_quotes(name), begin, end - begin,
         name_of(tensor.type), to_string(tensor.shape), needed);
  }
  tensor.bytes = file.subspan(begin, end - begin);
  return tensor;
}

std::map<std::string, std::string> read_metadata(const Json& description) {
  std::map<std::string, std::string> metadata;
  for (const auto& [key, value] : description.items()) {
    if (!value.is_string()) fail("{}: {} is not a string", kMetadata, in_quotes(key));
    metadata.emplace(key, value.get<std::string>());
  }
  return metadata;
}

void check_coverage(std::span<const StoredTensor> tensors, std::span<const std::byte> file, size_t data_begin) {
  size_t covered = data_begin;
  const StoredTensor* previous = nullptr;
  for (const StoredTensor& tensor : tensors) {
    const auto begin = static_cast<size_t>(tensor.bytes.data() - file.data());
    if (begin < covered) {
      fail("tensor {} begins at {}, inside tensor {}, which ends at {}", in_quotes(tensor.name), begin,
           in_quotes(previous->name), covered);
    }
    if (begin > covered)
      fail("bytes {} to {}, before tensor {}, belong to no tensor", covered, begin, in_quotes(tensor.name));
    covered = begin + tensor.bytes.size();
    previous = &tensor;
  }
  if (covered < file.size()) fail("bytes {} to {}, at the end, belong to no tensor", covered, file.size());
}

}  // namespace

SafetensorsHeader read_safetensors_header(std::span<const std::byte> file) {
  if (file.size() < kLengthBytes) fail("the file ends at {}, inside the header's length", file.size());
  uint64_t length = 0;
  std::memcpy(&length, file.data(), kLengthBytes);
  if (length > kMaxHeaderBytes) fail("the header's length is {}, more than {}", length, kMaxHeaderBytes);
  const size_t data_begin = kLengthBytes + length;
  if (data_begin > file.size()) fail("the header ends at {} but the file has {} bytes", data_begin, file.size());
  const Json json = parse(file.subspan(kLengthBytes, length));
  SafetensorsHeader header;
  for (const auto& [name, description] : json.items()) {
    if (name == kMetadata) {
      header.metadata = read_metadata(description);
    } else {
      header.tensors.push_back(read_tensor(name, description, file, data_begin));
    }
  }
  std::sort(header.tensors.begin(), header.tensors.end(), [](const StoredTensor& a, const StoredTensor& b) {
    return std::tuple(a.bytes.data(), a.bytes.size(), a.name) < std::tuple(b.bytes.data(), b.bytes.size(), b.name);
  });
  check_coverage(header.tensors, file, data_begin);
  return header;
}

std::string make_safetensors_header(std::span<const StoredTensor> tensors,
                                    const std::map<std::string, std::string>& metadata) {
  Json json = Json::object();
  if (!metadata.empty()) json[kMetadata] = metadata;
  size_t offset = 0;
  for (const StoredTensor& tensor : tensors) {
    if (tensor.name == kMetadata || json.contains(tensor.name)) {
      fail("tensor {} is there twice or has a reserved name", in_quotes(tensor.name));
    }
    if (std::any_of(tensor.shape.begin(), tensor.shape.end(), [](int64_t size) { return size < 0; }) ||
        bytes_of_shape(tensor.shape, tensor.type, tensor.name) != tensor.bytes.size()) {
      fail("tensor {}: {} bytes are not {} of shape {}", in_quotes(tensor.name), tensor.bytes.size(),
           name_of(tensor.type), to_string(tensor.shape));
    }
    const size_t end = offset + tensor.bytes.size();
    json[tensor.name] = {{"dtype", name_of(tensor.type)}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text;
  try {
    text = json.dump();
  } catch (const Json::exception&) {
    fail("a name or the metadata is not valid UTF-8");
  }
  text.append((8 - text.size() % 8) % 8, ' ');
  const uint64_t length = text.size();
  std::string header(kLengthBytes, '\0');
  std::memcpy(header.data(), &length, kLengthBytes);
  return header + text;
}

}  // namespace wkv
