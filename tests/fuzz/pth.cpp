// A whole .pth file: above all the zip file.
#include "harness/model/pth.hpp"

#include "tests/fuzz/checks.hpp"
#include "tests/fuzz/targets.hpp"
#include "tests/model/pth_writer.hpp"

namespace wkv::fuzz {
namespace {

bool accepts(std::span<const std::byte> input) {
  try {
    check_tensors(model::read_pth(input), input);
    return true;
  } catch (const std::runtime_error& error) {
    check_refusal(error);
    return false;
  }
}

std::vector<std::string> seeds() { return {image_of(small_pth()), image_of(small_pth(), ZipEnd::plain)}; }

}  // namespace

using namespace std::string_view_literals;
extern const Target pth{"pth", accepts, seeds, "PK\0\1\2\3\4\5\6\7\x08\xff"sv};

}  // namespace wkv::fuzz
