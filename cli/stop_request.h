// SIGTERM, SIGUSR1 and SIGINT as a wish that a long run takes note of between two steps.
#pragma once

namespace vitsnna::cli {

/// From now on the first of these signals is a wish; the second ends the process as it would
/// without this.
void request_stop_on_signals();
bool stop_requested();

}  // namespace vitsnna::cli
