// Shapes under a name: the RWKV-5 World models, whose WKV operator has C / 64 heads of size 64.
#pragma once

#include <cstdint>
#include <string_view>

namespace wkv {

struct HeadShape {
  int64_t H = 0;
  int64_t N = 0;
};

struct Preset {
  std::string_view name;
  HeadShape shape;
};

constexpr Preset kPresets[] = {{"0.4b", {1024 / 64, 64}},  // C = 1024
                               {"1.5b", {2048 / 64, 64}},  // C = 2048
                               {"3b", {2560 / 64, 64}},    // C = 2560
                               {"7b", {4096 / 64, 64}}};   // C = 4096

}  // namespace wkv
