// In which order the threads of a block run. A missing barrier shows under some orders only, so
// that launches take turns among several.
#pragma once

namespace vitsnna::simt {

enum class Schedule : int {
  first_warp_first,  ///< the lowest thread that can run, as far as it goes
  last_warp_first,   ///< the highest thread that can run
  random,            ///< any, by a generator with a fixed seed for each launch
  round_robin,       ///< one thread of each warp in turn
};
constexpr int num_schedules = 4;

const char* name_of(Schedule schedule);

/// Every launch from now on takes this one.
void set_schedule(Schedule schedule);
/// Every launch takes the next: the default, unless VITSNNA_SIMT_SCHEDULE (0 to 3) says otherwise.
void rotate_schedules();

/// What the next launch runs under: its schedule and the seed of its generator.
struct LaunchOrder {
  Schedule schedule = Schedule::first_warp_first;
  unsigned seed = 0;
};
LaunchOrder next_launch_order();

}  // namespace vitsnna::simt
