// A step whose numbers were not finite: kept whole, and taken again on request.
#pragma once

#include <filesystem>

#include "cli/console.h"
#include "train/dino/pretraining.h"

namespace vitsnna::cli {

/// Writes the state before the step (rank 0: failed-step-N.safetensors, a checkpoint) and each
/// rank's inputs of it (failed-step-N.rankR.safetensors); when all ranks have, throws Error saying
/// so.
[[noreturn]] void fail_with_step(const std::filesystem::path& folder, train::Communicator& ranks,
                                 train::Pretraining& run, const train::DinoReport& report);

/// Takes the step that `file` (failed-step-N.safetensors) was written for again, from its state and
/// inputs, and says what came out beside what did then. Writes no file. Throws Error naming the
/// file and what does not fit, as another number of ranks or parts.
void replay_failed_step(const std::filesystem::path& file, train::Communicator& ranks,
                        train::Pretraining& run, const Console& console);

}  // namespace vitsnna::cli
