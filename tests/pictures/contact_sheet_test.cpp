// The page of all overlays: readable at any input size, nothing lost, nothing overlapping.
#include "explain/pictures/contact_sheet.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/pictures/image_files.h"
#include "tests/support/expect_error.h"

namespace vitsnna::explain {
namespace {

Image plain(Extent size, std::uint8_t red, std::uint8_t green, std::uint8_t blue) {
  Image image{size.height, size.width, {}};
  for (index_t i = 0; i < size.area(); ++i) {
    image.rgb.insert(image.rgb.end(), {red, green, blue});
  }
  return image;
}

/// Cell (row, column) is filled with red = 20 * row + 10 and green = 20 * column + 10.
ContactSheet coloured_sheet(Extent cell, int rows, int columns) {
  ContactSheet sheet;
  sheet.title = "0a1b2c3d.jpg";
  sheet.input = plain(cell, 200, 0, 200);
  for (int column = 0; column < columns; ++column) {
    sheet.columns.push_back("method" + std::to_string(column));
  }
  for (int row = 0; row < rows; ++row) {
    ContactSheetRow line{"label " + std::to_string(row), .5, {}};
    for (int column = 0; column < columns; ++column) {
      line.cells.push_back(plain(cell, static_cast<std::uint8_t>(20 * row + 10),
                                 static_cast<std::uint8_t>(20 * column + 10), 0));
    }
    sheet.rows.push_back(line);
  }
  return sheet;
}

/// How many pixels of the page have exactly this colour.
index_t count(const Image& page, int red, int green, int blue) {
  index_t pixels = 0;
  for (std::size_t i = 0; i < page.rgb.size(); i += 3) {
    if (page.rgb[i] == red && page.rgb[i + 1] == green && page.rgb[i + 2] == blue) ++pixels;
  }
  return pixels;
}

TEST(ContactSheet, EveryCellIsOnThePageWholeAndOfOneSize) {
  const Image page = draw_contact_sheet(coloured_sheet({320, 400}, 3, 4));
  const index_t area = 320 * 400;
  for (int row = 0; row < 3; ++row) {
    for (int column = 0; column < 4; ++column) {
      EXPECT_EQ(count(page, 20 * row + 10, 20 * column + 10, 0), area);
    }
  }
  EXPECT_EQ(count(page, 200, 0, 200), 3 * area) << "the input stands at the head of every row";
  EXPECT_GT(count(page, 255, 255, 255), 0);
}

TEST(ContactSheet, SmallCellsAreEnlargedAndLargeOnesReduced) {
  struct {
    Extent input, cell;
  } const cases[] = {{{96, 96}, {240, 240}},
                     {{48, 96}, {120, 240}},
                     {{360, 640}, {270, 480}},
                     {{1080, 1920}, {270, 480}},
                     {{300, 250}, {300, 250}}};
  for (const auto& [input, cell] : cases) {
    const Image page = draw_contact_sheet(coloured_sheet(input, 1, 1));
    EXPECT_EQ(count(page, 10, 10, 0), cell.area()) << input.height << "x" << input.width;
  }
}

TEST(ContactSheet, AThousandLabelsStayOnePageAndFarMoreAreRefused) {
  ContactSheet sheet = coloured_sheet({16, 16}, 1, 2);
  sheet.rows.resize(1000, sheet.rows[0]);
  ASSERT_TRUE(contact_sheet_fits({16, 16}, 1000, 2));
  EXPECT_LE(draw_contact_sheet(sheet).extent().area(), index_t{1} << 26);
  sheet.rows.resize(5000, sheet.rows[0]);
  EXPECT_FALSE(contact_sheet_fits({16, 16}, 5000, 2));
  EXPECT_ERROR(draw_contact_sheet(sheet), "contact sheet", "5000 rows");
}

TEST(ContactSheet, OddNamesAndShapesFit) {
  ContactSheet sheet = coloured_sheet({1, 700}, 2, 2);
  sheet.title = std::string(3000, 'W');
  sheet.columns[1] = std::string(500, 'M');
  sheet.rows[0].label = std::string(500, 'w');
  sheet.rows[1].label = "";
  sheet.rows[1].probability.reset();
  const Image page = draw_contact_sheet(sheet);
  EXPECT_EQ(page.rgb.size(), static_cast<std::size_t>(3 * page.extent().area()));
  // Whatever was written, the margins stay paper.
  for (index_t y = 0; y < page.height; ++y) {
    for (index_t x = 0; x < 8; ++x) {
      for (index_t c = 0; c < 3; ++c) {
        EXPECT_EQ(page.rgb[static_cast<std::size_t>(3 * (y * page.width + x) + c)], 255);
        EXPECT_EQ(page.rgb[static_cast<std::size_t>(3 * ((y + 1) * page.width - 1 - x) + c)], 255);
      }
    }
  }
}

TEST(ContactSheet, RowsWithoutOneCellAColumnAreRefused) {
  ContactSheet sheet = coloured_sheet({64, 64}, 2, 3);
  sheet.rows[1].cells.pop_back();
  EXPECT_ERROR(draw_contact_sheet(sheet), "contact sheet", "'label 1'", "2 cells for 3 columns");
  sheet.rows.clear();
  EXPECT_ERROR(draw_contact_sheet(sheet), "contact sheet", "at least one row");
}

}  // namespace
}  // namespace vitsnna::explain
