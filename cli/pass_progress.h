// Passes over sets of images on a terminal: a bar each.
#pragma once

#include <optional>

#include "cli/progress.h"
#include "kernels/types.h"

namespace vitsnna::cli {

class PassProgress {
 public:
  explicit PassProgress(bool enabled) : enabled_(enabled) {}

  /// `done` of `all` images of the pass that goes on; when all are, the bar is gone.
  void update(kernels::index_t done, kernels::index_t all) {
    if (!bar_) bar_.emplace(1, enabled_);
    bar_->update(0, static_cast<double>(done) / static_cast<double>(all));
    if (done == all) bar_.reset();
  }
  /// The bar goes, for a line to be printed or because the pass has ended early.
  void clear() {
    if (bar_) bar_->clear();
  }

 private:
  bool enabled_;
  std::optional<Progress> bar_;
};

}  // namespace vitsnna::cli
