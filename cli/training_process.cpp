// Device by rank.
#include "cli/training_process.h"

#include <fmt/format.h>

#include "kernels/error.h"

namespace vitsnna::cli {

Console console_of(const RunArguments& run, const train::Communicator& ranks) {
  return Console(ranks.rank() == 0 ? run.verbosity : Verbosity{true, false});
}

std::unique_ptr<engine::Queue> open_queue(const RunArguments& run, train::Communicator& ranks,
                                          const Console& console) {
  const std::string device =
      train::device_of_rank(run.device, ranks.local_rank(), ranks.local_size(),
                            static_cast<int>(engine::find_gpus().names.size()));
  auto queue = std::make_unique<engine::Queue>(engine::select_device(device), run.threads);
  if (queue->device().fell_back) {
    console.note(fmt::format("computing on the CPU: {}", queue->device().reason));
  }
  ranks.open(*queue);
  if (ranks.size() > 1) {
    console.note(fmt::format("{} processes, their sums by {}", ranks.size(), ranks.transport()));
  }
  if (!queue->backend().supports(precision_of(run))) {
    throw Error(fmt::format("--precision: bf16 is not offered on {}, fp32 wanted",
                            queue->device().description));
  }
  return queue;
}

kernels::DType precision_of(const RunArguments& run) {
  return run.precision == "bf16" ? kernels::DType::bf16 : kernels::DType::f32;
}

}  // namespace vitsnna::cli
