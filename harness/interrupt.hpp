// Ctrl-C and SIGTERM, handled at once while other threads compute.
#pragma once

#include <atomic>
#include <csignal>
#include <functional>
#include <thread>

namespace wkv {

// While it lives, the signals call back on a thread of its own, as ordinary code, instead of ending the process.
// To be made before any other thread, which would otherwise still receive them. A signal that the process was started
// with ignored (nohup) stays ignored.
class InterruptWatch {
 public:
  explicit InterruptWatch(std::function<void()> on_interrupt);
  ~InterruptWatch();
  InterruptWatch(const InterruptWatch&) = delete;
  InterruptWatch& operator=(const InterruptWatch&) = delete;

 private:
  sigset_t signals_, previous_;
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

}  // namespace wkv
