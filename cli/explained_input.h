// One input of `vitsnna explain` on its way from file to files, and what is said about it: lines
// for the user, an object for the manifest.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "cli/inputs.h"
#include "cli/map_files.h"
#include "explain/explainer.h"

namespace vitsnna::cli {

/// Read, resized and normalised, not yet computed.
struct ReadInput {
  std::size_t index = 0;
  explain::LoadedInput loaded;
  const float* pixels = nullptr;  ///< the normalised tensor, wherever it lies
  std::string sha256;             ///< of the file
  double decode_seconds = 0, hash_seconds = 0;
};

/// Computed, not yet written.
struct ExplainedInput {
  ReadInput read;
  explain::Explanation explanation;
  double compute_seconds = 0;
};

/// The result as lines on standard output, `count` inputs in all.
void print_explained(const Console& console, const InputItem& item, const ExplainedInput& explained,
                     const MapFiles& files, const Session& session, std::size_t count,
                     double write_seconds);

/// An entry of the manifest's "inputs" (docs/OUTPUT.md).
nlohmann::ordered_json explained_json(const InputItem& item, const ExplainedInput& explained,
                                      const MapFiles::Added& added, const Session& session,
                                      double write_seconds);

}  // namespace vitsnna::cli
