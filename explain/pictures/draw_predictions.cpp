// Figure 8: the actions that the model predicts, with their probabilities, written on the picture.
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "explain/pictures/overlay.h"
#include "explain/pictures/scale_image.h"
#include "explain/pictures/text.h"

namespace vitsnna::explain {
namespace {

/// Below this short side a picture is enlarged before it is written on.
constexpr index_t kReadableSide = 200;

struct Line {
  std::string label, value;
};

}  // namespace

Image draw_predictions(const Image& picture, std::span<const LabelledProbability> predictions) {
  const index_t short_side = std::min(picture.height, picture.width);
  if (predictions.empty() || short_side < 1) return picture;
  Image image = enlarge_image(picture, (kReadableSide + short_side - 1) / short_side);

  const index_t side = std::min(image.height, image.width);
  TextStyle style;
  style.capital_height = static_cast<int>(std::clamp<index_t>(side / 36, 9, 40));
  style.colour = {255, 255, 255};
  const index_t capital = style.capital_height, line_height = capital * 2, padding = capital;
  const index_t margin = capital / 2;

  std::vector<LabelledProbability> sorted(predictions.begin(), predictions.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.probability > b.probability; });
  const index_t room =
      (image.height - 2 * margin - 2 * padding + line_height - capital) / line_height;
  const auto max_lines = static_cast<std::size_t>(std::max<index_t>(room, 1));
  std::vector<Line> lines;
  for (const LabelledProbability& entry : sorted) {
    if (lines.size() + 1 == max_lines && sorted.size() > max_lines) {
      lines.push_back({fmt::format("and {} more", sorted.size() - lines.size()), ""});
      break;
    }
    lines.push_back({entry.label, fmt::format("{:.2f}", entry.probability)});
  }

  index_t label_width = 0, value_width = 0;
  for (const Line& line : lines) {
    label_width = std::max(label_width, text_width(line.label, style));
    value_width = std::max(value_width, text_width(line.value, style));
  }
  const index_t gap = capital;
  const index_t widest = image.width - 2 * margin - 2 * padding - gap - value_width;
  label_width = std::max<index_t>(std::min(label_width, widest), 1);
  const Extent panel = {
      2 * padding + static_cast<index_t>(lines.size()) * line_height - (line_height - capital),
      2 * padding + label_width + gap + value_width};
  fill_rectangle(image, margin, margin, panel, {0, 0, 0}, .6);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const index_t baseline = margin + padding + capital + static_cast<index_t>(i) * line_height;
    const index_t left = margin + padding;
    draw_text(image, left, baseline, shorten_text(lines[i].label, label_width, style), style);
    // Values end in one column.
    const index_t value_left = left + label_width + gap + value_width;
    draw_text(image, value_left - text_width(lines[i].value, style), baseline, lines[i].value,
              style);
  }
  return image;
}

}  // namespace vitsnna::explain
