#include "train/data/dataset.h"

#include <fmt/format.h>

#include "kernels/error.h"

namespace vitsnna::train {

void require_both_values(const Dataset& set) {
  for (index_t label = 0; label < set.label_count(); ++label) {
    for (index_t k = 1; k < set.size(); ++k) {
      if ((set.labels_of(k)[label] >= .5f) != (set.labels_of(0)[label] >= .5f)) return;
    }
  }
  throw Error(
      fmt::format("{}: every label has one value alone in all of its {} images, some of both "
                  "wanted to tell the best model by",
                  set.path, set.size()));
}

}  // namespace vitsnna::train
