#pragma once

#include <cstdlib>

namespace wkv {

// An environment variable, while the object lives.
struct Environment {
  Environment(const char* its_name, const char* value) : name(its_name) { setenv(name, value, 1); }
  ~Environment() { unsetenv(name); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  const char* name;
};

}  // namespace wkv
