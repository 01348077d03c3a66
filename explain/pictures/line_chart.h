// Curves on one page: panels side by side, each with its own axes.
#pragma once

#include <string>
#include <vector>

#include "explain/image.h"

namespace vitsnna::explain {

struct ChartLine {
  std::string name;
  std::vector<double> x;  ///< rising; finite
  std::vector<double> y;  ///< as many; what is beyond 1e300, or no number, leaves a gap
};

struct ChartPanel {
  std::string title;
  std::vector<ChartLine> lines;  ///< one may leave its name out
};

struct LineChart {
  std::string title;    ///< above everything; may be empty
  std::string x_title;  ///< under every panel
  std::vector<ChartPanel> panels;
};

/// Three panels a row. A point alone is a dot; a panel without a finite point has empty axes.
/// Throws Error naming the panel whose line has not as many x as y, or where there is no panel.
Image draw_line_chart(const LineChart& chart);

/// Round numbers (1, 2 or 5 times a power of ten apart) that cover [least, most], about `count` of
/// them; around the number where both are one. Within 1e300.
std::vector<double> round_ticks(double least, double most, int count);

}  // namespace vitsnna::explain
