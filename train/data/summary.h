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
  double decoded_bytes = 0.;  ///< of all images at the mean of those sizes, three bytes a pixel
  std::vector<LabelCount> labels;
  std::vector<std::string> notes;
};

/// Images that two sets share: by name (the id's last part), and by content, byte for byte.
struct Overlap {
  std::string first, second;  ///< the splits, or the paths where there are none
  index_t same_name = 0, same_content = 0;
  index_t second_images = 0;  ///< images of the second set
  index_t compared = 0;       ///< of those, whose content was looked for in the first
  std::string example;        ///< a path of the second set, where there is one
};

struct DataSummary {
  std::vector<SetSummary> sets;
  std::vector<Overlap> overlaps;  ///< of every two sets
};

/// Headers are read of at most `most_sized` images a set, and contents are looked for of at most
/// `most_compared`, both evenly spread. A whole file is read only where another has its size in
/// bytes and the same bytes in its middle.
DataSummary summarise(const std::vector<const Dataset*>& sets, index_t most_sized = 2000,
                      index_t most_compared = 5000);

/// Some lines, the last with its line feed.
std::string text_of(const DataSummary& summary);

}  // namespace vitsnna::train
