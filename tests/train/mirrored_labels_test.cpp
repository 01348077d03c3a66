// Which labels change places in a mirrored picture, and which sets cannot be mirrored.
#include "train/augment/mirrored_labels.h"

#include <gtest/gtest.h>

#include "tests/support/expect_error.h"

namespace vitsnna::train {
namespace {

using Names = std::vector<std::string>;
using Places = std::vector<std::size_t>;

TEST(MirroredLabels, NamesThatDifferInLeftAndRightChangePlaces) {
  const std::pair<Names, Places> cases[] = {
      {{"forward", "stop_slow", "left", "right"}, {0, 1, 3, 2}},
      {{"right", "x", "left"}, {2, 1, 0}},
      {{"Left", "Right"}, {1, 0}},
      {{"LEFT", "right"}, {1, 0}},
      {{"turn_left", "left_lane", "turn_right", "right_lane"}, {2, 3, 0, 1}},
      {{"turnLeft", "TurnRight"}, {1, 0}},
      {{"left to right", "right to left"}, {1, 0}},
      {{"left-2", "right-2", "left-3", "right-3"}, {1, 0, 3, 2}},
      {{"left", "right", "turn left", "turn right"}, {1, 0, 3, 2}},
      {{"leftover", "bright", "cleft", "rights"}, {0, 1, 2, 3}},
      {{}, {}},
  };
  for (const auto& [names, places] : cases) {
    EXPECT_EQ(mirrored_labels(names), places) << testing::PrintToString(names);
    EXPECT_NO_THROW(require_mirrored_labels(names, 1.)) << testing::PrintToString(names);
  }
}

TEST(MirroredLabels, ASideWithoutTheOtherIsRefusedWhereItWouldBeMirrored) {
  const std::pair<Names, const char*> cases[] = {
      {{"left", "x"}, "\"left\""},
      {{"x", "right"}, "\"right\""},
      {{"left", "right", "turn_left"}, "\"turn_left\""},
      {{"turn_left", "right"}, "\"turn_left\""},
      {{"left", "Left", "right"}, "\"left\""},      // whose partner is right?
      {{"turnLeft", "turnright"}, "\"turnLeft\""},  // turnright is one word
      {{"left_or_right"}, "\"left_or_right\""},
  };
  for (const auto& one : cases) {  // by its members, which a lambda may capture
    EXPECT_ERROR(require_mirrored_labels(one.first, .5), "--flip", one.second);
    EXPECT_NO_THROW(require_mirrored_labels(one.first, 0.));
  }
  EXPECT_EQ(mirrored_labels({"left", "x"}), (Places{0, 1}));
  EXPECT_EQ(mirrored_labels({"turn_left", "right"}), (Places{0, 1}));
}

}  // namespace
}  // namespace vitsnna::train
