#include "tests/fuzz/checks.hpp"

#include <cmath>
#include <stdexcept>
#include <string_view>

namespace wkv::fuzz {

void require(bool holds, const char* promise) {
  if (!holds) throw std::logic_error(promise);
}

void check_refusal(const std::runtime_error& error) {
  const std::string_view message = error.what();
  require(!message.empty() && message.size() < 700, "a refusal is short");
  for (const char c : message) require(c >= ' ' || c < '\0', "a refusal is one line of text");
}

void check_tensors(std::span<const StoredTensor> tensors, std::span<const std::byte> file) {
  const std::byte* covered = file.data();
  for (const StoredTensor& tensor : tensors) {
    uint64_t bytes = size_of(tensor.type);
    for (const int64_t size : tensor.shape) {
      require(size >= 0, "sizes are not negative");
      require(!__builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes), "a shape's size is in range");
    }
    require(bytes == tensor.bytes.size(), "a tensor has the bytes of its shape");
    require(tensor.bytes.data() >= covered, "tensors do not overlap and are in order");
    covered = tensor.bytes.data() + tensor.bytes.size();
    require(covered <= file.data() + file.size(), "a tensor lies in the file");
    double sum = 0;
    for (const float value : floats(tensor)) sum += std::isfinite(value) ? 1 : 0;
    require(sum <= static_cast<double>(tensor.elements()), "every element can be read");
  }
}

}  // namespace wkv::fuzz
