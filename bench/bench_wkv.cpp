#include <fmt/format.h>

#include "harness/variant.hpp"
int main() {
  for (const auto* op : wkv::all_operators())
    for (const auto* v : wkv::variants_of(op->name)) fmt::print("{} {}\n", op->name, v->name);
}
