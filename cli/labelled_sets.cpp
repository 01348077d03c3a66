// Two splits of a set, or two sets, that share no file.
#include "cli/labelled_sets.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <utility>

#include "cli/training_data.h"
#include "kernels/error.h"
#include "train/data/sources/sources.h"

namespace vitsnna::cli {
namespace {

train::Dataset open_validation(const FinetuneArguments& arguments) {
  if (!arguments.validation_data.empty()) {
    return open_split(arguments.validation_data, arguments.validation_split, "val", "--val-split");
  }
  const std::string split = arguments.validation_split.empty() ? "val" : arguments.validation_split;
  const std::vector<std::string> splits = train::splits_of(arguments.data);
  if (std::find(splits.begin(), splits.end(), split) == splits.end()) {
    throw Error(fmt::format("--val-data: wanted, as {} has no split {}", arguments.data, split));
  }
  return train::open_dataset(arguments.data, split);
}

/// Device and number: the file, whatever path leads to it. None where it is not there.
using FileId = std::pair<dev_t, ino_t>;
std::map<FileId, const train::Sample*> files_of(const train::Dataset& set) {
  std::map<FileId, const train::Sample*> files;
  for (const train::Sample& sample : set.samples) {
    struct stat status = {};
    if (::stat(sample.path.c_str(), &status) == 0) {
      files.emplace(FileId{status.st_dev, status.st_ino}, &sample);
    }
  }
  return files;
}

void refuse_shared_images(const LabelledSets& sets) {
  const auto learnt = files_of(sets.train);
  for (const auto& [file, sample] : files_of(sets.validation)) {
    if (!learnt.contains(file)) continue;
    throw Error(
        fmt::format("{}: would be learnt from and validated on; two sets that share no image "
                    "wanted (--split, --val-data, --val-split)",
                    sample->path));
  }
}

}  // namespace

LabelledSets open_labelled_sets(const FinetuneArguments& arguments) {
  LabelledSets sets{open_split(arguments.data, arguments.split, "train"),
                    open_validation(arguments)};
  require_labels(sets.train);
  require_labels(sets.validation);
  refuse_shared_images(sets);
  return sets;
}

std::vector<float> balanced_weights(const train::Dataset& set) {
  std::vector<float> weights;
  for (index_t label = 0; label < set.label_count(); ++label) {
    double positives = 0;
    for (index_t k = 0; k < set.size(); ++k) {
      positives += static_cast<double>(set.labels_of(k)[label]);
    }
    const double negatives = static_cast<double>(set.size()) - positives;
    if (positives <= 0 || negatives <= 0) {
      throw Error(fmt::format(
          "--positive-weights balanced: {}: label {} has {} positives in {} "
          "images, some of both wanted",
          set.path, set.label_names[static_cast<std::size_t>(label)], positives, set.size()));
    }
    weights.push_back(static_cast<float>(negatives / positives));
  }
  return weights;
}

}  // namespace vitsnna::cli
