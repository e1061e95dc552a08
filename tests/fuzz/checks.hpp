// What is promised of every input, accepted or refused.
#pragma once

#include <cstddef>
#include <span>
#include <stdexcept>

#include "harness/stored_tensor.hpp"

namespace wkv::fuzz {

// Throws std::logic_error.
void require(bool holds, const char* promise);
void check_refusal(const std::runtime_error& error);
// All values are read, too.
void check_tensors(std::span<const StoredTensor> tensors, std::span<const std::byte> file);

}  // namespace wkv::fuzz
