// A run's metrics.jsonl as a picture.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace vitsnna::train {

/// Metrics that share a panel.
struct CurvePanel {
  std::string title;
  std::vector<std::string> metrics;  ///< their names in metrics.jsonl
};

/// Draws the panels of which the log holds a number, in their order, over steps; writes no picture
/// where it holds none. The file appears whole or not at all. Throws Error naming the file that
/// cannot be read or written.
void draw_training_curve(const std::filesystem::path& metrics, const std::filesystem::path& png,
                         const std::vector<CurvePanel>& panels);

}  // namespace vitsnna::train
