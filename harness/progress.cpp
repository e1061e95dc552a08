#include "harness/progress.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "harness/report.hpp"
#include "harness/units.hpp"

namespace wkv {
namespace {

size_t terminal_width() {
  winsize size{};
  const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

std::string short_name(const CellResult& cell) {
  return fmt::format("{} {} {} {} T={}", cell.op, cell.variant, cell.dtype, cell.mode, cell.T);
}

}  // namespace

Progress::Progress() : terminal_(isatty(STDERR_FILENO) == 1) {}

void Progress::clear() {
  if (std::exchange(drawn_, false)) fmt::print(stderr, "\r\033[K");
}

void Progress::draw(const std::string& what, const SweepProgress& progress) {
  constexpr size_t kBar = 24;
  const size_t filled = kBar * static_cast<size_t>(progress.done) / static_cast<size_t>(std::max(progress.total, 1));
  std::string line = fmt::format("[{:#<{}}{:.<{}}] {}/{}  about {} left  {}", "", filled, "", kBar - filled,
                                 progress.done, progress.total, format_seconds(progress.seconds_left), what);
  line.resize(std::min(line.size(), terminal_width() - 1));
  fmt::print(stderr, "\r\033[K{}", line);
  drawn_ = true;
}

void Progress::begun(const CellResult& planned, const SweepProgress& progress) {
  const std::scoped_lock lock(mutex_);
  if (terminal_) draw(short_name(planned), progress);
}

void Progress::ended(const CellResult& result, const SweepProgress& progress) {
  const std::scoped_lock lock(mutex_);
  clear();
  if (!terminal_ || result.status == "failed") {
    fmt::print(stderr, "[{}/{}] {} {} threads={}: {}\n", progress.done, progress.total, short_name(result),
               shape_text(result), result.run_threads, outcome_text(result));
  }
}

void Progress::say(const std::string& message) {
  const std::scoped_lock lock(mutex_);
  clear();
  fmt::print(stderr, "{}\n", message);
}

}  // namespace wkv
