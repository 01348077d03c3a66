// Splits by their names.
#include "cli/training_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "kernels/error.h"
#include "train/data/sources/sources.h"
#include "train/data/summary.h"

namespace vitsnna::cli {

train::Dataset open_split(const std::string& data, const std::string& split,
                          const std::string& preferred, const char* option) {
  const std::vector<std::string> splits = train::splits_of(data);
  if (!split.empty() || splits.empty()) return train::open_dataset(data, split);
  if (std::find(splits.begin(), splits.end(), preferred) == splits.end()) {
    throw Error(fmt::format("{}: wanted, as {} has no split {}; there: {}", option, data, preferred,
                            fmt::join(splits, ", ")));
  }
  return train::open_dataset(data, preferred);
}

void require_labels(const train::Dataset& set) {
  if (set.label_count() > 0) return;
  throw Error(
      fmt::format("{}: a set of kind {} has no labels, bdd-oia, snna or csv with "
                  "label columns wanted",
                  set.path, set.kind));
}

void print_summary(const Console& console, const std::vector<const train::Dataset*>& sets) {
  if (console.quiet()) return;  // every rank but the first
  std::istringstream text(train::text_of(train::summarise(sets)));
  for (std::string line; std::getline(text, line);) console.note(line);
}

}  // namespace vitsnna::cli
