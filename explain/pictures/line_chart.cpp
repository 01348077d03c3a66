// Panels are drawn apart and pasted: each lays out its axes by the ticks that its numbers need.
#include "explain/pictures/line_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <opencv2/imgproc.hpp>

#include "explain/pictures/text.h"
#include "kernels/error.h"

namespace vitsnna::explain {
namespace {

constexpr index_t kPanelWidth = 460, kPanelHeight = 290, kColumns = 3;
constexpr index_t kMargin = 20, kTop = 34, kRight = 14, kBottom = 46;
constexpr int kTicks = 5;
constexpr Colour kInk = {28, 28, 30}, kFaded = {105, 105, 110}, kGrid = {226, 226, 230};
/// Okabe and Ito's colours, told apart by most eyes.
constexpr std::array<Colour, 6> kLines = {Colour{0, 114, 178},  Colour{213, 94, 0},
                                          Colour{0, 158, 115},  Colour{204, 121, 167},
                                          Colour{86, 180, 233}, Colour{230, 159, 0}};
const TextStyle kTitle = {12, kInk, true}, kName = {10, kInk, true}, kValue = {9, kFaded, false};

/// Numbers beyond this are gaps: their differences would not be finite.
constexpr double kLargest = 1e300;

bool is_drawn(double value) { return std::abs(value) <= kLargest; }

struct Range {
  double least = std::numeric_limits<double>::infinity();
  double most = -std::numeric_limits<double>::infinity();

  void add(double value) {
    least = std::min(least, value);
    most = std::max(most, value);
  }
  bool empty() const { return least > most; }
};

/// One axis: its ticks, and where a number lies between the first and the last of them, in [0, 1].
struct Axis {
  std::vector<double> ticks;

  explicit Axis(Range range)
      : ticks(range.empty() ? round_ticks(0, 1, kTicks)
                            : round_ticks(range.least, range.most, kTicks)) {}
  double place(double value) const {
    return (value - ticks.front()) / (ticks.back() - ticks.front());
  }
};

/// As many digits as tell neighbouring ticks apart.
std::string tick_text(double value, double step) {
  const double large = std::max(std::abs(value), step);
  if (large >= 1e6 || large < 1e-3) return value == 0 ? "0" : fmt::format("{:.3g}", value);
  const int digits = std::max(0, -static_cast<int>(std::floor(std::log10(step) + 1e-9)));
  return fmt::format("{:.{}f}", value == 0 ? 0. : value, digits);
}

Image paper(index_t height, index_t width) {
  Image image{height, width, {}};
  image.rgb.assign(static_cast<std::size_t>(3 * height * width), 255);
  return image;
}

cv::Scalar scalar(Colour colour) { return cv::Scalar(colour.red, colour.green, colour.blue); }

/// A panel's picture while it is drawn.
class Canvas {
 public:
  Canvas(const Axis& x, const Axis& y) : x_(x), y_(y), image_(paper(kPanelHeight, kPanelWidth)) {
    left_ = kMargin;
    for (const double tick : y.ticks) left_ = std::max(left_, text_width(text(y, tick), kValue));
    left_ += 10;
    pixels_ = cv::Mat(static_cast<int>(kPanelHeight), static_cast<int>(kPanelWidth), CV_8UC3,
                      image_.rgb.data());
  }

  void draw_axes(const std::string& title, const std::string& x_title) {
    for (const double tick : y_.ticks) {
      rule(point(x_.ticks.front(), tick), point(x_.ticks.back(), tick));
      const std::string number = text(y_, tick);
      draw_text(image_, left_ - 6 - text_width(number, kValue),
                row(tick) + kValue.capital_height / 2, number, kValue);
    }
    for (const double tick : x_.ticks) {
      rule(point(tick, y_.ticks.front()), point(tick, y_.ticks.back()));
      const std::string number = text(x_, tick);
      const index_t width = text_width(number, kValue);
      const index_t centred = column(tick) - width / 2;
      draw_text(image_, std::min(centred, kPanelWidth - width), kPanelHeight - kBottom + 16, number,
                kValue);
    }
    draw_text(image_, left_, kTitle.capital_height + 4, title, kName);
    draw_text(image_, kPanelWidth - kRight - text_width(x_title, kValue), kPanelHeight - 10,
              x_title, kValue);
  }

  void draw_line(const ChartLine& line, Colour colour) {
    std::vector<cv::Point> run;
    const auto end_run = [&] {
      if (run.size() == 1) {
        cv::circle(pixels_, run.front(), 3 << kShift, scalar(colour), cv::FILLED, cv::LINE_AA,
                   kShift);
      } else if (!run.empty()) {
        cv::polylines(pixels_, run, false, scalar(colour), 2, cv::LINE_AA, kShift);
      }
      run.clear();
    };
    for (std::size_t k = 0; k < line.y.size(); ++k) {
      if (is_drawn(line.y[k])) {
        run.push_back(point(line.x[k], line.y[k]));
      } else {
        end_run();
      }
    }
    end_run();
  }

