// Handlers of control flow that the decoder itself places.
#pragma once

#include "harness/emulator/context.hpp"

namespace wkv::emulator {

void run_exit(Context& context, const Op& op, Mask lanes);
void run_return(Context& context, const Op& op, Mask lanes);  // behind a function's last instruction

}  // namespace wkv::emulator
