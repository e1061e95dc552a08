// Where a run stands, on stderr: a bar with the time left on a terminal, a plain line per cell otherwise.
#pragma once

#include <mutex>
#include <string>

#include "harness/sweep.hpp"

namespace wkv {

class Progress {
 public:
  Progress();

  void begun(const CellResult& planned, const SweepProgress& progress);
  void ended(const CellResult& result, const SweepProgress& progress);
  void say(const std::string& message);  // a line of its own

 private:
  void draw(const std::string& what, const SweepProgress& progress);
  void clear();

  bool terminal_;
  bool drawn_ = false;
  std::mutex mutex_;
};

}  // namespace wkv
