#include "harness/safetensors.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <set>
#include <stdexcept>
#include <system_error>

#include "harness/dtype.hpp"
#include "harness/safetensors_header.hpp"

namespace wkv {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian and is read as it lies");

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& message) {
  throw std::runtime_error(fmt::format("cannot read {}: {}", path.string(), message));
}

std::string system_message(int error) { return std::generic_category().message(error); }

struct Half {  // IEEE 754 binary16
  uint16_t bits;
  explicit operator float() const {
    const float sign = (bits & 0x8000u) != 0 ? -1.0f : 1.0f;
    const int exponent = (bits >> 10) & 0x1f;
    const auto mantissa = static_cast<float>(bits & 0x3ffu);
    if (exponent == 0x1f) {
      return mantissa == 0 ? sign * std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN();
    }
    return sign * (exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(mantissa + 1024, exponent - 25));
  }
};

struct Boolean {
  uint8_t byte;
  explicit operator int64_t() const { return byte != 0; }
  explicit operator double() const { return byte != 0; }
  explicit operator float() const { return byte != 0; }
};

// Calls body with a null pointer of the C++ type that is stored.
template <class Body>
void with_stored_type(StoredType type, const Body& body) {
  const auto call = [&]<class Element>() { body(static_cast<Element*>(nullptr)); };
  switch (type) {
    case StoredType::f64:
      return call.template operator()<double>();
    case StoredType::f32:
      return call.template operator()<float>();
    case StoredType::f16:
      return call.template operator()<Half>();
    case StoredType::bf16:
      return call.template operator()<BFloat16>();
    case StoredType::i64:
      return call.template operator()<int64_t>();
    case StoredType::i32:
      return call.template operator()<int32_t>();
    case StoredType::i16:
      return call.template operator()<int16_t>();
    case StoredType::i8:
      return call.template operator()<int8_t>();
    case StoredType::u64:
      return call.template operator()<uint64_t>();
    case StoredType::u32:
      return call.template operator()<uint32_t>();
    case StoredType::u16:
      return call.template operator()<uint16_t>();
    case StoredType::u8:
      return call.template operator()<uint8_t>();
    case StoredType::boolean:
      return call.template operator()<Boolean>();
  }
}

// Elements are copied out one by one since nothing aligns them in the file.
template <class Element>
Element element(const StoredTensor& tensor, int64_t index) {
  Element value;
  std::memcpy(&value, tensor.bytes.data() + static_cast<size_t>(index) * sizeof(Element), sizeof(Element));
  return value;
}

template <class Value>
std::vector<Value> converted(const StoredTensor& tensor) {
  std::vector<Value> values(static_cast<size_t>(tensor.elements()));
  with_stored_type(tensor.type, [&]<class Element>(Element*) {
    for (int64_t i = 0; i < tensor.elements(); ++i) {
      const auto stored = element<Element>(tensor, i);
      if constexpr (std::is_same_v<Element, Half> || std::is_same_v<Element, BFloat16>) {
        values[static_cast<size_t>(i)] = static_cast<float>(stored);
      } else {
        values[static_cast<size_t>(i)] = static_cast<Value>(stored);
      }
    }
  });
  return values;
}

}  // namespace

const StoredTensor* SafetensorsFile::find(std::string_view name) const {
  const auto found =
      std::find_if(tensors_.begin(), tensors_.end(), [&](const StoredTensor& tensor) { return tensor.name == name; });
  return found == tensors_.end() ? nullptr : &*found;
}

const StoredTensor& SafetensorsFile::tensor(std::string_view name) const {
  const StoredTensor* found = find(name);
  if (found == nullptr) fail(path_, fmt::format("there is no tensor {}", in_quotes(name)));
  return *found;
}

std::vector<float> SafetensorsFile::floats(std::string_view name) const { return converted<float>(tensor(name)); }

std::vector<double> SafetensorsFile::doubles(std::string_view name) const { return converted<double>(tensor(name)); }

std::vector<int64_t> SafetensorsFile::integers(std::string_view name) const {
  const StoredTensor& stored = tensor(name);
  if (is_floating(stored.type)) {
    for (const double value : converted<double>(stored)) {
      if (!(std::abs(value) <= 0x1p53) || value != std::trunc(value)) {
        fail(path_, fmt::format("tensor {} holds {}, which is not an integer", in_quotes(name), value));
      }
    }
  } else if (stored.type == StoredType::u64) {
    for (int64_t i = 0; i < stored.elements(); ++i) {
      if (element<uint64_t>(stored, i) > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        fail(path_,
             fmt::format("tensor {} holds {}, which is too large", in_quotes(name), element<uint64_t>(stored, i)));
      }
    }
  }
  return converted<int64_t>(stored);
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : path_(path) {
  map();
  try {
    SafetensorsHeader header = read_safetensors_header(file_);
    tensors_ = std::move(header.tensors);
    metadata_ = std::move(header.metadata);
  } catch (const std::runtime_error& error) {
    fail(path_, error.what());
  }
}

void SafetensorsFile::Unmap::operator()(const std::byte* memory) const {
  munmap(const_cast<std::byte*>(memory), bytes);
}

void SafetensorsFile::map() {
  struct Descriptor {
    int number;
    ~Descriptor() { close(number); }
  };
  // Non-blocking, so that a pipe is refused below and not waited for.
  const int opened = open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (opened < 0) fail(path_, system_message(errno));
  const Descriptor descriptor{opened};
  struct stat status {};
  if (fstat(descriptor.number, &status) != 0) fail(path_, system_message(errno));
  if (!S_ISREG(status.st_mode)) fail(path_, "it is not a regular file");
  const auto bytes = static_cast<size_t>(status.st_size);
  if (bytes == 0) fail(path_, "the file is empty");
  void* memory = mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, descriptor.number, 0);
  if (memory == MAP_FAILED) fail(path_, system_message(errno));
  mapping_ = {static_cast<const std::byte*>(memory), Unmap{bytes}};
  file_ = {mapping_.get(), bytes};
}

void write_safetensors(const std::filesystem::path& path, std::span<const StoredTensor> tensors,
                       const std::map<std::string, std::string>& metadata) {
  const auto fail_to_write = [&](const std::string& message) {
    throw std::runtime_error(fmt::format("cannot write {}: {}", path.string(), message));
  };
  std::string header;
  try {
    header = make_safetensors_header(tensors, metadata);
  } catch (const std::runtime_error& error) {
    fail_to_write(error.what());
  }
  std::filesystem::path partial = path;
  partial += ".partial";
  std::ofstream out(partial, std::ios::binary);
  if (!out) fail_to_write(system_message(errno));
  out.write(header.data(), static_cast<std::streamsize>(header.size()));
  for (const StoredTensor& tensor : tensors) {
    out.write(reinterpret_cast<const char*>(tensor.bytes.data()), static_cast<std::streamsize>(tensor.bytes.size()));
  }
  out.close();
  std::error_code error;
  if (!out) {
    error = std::error_code(errno, std::generic_category());
  } else {
    std::filesystem::rename(partial, path, error);
  }
  if (error) {
    std::error_code ignored;
    std::filesystem::remove(partial, ignored);
    fail_to_write(error.message());
  }
}

}  // namespace wkv
