// What `vitsnna explain` was asked for, from texts on the command line to a request that the
// explainer takes.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "cli/options.h"
#include "cli/session.h"
#include "explain/explainer.h"

namespace vitsnna::cli {

struct ExplainArguments {
  ModelArguments model;
  InputArguments input;
  RunArguments run;
  DrawingArguments drawing;
  OutputArguments output;

  std::string methods = "snna";
  std::string formulation = "paper";
  std::vector<std::string> labels;  ///< empty: predicted
  index_t samples = 5;
  double noise_level = .15;
  std::string noise_file;
  index_t integration_steps = 20;
  std::string baseline = "zero";
  std::uint64_t seed = 0;
  std::string memory_limit;
  bool draw_predictions = false;
  bool dry_run = false;

  CLI::Option* samples_option = nullptr;  ///< knows whether the user gave it
};

void declare(CLI::App& app, ExplainArguments& arguments);

/// A resolved request and the arrays that it points to.
class ResolvedRequest {
 public:
  /// The part that needs no model, so that wrong usage is found before anything is read. Throws
  /// UsageError.
  explicit ResolvedRequest(const ExplainArguments& arguments);

  /// The rest: labels, noise and baseline against the model. Throws Error naming what does not fit.
  void fit_model(const Session& session);
  /// Throws Error where the noise or the baseline is not of this input's size.
  void check_extent(const std::string& input, explain::Extent extent) const;

  /// For an input of this size; valid until the next call.
  const explain::ExplainRequest& for_extent(const Session& session, explain::Extent extent);

  const explain::ExplainRequest& request() const { return request_; }
  /// The manifest's object "options".
  nlohmann::ordered_json json() const;

 private:
  const ExplainArguments& arguments_;
  explain::ExplainRequest request_;
  std::vector<float> noise_, baseline_;
  std::vector<std::int64_t> noise_shape_, baseline_shape_;
  bool black_ = false;
  explain::Extent black_extent_;
};

}  // namespace vitsnna::cli
