// Ctrl-C and its relatives: unfinished files are removed, then the signal ends the process.
#pragma once

namespace vitsnna::cli {

/// For SIGINT, SIGTERM and SIGHUP. The process dies by the signal itself, so that a shell sees an
/// interrupted program (status 130 for SIGINT) and stops its own loop.
void install_interrupt_handler();

/// A parent that ignores a signal (nohup, a script's background job) means its children to ignore
/// it too.
bool is_ignored(int signal_number);

}  // namespace vitsnna::cli
