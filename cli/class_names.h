// Classes as the user names them, on the command line and in file names. SPEC section 9.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "explain/methods.h"
#include "model/config.h"

namespace vitsnna::cli {

using kernels::index_t;

class ClassNames {
 public:
  /// `labels`: one a class, or empty.
  ClassNames(std::vector<std::string> labels, index_t num_classes);

  index_t count() const { return num_classes_; }
  /// The label, or the index of a class without one.
  std::string name(index_t index) const;
  /// The name as a part of a file name: characters outside [A-Za-z0-9_-] become '_'. Where two
  /// classes of the model would get the same, `_<index>` tells them apart.
  std::string file_part(index_t index) const;

  /// `texts`: what each --label said: "predicted", "all", or names and indices, comma separated (a
  /// name that has a comma is to stand alone). An exact name goes before an index, and that before
  /// a name that differs in case and punctuation only. Throws Error for a class that does not
  /// exist, with the names that come close, or that is ambiguous; UsageError for `all` or
  /// `predicted` beside others.
  explain::LabelSelection select(const std::vector<std::string>& texts) const;

 private:
  index_t find(std::string_view text) const;
  std::string known(std::string_view text) const;

  std::vector<std::string> labels_;
  index_t num_classes_;
  std::vector<std::string> file_parts_;
};

}  // namespace vitsnna::cli