  /// Names of the lines, at the right of the title.
  void draw_names(const std::vector<ChartLine>& lines) {
    index_t right = kPanelWidth - kRight;
    for (std::size_t k = lines.size(); k-- > 0;) {
      if (lines[k].name.empty()) continue;
      TextStyle style = kValue;
      style.colour = kLines[k % kLines.size()];
      style.bold = true;
      right -= text_width(lines[k].name, style);
      draw_text(image_, right, kTitle.capital_height + 4, lines[k].name, style);
      right -= 14;
    }
  }

  const Image& image() const { return image_; }

 private:
  static constexpr int kShift = 4;  ///< bits of a pixel's fraction

  static std::string text(const Axis& axis, double tick) {
    return tick_text(tick, axis.ticks[1] - axis.ticks[0]);
  }
  double exact_column(double x) const {
    return static_cast<double>(left_) +
           x_.place(x) * static_cast<double>(kPanelWidth - kRight - left_);
  }
  double exact_row(double y) const {
    return static_cast<double>(kPanelHeight - kBottom) -
           y_.place(y) * static_cast<double>(kPanelHeight - kBottom - kTop);
  }
  index_t column(double x) const { return std::lround(exact_column(x)); }
  index_t row(double y) const { return std::lround(exact_row(y)); }
  cv::Point point(double x, double y) const {
    return {static_cast<int>(std::lround(exact_column(x) * (1 << kShift))),
            static_cast<int>(std::lround(exact_row(y) * (1 << kShift)))};
  }
  void rule(cv::Point from, cv::Point to) {
    cv::line(pixels_, from, to, scalar(kGrid), 1, cv::LINE_AA, kShift);
  }

  const Axis &x_, &y_;
  Image image_;
  cv::Mat pixels_;  ///< of image_
  index_t left_;    ///< of the plot: the numbers at its left take the rest
};

Image draw_panel(const ChartPanel& panel, const std::string& x_title) {
  Range x, y;
  for (const ChartLine& line : panel.lines) {
    if (line.x.size() != line.y.size()) {
      throw Error(fmt::format("line chart: panel '{}': {} x for {} y", panel.title, line.x.size(),
                              line.y.size()));
    }
    for (std::size_t k = 0; k < line.y.size(); ++k) {
      if (!is_drawn(line.y[k])) continue;
      x.add(line.x[k]);
      y.add(line.y[k]);
    }
  }
  const Axis x_axis(x), y_axis(y);
  Canvas canvas(x_axis, y_axis);
  canvas.draw_axes(panel.title, x_title);
  for (std::size_t k = 0; k < panel.lines.size(); ++k) {
    canvas.draw_line(panel.lines[k], kLines[k % kLines.size()]);
  }
  canvas.draw_names(panel.lines);
  return canvas.image();
}

}  // namespace

std::vector<double> round_ticks(double least, double most, int count) {
  const double largest = std::max(std::abs(least), std::abs(most));
  if (!(most - least > 1e-9 * largest + 1e-290)) {  // one number, as far as ticks can tell
    const double around = largest < 1e-280 ? 1 : largest / 2;
    return round_ticks(least - around, least + around, count);
  }
  const double rough = (most - least) / count;
  const double power = std::pow(10., std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {1., 2., 5.}) {
    if (factor * power >= rough * (1 - 1e-9)) {
      step = factor * power;
      break;
    }
  }
  // Counted in steps, so that ticks are multiples of the step and none is lost to rounding.
  const double first = std::floor(least / step + 1e-9), last = std::ceil(most / step - 1e-9);
  std::vector<double> ticks;
  for (double k = first; k <= last; ++k) ticks.push_back(k * step);
  return ticks;
}

Image draw_line_chart(const LineChart& chart) {
  if (chart.panels.empty()) throw Error("line chart: no panels, at least one wanted");
  const auto count = static_cast<index_t>(chart.panels.size());
  const index_t columns = std::min(count, kColumns), rows = (count + columns - 1) / columns;
  const index_t top = kMargin + (chart.title.empty() ? 0 : 2 * kTitle.capital_height + 6);
  Image page =
      paper(top + rows * (kPanelHeight + kMargin), kMargin + columns * (kPanelWidth + kMargin));
  draw_text(page, kMargin, kMargin + kTitle.capital_height,
            shorten_text(chart.title, page.width - 2 * kMargin, kTitle), kTitle);
  for (index_t k = 0; k < count; ++k) {
    const Image panel = draw_panel(chart.panels[static_cast<std::size_t>(k)], chart.x_title);
    const index_t left = kMargin + k % columns * (kPanelWidth + kMargin);
    const index_t upper = top + k / columns * (kPanelHeight + kMargin);
    for (index_t y = 0; y < panel.height; ++y) {
      std::copy_n(panel.rgb.data() + 3 * y * panel.width, 3 * panel.width,
                  page.rgb.data() + 3 * ((upper + y) * page.width + left));
    }
  }
  return page;
}

}  // namespace vitsnna::explain
