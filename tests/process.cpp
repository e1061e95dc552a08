#include "tests/process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace wkv::test {
namespace {

std::string new_path() {
  static std::atomic<int> count{0};
  return std::filesystem::temp_directory_path() /
         ("wkv_process_" + std::to_string(getpid()) + "_" + std::to_string(++count));
}

std::string contents_of(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  std::filesystem::remove(path);
  return text.str();
}

void redirect(int descriptor, const std::string& path) {
  const int file = open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
  dup2(file, descriptor);
  close(file);
}

}  // namespace

Process::Process(const std::vector<std::string>& command) : out_path_(new_path()), err_path_(new_path()) {
  std::vector<char*> arguments;
  for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  pid_ = fork();
  if (pid_ < 0) throw std::runtime_error("cannot fork");
  if (pid_ == 0) {
    signal(SIGINT, SIG_DFL);  // a test run in the background of a script ignores it
    redirect(STDOUT_FILENO, out_path_);
    redirect(STDERR_FILENO, err_path_);
    execvp(arguments[0], arguments.data());
    _exit(127);
  }
}

Process::~Process() {
  if (waited_) return;
  kill(pid_, SIGKILL);
  wait();
}

void Process::interrupt(int signal) const { kill(pid_, signal); }

bool Process::running() const {
  siginfo_t info{};
  waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT);
  return info.si_pid == 0;
}

Outcome Process::wait() {
  int status = 0;
  waitpid(pid_, &status, 0);
  waited_ = true;
  return {.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
          .out = contents_of(out_path_),
          .err = contents_of(err_path_)};
}

Outcome run(const std::vector<std::string>& command) { return Process(command).wait(); }

}  // namespace wkv::test
