// A handler that may only do what is safe inside a signal: unlink, write, raise.
#include "cli/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include "engine/io/atomic_file.h"

namespace vitsnna::cli {
namespace {

extern "C" void end_by_signal(int number) {
  engine::AtomicFile::abandon_all();
  if (::isatty(STDERR_FILENO) == 1) {  // leave the progress bar's line
    [[maybe_unused]] const ssize_t ignored = ::write(STDERR_FILENO, "\n", 1);
  }
  ::raise(number);  // SA_RESETHAND has put the default action back
}

}  // namespace

bool is_ignored(int signal_number) {
  struct sigaction now = {};
  return ::sigaction(signal_number, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

void install_interrupt_handler() {
  struct sigaction action = {};
  action.sa_handler = end_by_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  // While one of them is handled the others wait.
  sigemptyset(&action.sa_mask);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&action.sa_mask, number);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    if (!is_ignored(number)) ::sigaction(number, &action, nullptr);
  }
}

}  // namespace vitsnna::cli
