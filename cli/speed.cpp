// Differences of a clock.
#include "cli/speed.h"

#include <fmt/format.h>

namespace vitsnna::cli {
namespace {

std::string duration_text(double seconds) {
  const auto all = static_cast<long>(seconds);
  return all < 3600 ? fmt::format("{}:{:02d}", all / 60, all % 60)
                    : fmt::format("{}:{:02d}:{:02d}", all / 3600, all / 60 % 60, all % 60);
}

double seconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

Speed::Speed(index_t batch, index_t steps, index_t done)
    : batch_(static_cast<double>(batch)), steps_(steps), first_(done), done_(done) {}

std::optional<Speed::Rates> Speed::take(index_t done, double stall_seconds) {
  if (done <= done_) return std::nullopt;
  const Clock::time_point now = Clock::now();
  const double passed = seconds(now - since_);
  const double pace = seconds(now - began_) / static_cast<double>(done - first_);
  Rates rates;
  rates.images_per_second = static_cast<double>(done - done_) * batch_ / passed;
  rates.data_stall = (stall_seconds - stall_) / passed;
  rates.seconds_to_go = static_cast<double>(steps_ - done) * pace;
  since_ = now;
  stall_ = stall_seconds;
  done_ = done;
  return rates;
}

void Speed::leave_out(const std::function<void()>& work) {
  const Clock::time_point before = Clock::now();
  work();
  const Clock::duration spent = Clock::now() - before;
  since_ += spent;
  began_ += spent;
}

std::string Speed::Rates::text() const {
  return fmt::format("{:.1f} images/s  data stall {:.0f}%  ETA {}", images_per_second,
                     100 * data_stall, duration_text(seconds_to_go));
}

std::map<std::string, double> Speed::Rates::values() const {
  return {{"images_per_second", images_per_second},
          {"data_stall", data_stall},
          {"seconds_to_go", seconds_to_go}};
}

}  // namespace vitsnna::cli
