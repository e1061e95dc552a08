// Runs a check on every instruction set of this CPU that kernels are compiled for, not only on the best one.
#pragma once

#include <catch2/catch.hpp>

#include "kernels/simd_targets.hpp"
//
#include <hwy/highway.h>

namespace wkv {

template <class Check>
void each_target(const Check& check) {
  struct Restore {
    ~Restore() {
      hwy::SetSupportedTargetsForTest(0);
      hwy::GetChosenTarget().DeInit();
    }
  } restore;
  const auto targets = hwy::SupportedAndGeneratedTargets();
  REQUIRE(!targets.empty());
  for (const int64_t target : targets) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(target);
    INFO(hwy::TargetName(target));
    check();
  }
}

}  // namespace wkv
