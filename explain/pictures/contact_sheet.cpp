// Lays out the page: margins and text sizes follow the cells, which are scaled to a readable size.
#include "explain/pictures/contact_sheet.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <optional>

#include "explain/pictures/scale_image.h"
#include "explain/pictures/text.h"
#include "kernels/error.h"

namespace vitsnna::explain {
namespace {

constexpr index_t kSmallestCell = 240, kLargestCell = 480;  ///< the long side of a cell, in pixels
constexpr index_t kLeastCell = 96;                          ///< where a page would be too large
constexpr index_t kPageWidth = 2400;  ///< cells above the smallest give way to stay below it
constexpr index_t kMaxPagePixels = index_t{1} << 26;
constexpr index_t kMargin = 24, kGap = 10;
constexpr std::size_t kLabelLines = 3;
constexpr Colour kPaper = {255, 255, 255}, kInk = {28, 28, 30}, kFaded = {105, 105, 110};

/// Letters grow with the page, which is looked at as a whole.
struct Styles {
  TextStyle title, column, label, value;

  explicit Styles(index_t cells_width) {
    const auto size = static_cast<int>(std::clamp<index_t>(cells_width / 150, 11, 20));
    title = {size + 2, kInk, true};
    column = {size, kInk, false};
    label = {size, kInk, true};
    value = {size, kFaded, false};
  }
  /// The column of label names is at most as wide as some sixteen capitals are high.
  index_t widest_label() const { return 16 * label.capital_height; }
};

/// Sizes and positions of everything, in pixels from the page's upper left.
struct Layout {
  Extent cell, page;
  Styles styles;
  index_t label_width = 0;  ///< of the column of label names; 0: no row has a name
  index_t columns_top = 0;  ///< baseline of the column titles
  index_t cells_top = 0, cells_left = 0;

