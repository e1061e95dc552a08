// Runs a program as a user would, and what it said.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace wkv::test {

struct Outcome {
  int exit_code = -1;  // 128 + signal where one ended it
  std::string out, err;
};

class Process {
 public:
  explicit Process(const std::vector<std::string>& command);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void interrupt(int signal) const;
  bool running() const;
  Outcome wait();

 private:
  pid_t pid_ = -1;
  bool waited_ = false;
  std::string out_path_, err_path_;
};

Outcome run(const std::vector<std::string>& command);

}  // namespace wkv::test
