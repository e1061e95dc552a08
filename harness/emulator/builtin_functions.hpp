// Functions that PTX declares and the device's runtime has.
#pragma once

#include <string_view>

#include "harness/emulator/program.hpp"

namespace wkv::emulator {

// The handler of a call (Op::target is its call site), or null if there is no such function with so many arguments.
Handler builtin_function(std::string_view name, size_t arguments);

}  // namespace wkv::emulator
