// The process's choice of schedule.
#include "tests/simt/schedule.h"

#include <atomic>
#include <cstdlib>
#include <string>

#include "kernels/error.h"

namespace vitsnna::simt {
namespace {

constexpr int rotate = -1;

int initial_choice() {
  const char* text = std::getenv("VITSNNA_SIMT_SCHEDULE");
  if (!text || !*text) return rotate;
  char* end = nullptr;
  const long choice = std::strtol(text, &end, 10);
  if (*end || choice < 0 || choice >= num_schedules) {
    throw Error("VITSNNA_SIMT_SCHEDULE: '" + std::string(text) + "', wanted 0 to " +
                std::to_string(num_schedules - 1));
  }
  return static_cast<int>(choice);
}

std::atomic<int>& choice() {
  static std::atomic<int> value = initial_choice();
  return value;
}

std::atomic<unsigned> launches = 0;

}  // namespace

const char* name_of(Schedule schedule) {
  switch (schedule) {
    case Schedule::first_warp_first:
      return "first warp first";
    case Schedule::last_warp_first:
      return "last warp first";
    case Schedule::random:
      return "random";
    case Schedule::round_robin:
      return "round robin";
  }
  return "unknown";
}

void set_schedule(Schedule schedule) { choice() = static_cast<int>(schedule); }
void rotate_schedules() { choice() = rotate; }

LaunchOrder next_launch_order() {
  const unsigned launch = launches++;
  const int fixed = choice();
  return {static_cast<Schedule>(fixed == rotate ? static_cast<int>(launch % num_schedules) : fixed),
          launch};
}

}  // namespace vitsnna::simt
