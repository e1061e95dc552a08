// A whole .safetensors file.
#include "harness/safetensors_header.hpp"
#include "tests/fuzz/checks.hpp"
#include "tests/fuzz/targets.hpp"

namespace wkv::fuzz {
namespace {

bool accepts(std::span<const std::byte> input) {
  try {
    check_tensors(read_safetensors_header(input).tensors, input);
    return true;
  } catch (const std::runtime_error& error) {
    check_refusal(error);
    return false;
  }
}

std::vector<std::string> seeds() {
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  const std::vector<int32_t> tokens{1, 2};
  const std::vector<StoredTensor> tensors{
      {.name = "r", .type = StoredType::f32, .shape = {1, 2, 3}, .bytes = std::as_bytes(std::span(values))},
      {.name = "tokens", .type = StoredType::i32, .shape = {2}, .bytes = std::as_bytes(std::span(tokens))}};
  std::string file = make_safetensors_header(tensors, {{"a", "b"}});
  for (const StoredTensor& tensor : tensors) {
    file.append(reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size());
  }
  return {file};
}

}  // namespace

extern const Target safetensors{"safetensors", accepts, seeds, "{}[]\",:0123456789-e.\\ untf"};

}  // namespace wkv::fuzz
