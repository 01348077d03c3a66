// The declarations of `finetune`'s options, and their resolved values by name.
#include "cli/finetune_options.h"

#include <CLI/CLI.hpp>

#include "cli/labelled_sets.h"
#include "cli/training_process.h"
#include "engine/io/sha256.h"
#include "train/data/dataset_digest.h"
#include "train/supervised/finetuning.h"

namespace vitsnna::cli {
namespace {

constexpr const char* kWhole = "Whole model";
constexpr const char* kKeeping = "Run folder";

void declare_recipe(CLI::App& app, FinetuneArguments& arguments) {
  train::FinetuneOptions& options = arguments.options;
  OptionGroup recipe(app, "Recipe");
  choices(app.add_option("--recipe", arguments.recipe,
                         "The paper's is what the defaults are; named, the head reads 4 blocks "
                         "whatever the model's own reads")
              ->group("Recipe"),
          {"paper"});
  recipe.size("--size", arguments.size,
              "Of images: the whole of them, or the centre where it is square");
  whole_between(app.add_option("--blocks", arguments.blocks,
                               "Last blocks whose CLS tokens the head reads (default: as many as "
                               "the model's own head where that has the set's labels, else 4)")
                    ->type_name("N")
                    ->group("Recipe"),
                1, kMostOfACount);
  app.add_flag("--standardise", options.standardise,
               "Bring features to mean 0 and deviation 1 while the head learns")
      ->group("Recipe");
  recipe.whole("--epochs", options.epochs, "Passes over the images", 1);
  recipe.whole("--batch", options.batch, "Images of a step, over all processes", 1);
  choices(app.add_option("--optimizer", arguments.optimizer, "What takes the steps")
              ->group("Recipe")
              ->capture_default_str(),
          {"sgd", "adamw"});
  recipe.number("--lr", options.learning_rate, "Learning rate of a batch of 256; others scale it",
                0);
  recipe.number("--final-lr", options.final_learning_rate, "At the end of its cosine", 0);
  recipe.whole("--warmup-epochs", options.warmup_epochs, "In which the learning rate rises from 0",
               0);
  recipe.number("--weight-decay", options.weight_decay, "Of weights, not of biases", 0);
  recipe.number("--momentum", options.momentum, "Of --optimizer sgd", 0, 1);
  recipe.number("--clip", options.clip, "Greatest norm of a tensor's gradient; 0: any", 0);
  choices(app.add_option("--positive-weights", arguments.positive_weights,
                         "Of a label's positives in the loss: 1, or negatives / positives")
              ->group("Recipe")
              ->capture_default_str(),
          {"none", "balanced"});
  app.add_flag("--tune-thresholds", arguments.tune_thresholds,
               "Store the thresholds with the best F1 on the validation set, not .5")
      ->group("Recipe");
  recipe.seed(options.seed, "Of a new head, the order of images and their flips");
  app.add_flag("--whole-model", options.whole_model,
               "Train the backbone too (default: the head alone, on features computed once)")
      ->group(kWhole);
  OptionGroup whole(app, kWhole);
  whole.number("--layer-decay", options.layer_decay,
               "Of the learning rate, from a layer to the one below", 0, 1);
  whole.number("--flip", options.flip, "Probability; left and right change places with it", 0, 1);
}

}  // namespace

void declare(CLI::App& app, FinetuneArguments& arguments) {
  app.add_option("--model", arguments.model,
                 "The backbone: a checkpoint. Its head stays where it has the set's labels")
      ->required()
      ->type_name("FILE");
  declare(app, arguments.checkpoint);
  app.add_option("--data", arguments.data,
                 "A labelled set: a folder, or KIND:PATH with KIND bdd-oia, snna or csv")
      ->required()
      ->type_name("PATH");
  app.add_option("--split", arguments.split,
                 "To learn from (default: train where there are splits)")
      ->type_name("NAME");
  app.add_option("--val-data", arguments.validation_data, "To validate on (default: --data)")
      ->type_name("PATH");
  app.add_option("--val-split", arguments.validation_split,
                 "To validate on (default: val where there are splits)")
      ->type_name("NAME");
  app.add_option("--output,-o", arguments.output, "The run's folder")->required()->type_name("DIR");
  declare_recipe(app, arguments);
  declare(app, kKeeping, "Epochs", arguments.keeping);
  declare(app, arguments.run);
}

namespace {

void refuse_idle_options(const CLI::App& app, const FinetuneArguments& arguments) {
  if (arguments.optimizer != "sgd") {
    refuse_idle(app, {"--momentum"}, "nothing comes of it without --optimizer sgd");
  }
  if (arguments.options.whole_model) return;
  refuse_idle(app, {"--layer-decay", "--flip"}, "nothing comes of it without --whole-model");
  if (arguments.keeping.cache != "none") {
    refuse_idle(app, {"--cache"},
                "without --whole-model each image is read once, and none is kept");
  }
}

}  // namespace

void resolve(const CLI::App& app, FinetuneArguments& arguments) {
  refuse_idle_options(app, arguments);
  train::FinetuneOptions& options = arguments.options;
  options.size = parse_extent("--size", arguments.size);
  options.optimizer =
      arguments.optimizer == "adamw" ? train::Optimizer::adamw : train::Optimizer::sgd;
  options.precision = precision_of(arguments.run);
  resolve(arguments.keeping, options);
}

void resolve_with(const model::Checkpoint& model, const train::Dataset& set,
                  FinetuneArguments& arguments) {
  train::FinetuneOptions& options = arguments.options;
  if (arguments.blocks > 0) {
    options.head_blocks = arguments.blocks;
  } else if (arguments.recipe != "paper") {
    options.head_blocks = train::default_head_blocks(model, set);
  }
  if (arguments.positive_weights == "balanced") options.positive_weights = balanced_weights(set);
}

train::RunConfig run_config(const FinetuneArguments& arguments, const std::string& model_sha256,
                            const LabelledSets& sets) {
  const train::FinetuneOptions& o = arguments.options;
  const CheckpointArguments& checkpoint = arguments.checkpoint;
  train::RunConfig config = {
      {"command", std::string("finetune")},
      {"model", arguments.model},
      {"model_sha256", model_sha256},
      {"part", checkpoint.part.empty() ? "teacher" : checkpoint.part},
      {"head", checkpoint.head_file},
      {"head_sha256",
       checkpoint.head_file.empty() ? std::string() : engine::sha256_of_file(checkpoint.head_file)},
      {"heads", checkpoint.heads},
      {"data", arguments.data},
      {"split", sets.train.split},
      {"data_sha256", train::digest_of(sets.train)},
      {"val_data", arguments.validation_data.empty() ? arguments.data : arguments.validation_data},
      {"val_split", sets.validation.split},
      {"val_data_sha256", train::digest_of(sets.validation)},
      {"recipe", arguments.recipe},
      {"size", text_of(o.size)},
      {"blocks", o.head_blocks},
      {"standardise", o.standardise},
      {"epochs", o.epochs},
      {"batch", o.batch},
      {"optimizer", arguments.optimizer},
      {"lr", o.learning_rate},
      {"final_lr", o.final_learning_rate},
      {"warmup_epochs", o.warmup_epochs},
      {"weight_decay", o.weight_decay},
      {"momentum", static_cast<double>(o.momentum)},
      {"clip", static_cast<double>(o.clip)},
      {"positive_weights", arguments.positive_weights},
      {"tune_thresholds", arguments.tune_thresholds},
      {"seed", static_cast<std::int64_t>(o.seed)},
      {"whole_model", o.whole_model},
      {"layer_decay", o.layer_decay},
      {"flip", o.flip},
      {"precision", arguments.run.precision}};
  config.merge(run_config(arguments.keeping, arguments.run));
  return config;
}

const std::set<std::string>& finetune_may_change() {
  static const std::set<std::string> names =
      may_change_and({"model", "head", "data", "val_data", "recipe"});
  return names;
}

}  // namespace vitsnna::cli
