// Draws with a carriage return and "erase to end of line", the two controls every terminal has.
#include "cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>

namespace vitsnna::cli {
namespace {

constexpr double kQuietSeconds = 1.0;  // work shorter than this draws nothing
constexpr double kRedrawSeconds = 0.1;
constexpr int kWidth = 32;

double seconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

std::string remaining_text(double remaining) {
  const auto whole = static_cast<long long>(std::ceil(remaining));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{}:{:02} min", whole / 60, whole % 60);
  return fmt::format("{}:{:02} h", whole / 3600, whole % 3600 / 60);
}

}  // namespace

Progress::Progress(std::size_t steps, bool enabled)
    : steps_(std::max<std::size_t>(steps, 1)), enabled_(enabled && ::isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() { clear(); }

void Progress::update(std::size_t step, double fraction) {
  if (!enabled_) return;
  const std::lock_guard lock(mutex_);
  const Clock::time_point now = Clock::now();
  const double elapsed = seconds(now - started_);
  if (elapsed < kQuietSeconds || (drawn_ && seconds(now - last_drawn_) < kRedrawSeconds)) return;
  const double done = std::clamp(
      (static_cast<double>(step) + std::clamp(fraction, 0., 1.)) / static_cast<double>(steps_), 0.,
      1.);
  const int filled = static_cast<int>(std::lround(done * kWidth));
  std::string line =
      fmt::format("\r[{:#<{}}{:.<{}}] {:3.0f}%", "", filled, "", kWidth - filled, 100 * done);
  if (steps_ > 1) line += fmt::format("  input {} of {}", std::min(step + 1, steps_), steps_);
  if (done > .02) line += fmt::format("  {} left", remaining_text(elapsed / done - elapsed));
  line += "\x1b[K";
  std::fwrite(line.data(), 1, line.size(), stderr);
  std::fflush(stderr);
  drawn_ = true;
  last_drawn_ = now;
}

void Progress::clear() {
  const std::lock_guard lock(mutex_);
  erase();
}

void Progress::print(const std::function<void()>& lines) {
  const std::lock_guard lock(mutex_);
  erase();
  lines();
}

void Progress::erase() {
  if (!drawn_) return;
  std::fputs("\r\x1b[K", stderr);
  std::fflush(stderr);
  drawn_ = false;
}

}  // namespace vitsnna::cli
