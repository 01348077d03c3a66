// A flag that a handler may set.
#include "cli/stop_request.h"

#include <signal.h>

#include <initializer_list>

#include "cli/interrupt.h"

namespace vitsnna::cli {
namespace {

volatile sig_atomic_t requested = 0;

extern "C" void note_request(int) { requested = 1; }

}  // namespace

void request_stop_on_signals() {
  struct sigaction action = {};
  action.sa_handler = note_request;
  action.sa_flags = static_cast<int>(SA_RESETHAND) | SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int number : {SIGINT, SIGTERM, SIGUSR1}) {
    if (!is_ignored(number)) ::sigaction(number, &action, nullptr);
  }
}

bool stop_requested() { return requested != 0; }

}  // namespace vitsnna::cli
