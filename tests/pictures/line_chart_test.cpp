// Curves: round ticks, and ink of a line's own colour where its numbers are.
#include "explain/pictures/line_chart.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/expect_error.h"

namespace vitsnna::explain {
namespace {

using Numbers = std::vector<double>;

TEST(RoundTicks, CoverTheRangeInStepsOfOneTwoOrFive) {
  EXPECT_EQ(round_ticks(0, 1, 5), (Numbers{0 * .2, 1 * .2, 2 * .2, 3 * .2, 4 * .2, 5 * .2}));
  EXPECT_EQ(round_ticks(-3, 42, 5), (Numbers{-10, 0, 10, 20, 30, 40, 50}));
  EXPECT_EQ(round_ticks(7, 7, 5), (Numbers{2, 4, 6, 8, 10, 12}));
  EXPECT_EQ(round_ticks(0, 0, 5).front(), -1);
  EXPECT_EQ(round_ticks(1, 1 + 1e-15, 5), round_ticks(1, 1, 5));  // told apart by no tick
  EXPECT_EQ(round_ticks(0, 5e-324, 5), round_ticks(0, 0, 5));
  for (const double scale : {1e-12, 3e-3, 7., 1e9}) {
    const Numbers ticks = round_ticks(-scale / 3, scale, 5);
    EXPECT_LE(ticks.front(), -scale / 3);
    EXPECT_GE(ticks.back(), scale * (1 - 1e-9));
    EXPECT_GE(ticks.size(), 4u);
    EXPECT_LE(ticks.size(), 8u);
  }
}

/// The first and the last row that hold the colour of a panel's first line, by column.
struct Rows {
  index_t first = -1, last = -1;
};
Rows rows_with_blue(const Image& image, index_t from_column, index_t to_column) {
  Rows rows;
  for (index_t y = 0; y < image.height; ++y) {
    for (index_t x = from_column; x < to_column; ++x) {
      const std::uint8_t* pixel = image.rgb.data() + 3 * (y * image.width + x);
      if (pixel[0] > 20 || pixel[1] < 95 || pixel[1] > 135 || pixel[2] < 160) continue;
      if (rows.first < 0) rows.first = y;
      rows.last = y;
    }
  }
  return rows;
}

TEST(LineChart, ALineFallsFromItsFirstNumberToItsLast) {
  LineChart chart{"", "step", {{"loss", {{"", {0, 50, 100}, {10, 5, 0}}}}}};
  const Image image = draw_line_chart(chart);
  const Rows left = rows_with_blue(image, 0, image.width / 4);
  const Rows right = rows_with_blue(image, 3 * image.width / 4, image.width);
  ASSERT_GE(left.first, 0);
  ASSERT_GE(right.first, 0);
  EXPECT_LT(left.last, right.first);
}

TEST(LineChart, WhatIsNotFiniteIsAGap) {
  const double nan = std::nan("");
  LineChart chart{"", "step", {{"loss", {{"", {0, 1, 2, 3, 4}, {1, 1, nan, 1, 1}}}}}};
  const Image image = draw_line_chart(chart);
  const index_t middle = image.width / 2 + 10;
  EXPECT_GE(rows_with_blue(image, 0, image.width / 3).first, 0);
  EXPECT_LT(rows_with_blue(image, middle - 5, middle + 5).first, 0);
}

TEST(LineChart, LonelyEmptyAndManyPanelsAreDrawn) {
  const double infinity = std::numeric_limits<double>::infinity();
  LineChart chart{"run", "step", {{"one", {{"a", {3}, {4}}}}}};
  EXPECT_GE(rows_with_blue(draw_line_chart(chart), 0, 500).first, 0);  // a dot
  chart.panels.push_back({"none", {}});
  chart.panels.push_back({"infinite", {{"b", {1}, {infinity}}}});
  const Image three = draw_line_chart(chart);
  chart.panels.push_back({"fourth", {{"", {0, 1}, {1e300, -1e300}}}});
  chart.panels.push_back({"fifth", {{"", {0, 1, 2}, {1.7e308, -1.7e308, 3}}}});
  const Image five = draw_line_chart(chart);
  EXPECT_EQ(five.width, three.width);
  EXPECT_GT(five.height, three.height);
}

TEST(LineChart, WhatDoesNotFitIsNamed) {
  EXPECT_ERROR(draw_line_chart({}), "no panels");
  EXPECT_ERROR(draw_line_chart({"", "step", {{"loss", {{"", {1, 2}, {1}}}}}}), "'loss'", "2 x");
}

}  // namespace
}  // namespace vitsnna::explain
