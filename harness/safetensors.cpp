#include "harness/safetensors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <stdexcept>
#include <system_error>

#include "harness/safetensors_header.hpp"

namespace wkv {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& message) {
  throw std::runtime_error(fmt::format("cannot read {}: {}", path.string(), message));
}

std::string system_message(int error) { return std::generic_category().message(error); }

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

std::vector<float> SafetensorsFile::floats(std::string_view name) const { return wkv::floats(tensor(name)); }

std::vector<double> SafetensorsFile::doubles(std::string_view name) const { return wkv::doubles(tensor(name)); }

std::vector<int64_t> SafetensorsFile::integers(std::string_view name) const {
  const StoredTensor& stored = tensor(name);
  try {
    return wkv::integers(stored);
  } catch (const std::runtime_error& error) {
    fail(path_, error.what());
  }
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : path_(path), file_(path) {
  try {
    SafetensorsHeader header = read_safetensors_header(file_.bytes());
    tensors_ = std::move(header.tensors);
    metadata_ = std::move(header.metadata);
  } catch (const std::runtime_error& error) {
    fail(path_, error.what());
  }
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
