// The files that one explained input becomes: arrays, overlays, and the contact sheet.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "cli/explain_options.h"
#include "cli/inputs.h"
#include "cli/outputs.h"
#include "explain/explainer.h"

namespace vitsnna::cli {

class MapFiles {
 public:
  MapFiles(const ExplainArguments& arguments, const explain::ExplainRequest& request,
           const Session& session);

  /// `<stem>.<label>.<method>`, to which .npy and .png are added.
  std::string base(const InputItem& item, index_t label, explain::Method method) const;
  /// `<stem>.contact_sheet.png`; one of several pages is `<stem>.contact_sheet_<page>.png`, from 1.
  std::string sheet(const InputItem& item, std::size_t page, std::size_t pages) const;

  /// Every name that an input with these labels is written to.
  std::vector<std::string> names(const InputItem& item, const std::vector<index_t>& labels) const;
  /// How many labels the request explains at most; `predicted` of a softmax head is one.
  std::size_t most_labels() const;
  /// Contact sheet pages for so many labels; none with a single method.
  std::size_t pages(std::size_t labels) const;
  /// Rows of one page, at most.
  static std::size_t rows_per_page();

  /// Draws, on `queue`, and adds every file of `item` to the group; returns the manifest's "maps"
  /// per label and fills `contact_sheets` with names. Seconds are added to `render` and `write`.
  struct Added {
    std::vector<nlohmann::ordered_json> maps;
    std::vector<std::string> contact_sheets;
    double render_seconds = 0, write_seconds = 0;
  };
  Added add(OutputGroup& group, const InputItem& item, const explain::LoadedInput& input,
            const explain::Explanation& explanation, engine::Queue& queue) const;

 private:
  const ExplainArguments& arguments_;
  const explain::ExplainRequest& request_;
  const Session& session_;
};

}  // namespace vitsnna::cli
