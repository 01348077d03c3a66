// `vitsnna predict`: what the model decides about each input.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/inputs.h"
#include "cli/json_text.h"
#include "cli/prediction.h"
#include "cli/progress.h"
#include "explain/explainer.h"

namespace vitsnna::cli {
namespace {

struct PredictArguments {
  ModelArguments model;
  InputArguments input;
  RunArguments run;
};

/// Top five of a softmax head; every class of a multi-label one, those predicted marked.
void print_prediction(const Console& console, const Session& session, const InputItem& item,
                      const std::vector<float>& logits, const std::vector<float>& probabilities) {
  console.result(item.text());
  std::vector<index_t> shown = reported_classes(probabilities, session.metadata());
  const std::vector<index_t> predicted = shown;
  const bool multi_label = session.metadata().activation == model::Activation::sigmoid;
  if (multi_label) {
    shown.clear();
    for (index_t i = 0; i < session.config().num_classes; ++i) shown.push_back(i);
  }
  for (const index_t index : shown) {
    const auto position = static_cast<std::size_t>(index);
    const bool yes = std::find(predicted.begin(), predicted.end(), index) != predicted.end();
    console.result(fmt::format("  {}{:6.2f}%  {:4}  {}  (logit {:.3f})",
                               multi_label ? (yes ? "yes " : "no  ") : "",
                               100 * static_cast<double>(probabilities[position]), index,
                               session.names().name(index), static_cast<double>(logits[position])));
  }
}

void predict(const PredictArguments& arguments) {
  const Console console(arguments.run.verbosity);
  const explain::SizeOptions size = arguments.input.resolve();
  std::vector<InputItem> items = find_inputs(arguments.input);
  Session session(arguments.model, arguments.run, console);
  session.require_head();
  InputLoader inputs(std::move(items), size, session);
  explain::Explainer explainer(session.vit(), session.queue());

  nlohmann::ordered_json json = {{"inputs", nlohmann::ordered_json::array()}};
  Progress progress(inputs.count(), !console.quiet());
  for (std::size_t i = 0; i < inputs.count(); ++i) {
    const InputItem& item = inputs.item(i);
    const explain::LoadedInput input = inputs.load(i);
    const explain::Extent extent = input.geometry.crop;
    const std::vector<float> logits =
        explainer.predict({input.tensor.data(), extent.height, extent.width});
    const std::vector<float> probabilities =
        explain::probabilities(logits, session.metadata().activation);
    progress.clear();
    if (!inputs.note(i).empty()) {
      console.note(fmt::format("{}: {}", item.text(), inputs.note(i)));
    }
    print_prediction(console, session, item, logits, probabilities);
    progress.update(i, 1);
    nlohmann::ordered_json one = {{"input", item.path}};
    if (item.item) one["item"] = *item.item;
    one.update(prediction_json(logits, probabilities, session));
    json["inputs"].push_back(std::move(one));
  }
  progress.clear();
  if (console.json()) write_stdout(json_text(json));
}

}  // namespace

void add_predict(CLI::App& app) {
  auto arguments = std::make_shared<PredictArguments>();
  CLI::App* command = app.add_subcommand("predict", "Say what the model decides about images");
  declare(*command, arguments->model);
  declare(*command, arguments->input);
  declare(*command, arguments->run);
  command->callback([arguments] { predict(*arguments); });
}

}  // namespace vitsnna::cli
