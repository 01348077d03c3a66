// Reads the log a line at a time: only the numbers of the panels are kept.
#include "train/run/training_curve.h"

#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "explain/pictures/line_chart.h"
#include "explain/pictures/write_png.h"
#include "kernels/error.h"

namespace vitsnna::train {

namespace {

using nlohmann::json;

/// Adds the line's numbers; what was written as null, because it was not finite, is a gap.
void add_numbers(const json& object, const std::vector<CurvePanel>& panels,
                 explain::LineChart& chart) {
  const auto step = object["step"].get<double>();
  for (std::size_t p = 0; p < panels.size(); ++p) {
    for (std::size_t m = 0; m < panels[p].metrics.size(); ++m) {
      const auto value = object.find(panels[p].metrics[m]);
      if (value == object.end()) continue;  // not measured after this step
      explain::ChartLine& line = chart.panels[p].lines[m];
      line.x.push_back(step);
      line.y.push_back(value->is_number() ? value->get<double>()
                                          : std::numeric_limits<double>::quiet_NaN());
    }
  }
}

}  // namespace

void draw_training_curve(const std::filesystem::path& metrics, const std::filesystem::path& png,
                         const std::vector<CurvePanel>& panels) {
  std::ifstream stream(metrics, std::ios::binary);
  if (!stream) throw Error(metrics.string() + ": cannot be read");
  explain::LineChart chart;
  chart.title = metrics.parent_path().filename().string();
  chart.x_title = "step";
  for (const CurvePanel& panel : panels) {
    explain::ChartPanel drawn{panel.title, {}};
    for (const std::string& name : panel.metrics) {
      drawn.lines.push_back({panel.metrics.size() > 1 ? name : "", {}, {}});
    }
    chart.panels.push_back(std::move(drawn));
  }
  for (std::string line; std::getline(stream, line);) {
    const json object = json::parse(line, nullptr, false);
    if (object.is_object() && object.contains("step") && object["step"].is_number()) {
      add_numbers(object, panels, chart);
    }
  }
  std::erase_if(chart.panels, [](const explain::ChartPanel& panel) {
    for (const explain::ChartLine& line : panel.lines) {
      if (!line.x.empty()) return false;
    }
    return true;
  });
  if (!chart.panels.empty()) explain::write_png(png.string(), explain::draw_line_chart(chart));
}

}  // namespace vitsnna::train
