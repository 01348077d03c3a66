// What a data set holds, to be looked at before days are spent on it.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "engine/images/image.h"
#include "train/data/dataset.h"

namespace vitsnna::train {

struct LabelCount {
  std::string name;
  index_t positive = 0;  ///< at or above 1/2
};

struct SetSummary {
  std::string kind, path, split;
  index_t images = 0;
  index_t sized = 0;                                     ///< whose header was read
  index_t unreadable = 0;                                ///< of those, headers without a size
  std::map<std::pair<index_t, index_t>, index_t> sizes;  ///< (height, width) -> images of `sized`
  std::vector<LabelCount> labels;
  std::vector<std::string> notes;
};

/// Images that two sets share: by name (the id's last part), and by content, byte for byte.
struct Overlap {
  std::string first, second;  ///< the splits, or the paths where there are none
  index_t same_name = 0, same_content = 0;
  std::string example;  ///< a path of the second set, where there is one
};

struct DataSummary {
  std::vector<SetSummary> sets;
  std::vector<Overlap> overlaps;  ///< of every two sets
};

/// Headers are read of at most `most_sized` images a set, evenly spread; contents only of files
/// whose sizes in bytes agree.
DataSummary summarise(const std::vector<const Dataset*>& sets, index_t most_sized = 2000);

/// Some lines, the last with its line feed.
std::string text_of(const DataSummary& summary);

}  // namespace vitsnna::train