  index_t cell_top(std::size_t row) const {
    return cells_top + static_cast<index_t>(row) * (cell.height + kGap);
  }
  index_t cell_left(std::size_t column) const {
    return cells_left + static_cast<index_t>(column) * (cell.width + kGap);
  }
};

Extent scaled_to(Extent picture, index_t long_side) {
  const index_t longest = std::max(picture.height, picture.width);
  const auto scaled = [&](index_t side) {
    return std::max<index_t>((side * long_side + longest / 2) / longest, 1);
  };
  return {scaled(picture.height), scaled(picture.width)};
}

std::string value_text(const ContactSheetRow& row) {
  return row.probability ? fmt::format("{:.3f}", *row.probability) : std::string();
}

/// As wide as the longest name or probability needs.
index_t label_column(const std::vector<ContactSheetRow>& rows, const Styles& styles) {
  index_t width = 0;
  for (const ContactSheetRow& row : rows) {
    for (const std::string& line :
         wrap_text(row.label, styles.widest_label(), kLabelLines, styles.label)) {
      width = std::max(width, text_width(line, styles.label));
    }
    width = std::max(width, text_width(value_text(row), styles.value));
  }
  return std::min(width, styles.widest_label());
}

/// The page for `columns` columns beside the input's. `rows` null: `row_count` rows whose names
/// take all the room there is.
Layout lay_out(Extent cell, std::size_t row_count, std::size_t columns,
               const std::vector<ContactSheetRow>* rows, bool has_title) {
  const Styles styles(static_cast<index_t>(columns + 1) * (cell.width + kGap));
  Layout layout{cell, {}, styles};
  layout.label_width = rows ? label_column(*rows, styles) : styles.widest_label();
  const index_t title_height = has_title ? 2 * styles.title.capital_height + 4 : 0;
  layout.columns_top = kMargin + title_height + styles.column.capital_height;
  layout.cells_top = layout.columns_top + styles.column.capital_height;
  layout.cells_left = kMargin + (layout.label_width == 0 ? 0 : layout.label_width + 2 * kGap);
  layout.page = {layout.cell_top(row_count) - kGap + kMargin,
                 layout.cell_left(columns + 1) - kGap + kMargin};
  return layout;
}

/// The largest readable cells that still make one page; nothing where even the least do not.
std::optional<Layout> fit(Extent input, std::size_t row_count, std::size_t columns,
                          const std::vector<ContactSheetRow>* rows, bool has_title) {
  const index_t longest = std::max(input.height, input.width);
  const auto share = kPageWidth / static_cast<index_t>(columns + 1) * longest / input.width;
  index_t long_side = std::clamp(std::min(longest, share), kSmallestCell, kLargestCell);
  for (;;) {
    const Layout layout = lay_out(scaled_to(input, long_side), row_count, columns, rows, has_title);
    if (layout.page.height <= kMaxPagePixels / layout.page.width) return layout;
    if (long_side == kLeastCell) return std::nullopt;
    long_side = std::max(long_side * 3 / 4, kLeastCell);
  }
}

void paste(Image& page, const Image& picture, index_t top, index_t left) {
  for (index_t y = 0; y < picture.height; ++y) {
    std::copy_n(picture.rgb.data() + 3 * y * picture.width, 3 * picture.width,
                page.rgb.data() + 3 * ((top + y) * page.width + left));
  }
}

void draw_column_title(Image& page, const Layout& layout, std::size_t column,
                       const std::string& title) {
  const TextStyle& style = layout.styles.column;
  const std::string text = shorten_text(title, layout.cell.width, style);
  const index_t left = layout.cell_left(column) + (layout.cell.width - text_width(text, style)) / 2;
  draw_text(page, left, layout.columns_top, text, style);
}

/// Name and probability, centred on the height of their row.
void draw_label(Image& page, const Layout& layout, std::size_t index, const ContactSheetRow& row) {
  const TextStyle &label_style = layout.styles.label, &value_style = layout.styles.value;
  const std::string value = value_text(row);
  const index_t line_height = label_style.capital_height * 7 / 4;
  const std::vector<std::string> lines =
      wrap_text(row.label, layout.label_width, kLabelLines, label_style);
  const auto count = static_cast<index_t>(lines.size() + (value.empty() ? 0 : 1));
  const index_t height = count * line_height - (line_height - label_style.capital_height);
  index_t baseline =
      layout.cell_top(index) + (layout.cell.height - height) / 2 + label_style.capital_height;
  for (const std::string& line : lines) {
    draw_text(page, kMargin, baseline, line, label_style);
    baseline += line_height;
  }
  draw_text(page, kMargin, baseline, value, value_style);
}

}  // namespace

bool contact_sheet_fits(Extent input, std::size_t rows, std::size_t columns) {
  return input.area() > 0 && fit(input, rows, columns, nullptr, true).has_value();
}

Image draw_contact_sheet(const ContactSheet& sheet) {
  if (sheet.input.extent().area() < 1 || sheet.rows.empty()) {
    throw Error("contact sheet: an input and at least one row wanted");
  }
  for (const ContactSheetRow& row : sheet.rows) {
    if (row.cells.size() != sheet.columns.size()) {
      throw Error(fmt::format("contact sheet: row '{}' has {} cells for {} columns", row.label,
                              row.cells.size(), sheet.columns.size()));
    }
  }
  const std::optional<Layout> fitted = fit(sheet.input.extent(), sheet.rows.size(),
                                           sheet.columns.size(), &sheet.rows, !sheet.title.empty());
  if (!fitted) {
    throw Error(
        fmt::format("contact sheet: {} rows of {} pictures, a page of at most {} pixels wanted",
                    sheet.rows.size(), sheet.columns.size() + 1, kMaxPagePixels));
  }
  const Layout& layout = *fitted;
  Image page{layout.page.height, layout.page.width, {}};
  page.rgb.resize(static_cast<std::size_t>(3 * layout.page.area()));
  fill_rectangle(page, 0, 0, page.extent(), kPaper, 1);

  const index_t text_room = page.width - 2 * kMargin;
  draw_text(page, kMargin, kMargin + layout.styles.title.capital_height,
            shorten_text(sheet.title, text_room, layout.styles.title), layout.styles.title);
  draw_column_title(page, layout, 0, "input");
  for (std::size_t column = 0; column < sheet.columns.size(); ++column) {
    draw_column_title(page, layout, column + 1, sheet.columns[column]);
  }
  const Image input = scale_image(sheet.input, layout.cell);
  for (std::size_t row = 0; row < sheet.rows.size(); ++row) {
    draw_label(page, layout, row, sheet.rows[row]);
    paste(page, input, layout.cell_top(row), layout.cell_left(0));
    for (std::size_t column = 0; column < sheet.columns.size(); ++column) {
      paste(page, scale_image(sheet.rows[row].cells[column], layout.cell), layout.cell_top(row),
            layout.cell_left(column + 1));
    }
  }
  return page;
}

}  // namespace vitsnna::explain
