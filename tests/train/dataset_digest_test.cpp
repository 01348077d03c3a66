// The digest of a data set: equal for equal sets wherever they lie, another for any other set.
#include "train/data/dataset_digest.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <utility>

namespace vitsnna::train {
namespace {

Dataset small_set() {
  Dataset dataset;
  dataset.samples = {{"/here/a.jpg", "a.jpg"}, {"/here/b/a.jpg", "b/a.jpg"}, {"/here/c", "c"}};
  dataset.label_names = {"left", "right"};
  dataset.labels = {0, 1, 1, 0, 1, 1};
  return dataset;
}

TEST(DatasetDigest, DependsOnWhatTheSetHoldsAndNotOnWhereItLies) {
  Dataset moved = small_set();
  moved.path = "/elsewhere";
  moved.notes = {"a note"};
  for (Sample& sample : moved.samples) sample.path = "/elsewhere/" + sample.id;
  EXPECT_EQ(digest_of(moved), digest_of(small_set()));
  EXPECT_EQ(digest_of(moved).size(), 64u);
}

TEST(DatasetDigest, EveryOtherSetHasAnother) {
  const std::function<void(Dataset&)> changes[] = {
      [](Dataset&) {},
      [](Dataset& set) { set.labels[3] = 1; },
      [](Dataset& set) { set.labels[3] = .5f; },
      [](Dataset& set) { set.label_names[1] = "Right"; },
      [](Dataset& set) { set.samples[1].id = "b/b.jpg"; },
      [](Dataset& set) { std::swap(set.samples[0], set.samples[1]); },
      // The same characters, divided otherwise.
      [](Dataset& set) { set.samples[1].id = "b/a.jp", set.samples[2].id = "gc"; },
      [](Dataset& set) {
        set.label_names = {"leftr", "ight"};
      },
      [](Dataset& set) { set.samples.pop_back(), set.labels.resize(4); },
      [](Dataset& set) { set.label_names.clear(), set.labels.clear(); },
  };
  std::set<std::string> digests;
  for (const auto& change : changes) {
    Dataset set = small_set();
    change(set);
    digests.insert(digest_of(set));
  }
  EXPECT_EQ(digests.size(), std::size(changes));
}

}  // namespace
}  // namespace vitsnna::train
