// A .pth file's pickle.
#include "harness/model/pth.hpp"
#include "tests/fuzz/checks.hpp"
#include "tests/fuzz/targets.hpp"
#include "tests/model/pth_writer.hpp"

namespace wkv::fuzz {
namespace {

// Beside storages "0" and "1" of the sizes that one or the other seed has.
bool accepts(std::span<const std::byte> input) {
  static const std::vector<std::byte> data(32);
  bool accepted = false;
  for (const size_t size : {size_t{24}, size_t{12}}) {
    const model::Storages storages{{"0", std::span(data).first(size)}, {"1", std::span(data).subspan(size)}};
    try {
      check_tensors(model::read_state_dict(input, 64, storages), data);
      accepted = true;
    } catch (const std::runtime_error& error) {
      check_refusal(error);
    }
  }
  return accepted;
}

std::vector<std::string> seeds() {
  return {small_pth().pickle, std::string(kPickledInProtocol2), std::string(kPickledInProtocol4)};
}

}  // namespace

using namespace std::string_view_literals;
extern const Target pickle{"pickle", accepts, seeds,
                           "(.JKMNQRXabc}ehj]qrst)uG\n\0\1\2\3\x80\x85\x86\x87\x88\x89\x8a\x8c\x8d\x93\x94\x95"sv};

}  // namespace wkv::fuzz
