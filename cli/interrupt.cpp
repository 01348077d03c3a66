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

void install_interrupt_handler() {
  struct sigaction action = {};
  action.sa_handler = end_by_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  // While one of them is handled the others wait.
  sigemptyset(&action.sa_mask);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&action.sa_mask, number);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction before = {};
    // A parent that ignores the signal (nohup) means its children to ignore it too.
    if (::sigaction(number, nullptr, &before) == 0 && before.sa_handler == SIG_IGN) continue;
    ::sigaction(number, &action, nullptr);
  }
}

}  // namespace vitsnna::cli
