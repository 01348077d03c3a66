// What one process of a training run is: its rank, its device, and whether it speaks.
#pragma once

#include <memory>

#include "cli/console.h"
#include "cli/options.h"
#include "engine/queue.h"
#include "train/parallel/communicator.h"

namespace vitsnna::cli {

/// Rank 0's as asked for; the others say nothing but warnings and errors.
Console console_of(const RunArguments& run, const train::Communicator& ranks);

/// The rank's device, joined to the others', its fall-back said. Throws Error where it does not
/// offer --precision.
std::unique_ptr<engine::Queue> open_queue(const RunArguments& run, train::Communicator& ranks,
                                          const Console& console);

/// fp32 or bf16.
kernels::DType precision_of(const RunArguments& run);

}  // namespace vitsnna::cli
