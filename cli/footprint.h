// How much memory a run of `explain` will take at its peak, said before it runs.
#pragma once

#include <cstdint>

#include "cli/inputs.h"
#include "cli/map_files.h"
#include "explain/explainer.h"

namespace vitsnna::cli {

/// Peak of the process's resident memory for an input of this plan and size, in bytes, given the
/// process as it is now: its model and inputs loaded, nothing computed.
std::int64_t predicted_peak_bytes(const explain::ExplainPlan& plan, explain::Extent extent,
                                  std::size_t labels, std::size_t methods, Session& session);

}  // namespace vitsnna::cli
