// Many overlays on one page: the input, then one column a method; one row a label.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "explain/image.h"

namespace vitsnna::explain {

struct ContactSheetRow {
  std::string label;
  std::optional<double> probability;  ///< written under the label
  std::vector<Image> cells;           ///< one a column, all of one size
};

struct ContactSheet {
  std::string title;  ///< above everything: the input's name; may be empty
  Image input;
  std::vector<std::string> columns;  ///< titles of the columns after the input: method names
  std::vector<ContactSheetRow> rows;
};

/// Whether so many rows and columns (the input's not counted) still make one page. To be asked
/// before thousands of overlays are kept for one that does not.
bool contact_sheet_fits(Extent input, std::size_t rows, std::size_t columns);

/// Small cells are enlarged and large ones reduced to a readable page; long label names are wrapped
/// and, past three lines, shortened. Throws Error where a row's cells are not one a column, or
/// where the page does not fit.
Image draw_contact_sheet(const ContactSheet& sheet);

}  // namespace vitsnna::explain
