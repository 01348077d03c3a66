// The declarations of `pretrain`'s options, and their resolved values by name.
#include "cli/pretrain_options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/errors.h"
#include "cli/neighbour_watch.h"
#include "cli/session.h"
#include "cli/training_process.h"
#include "train/data/dataset_digest.h"

namespace vitsnna::cli {
namespace {

constexpr const char* kRecipe = "Recipe";
constexpr const char* kHead = "Head";
constexpr const char* kCrops = "Crops";
constexpr const char* kWatching = "Evaluation";
constexpr const char* kKeeping = "Run folder";

void declare_recipe(CLI::App& app, train::PretrainOptions& options) {
  OptionGroup recipe(app, kRecipe);
  recipe.whole("--epochs", options.epochs, "Passes over the images", 1);
  recipe.whole("--batch", options.batch, "Images of a step, over all processes", 1);
  recipe.whole("--accumulate", options.accumulate, "Parts in which a process takes its share", 1);
  recipe.number("--lr", options.learning_rate, "Learning rate of a batch of 256; others scale it",
                0);
  recipe.number("--final-lr", options.final_learning_rate, "At the end of its cosine", 0);
  recipe.whole("--warmup-epochs", options.warmup_epochs, "In which the learning rate rises from 0",
               0);
  recipe.number("--weight-decay", options.weight_decay, "At the start", 0);
  recipe.number("--final-weight-decay", options.final_weight_decay, "At the end of its cosine", 0);
  recipe.number("--teacher-momentum", options.teacher_momentum, "At the start; 1 at the end", 0, 1);
  recipe.number("--teacher-temp", options.teacher_temperature.base, "After its warm-up", 1e-3);
  recipe.number("--warmup-teacher-temp", options.teacher_temperature.warmup, "At the start", 1e-3);
  recipe.whole("--warmup-teacher-temp-epochs", options.teacher_temperature.warmup_epochs,
               "From the one to the other", 0);
  recipe.whole("--freeze-last-layer", options.freeze_last_layer_epochs,
               "Epochs in which the head's last layer stands still", 0);
  recipe.number("--clip", options.learner.clip, "Greatest norm of a tensor's gradient; 0: any", 0);
  recipe.number("--drop-path", options.drop_path,
                "Share of residual branches left out in the student's last block", 0, .99);
  recipe.seed(options.seed, "Of the head, the order of images and the crops");
}

void declare_head_and_crops(CLI::App& app, PretrainArguments& arguments) {
  train::DinoHeadConfig& config = arguments.options.head;
  constexpr index_t kWidest = index_t{1} << 24;
  OptionGroup head(app, kHead), crops(app, kCrops);
  head.whole("--out-dim", config.out_dim, "Dimensions that student and teacher agree on", 2,
             kWidest);
  head.whole("--hidden", config.hidden, "Width of the head's hidden layers", 1, kWidest);
  head.whole("--bottleneck", config.bottleneck, "Width before the last layer", 1, kWidest);
  app.add_option("--norm-last-layer", config.norm_last_layer,
                 "Rows of the last layer keep length 1")
      ->type_name("BOOL")
      ->group(kHead)
      ->capture_default_str();
  crops.size("--global-size", arguments.global_size, "Of the two global crops");
  crops.size("--local-size", arguments.local_size, "Of the local crops");
  whole_between(app.add_option("--local-crops", arguments.options.crops.locals, "Of every image")
                    ->type_name("N")
                    ->group(kCrops)
                    ->capture_default_str(),
                0, 64);
}

}  // namespace

void declare(CLI::App& app, PretrainArguments& arguments) {
  app.add_option("--data", arguments.data,
                 "A folder of images, or KIND:PATH with KIND folder, bdd100k, bdd-oia, snna or csv")
      ->required()
      ->type_name("PATH");
  app.add_option("--split", arguments.split,
                 "train, val or test (default: train where there are "
                 "splits)")
      ->type_name("NAME");
  app.add_option("--output,-o", arguments.output, "The run's folder")->required()->type_name("DIR");
  app.add_option("--model", arguments.model,
                 "Weights to start from: a checkpoint, or random:SEED (default: random)")
      ->type_name("FILE");
  choices(
      app.add_option("--arch", arguments.architecture, "Of random weights")->capture_default_str(),
      {"vit_tiny", "vit_small", "vit_base"});
  whole_between(app.add_option("--patch-size", arguments.patch_size, "Of random weights")
                    ->type_name("N")
                    ->capture_default_str(),
                1, 64);
  declare_part_and_heads(app, arguments.checkpoint);
  choices(app.add_option("--recipe", arguments.recipe,
                         "Values of options that are not given: DINO's, or the paper's (DINO's "
                         "ImageNet weights by --model, batch 16, 200 epochs)")
              ->group(kRecipe)
              ->capture_default_str(),
          {"dino", "paper"});
  declare_recipe(app, arguments.options);
  declare_head_and_crops(app, arguments);
  OptionGroup(app, kWatching)
      .whole("--knn-every", arguments.knn_every,
             "Epochs from one evaluation by 20 nearest neighbours to the next; 0: none", 0);
  app.add_option("--knn-data", arguments.knn_data,
                 "A labelled set with the splits train and val (default: --data)")
      ->type_name("PATH")
      ->group(kWatching);
  app.add_option("--knn-size", arguments.knn_size, "Of its pictures (default: --global-size)")
      ->type_name("HxW")
      ->group(kWatching);
  declare(app, kKeeping, "Steps", arguments.keeping);
  app.add_option(
         "--replay", arguments.replay,
         "Take the step again that ended the run of --output because it was not finite, and "
         "write nothing: a failed-step-N.safetensors")
      ->type_name("FILE")
      ->group(kKeeping)
      ->excludes("--resume");
  declare(app, arguments.run);
}

namespace {

/// SPEC section 4 is the paper's recipe but for its start, batch and length (its appendix A.1).
void apply_paper_recipe(const CLI::App& app, PretrainArguments& arguments) {
  if (parse_random_model(arguments.model)) {
    throw UsageError(
        "--recipe paper: starts from DINO's ImageNet weights, --model FILE wanted "
        "(dino_deitsmall8_pretrain.pth)");
  }
  if (app.count("--batch") == 0) arguments.options.batch = 16;
  if (app.count("--epochs") == 0) arguments.options.epochs = 200;
}

}  // namespace

void resolve(const CLI::App& app, PretrainArguments& arguments) {
  if (parse_random_model(arguments.model)) {
    refuse_idle(app, {"--part", "--heads"}, "of a --model FILE, random weights have none");
  } else {
    refuse_idle(app, {"--arch", "--patch-size"},
                "of random weights, --model says what its file is");
  }
  if (arguments.recipe == "paper") apply_paper_recipe(app, arguments);
  train::PretrainOptions& options = arguments.options;
  options.crops.global = parse_extent("--global-size", arguments.global_size);
  options.crops.local = parse_extent("--local-size", arguments.local_size);
  options.precision = precision_of(arguments.run);
  resolve(arguments.keeping, options);
  if (arguments.knn_every == 0 && (!arguments.knn_data.empty() || !arguments.knn_size.empty())) {
    throw UsageError(fmt::format("{}: --knn-every is wanted",
                                 arguments.knn_data.empty() ? "--knn-size" : "--knn-data"));
  }
  knn_size(arguments);
}

engine::Extent knn_size(const PretrainArguments& arguments) {
  return arguments.knn_size.empty() ? arguments.options.crops.global
                                    : parse_extent("--knn-size", arguments.knn_size);
}

model::VitConfig new_backbone(const PretrainArguments& arguments) {
  model::VitConfig config;
  config.embed_dim = arguments.architecture == "vit_tiny"    ? 192
                     : arguments.architecture == "vit_small" ? 384
                                                             : 768;
  config.depth = 12;
  config.num_heads = config.embed_dim / 64;
  config.patch_size = arguments.patch_size;
  config.mlp_hidden = 4 * config.embed_dim;
  config.trained_grid_height = arguments.options.crops.global.height / config.patch_size;
  config.trained_grid_width = arguments.options.crops.global.width / config.patch_size;
  return config;
}

train::RunConfig run_config(const PretrainArguments& arguments, const std::string& model_sha256,
                            const train::Dataset& dataset, const NeighbourWatch* neighbours) {
  const train::PretrainOptions& o = arguments.options;
  train::RunConfig config = {{"command", std::string("pretrain")},
                             {"data", arguments.data},
                             {"split", dataset.split},
                             {"data_sha256", train::digest_of(dataset)},
                             {"model", arguments.model},
                             {"recipe", arguments.recipe},
                             {"epochs", o.epochs},
                             {"batch", o.batch},
                             {"accumulate", o.accumulate},
                             {"lr", o.learning_rate},
                             {"final_lr", o.final_learning_rate},
                             {"warmup_epochs", o.warmup_epochs},
                             {"weight_decay", o.weight_decay},
                             {"final_weight_decay", o.final_weight_decay},
                             {"teacher_momentum", o.teacher_momentum},
                             {"teacher_temp", o.teacher_temperature.base},
                             {"warmup_teacher_temp", o.teacher_temperature.warmup},
                             {"warmup_teacher_temp_epochs", o.teacher_temperature.warmup_epochs},
                             {"freeze_last_layer", o.freeze_last_layer_epochs},
                             {"drop_path", o.drop_path},
                             {"clip", static_cast<double>(o.learner.clip)},
                             {"seed", static_cast<std::int64_t>(o.seed)},
                             {"out_dim", o.head.out_dim},
                             {"hidden", o.head.hidden},
                             {"bottleneck", o.head.bottleneck},
                             {"norm_last_layer", o.head.norm_last_layer},
                             {"global_size", text_of(o.crops.global)},
                             {"local_size", text_of(o.crops.local)},
                             {"local_crops", static_cast<std::int64_t>(o.crops.locals)},
                             {"knn_every", arguments.knn_every},
                             {"precision", arguments.run.precision}};
  config.merge(run_config(arguments.keeping, arguments.run));
  if (parse_random_model(arguments.model)) {
    config["arch"] = arguments.architecture;
    config["patch_size"] = arguments.patch_size;
  } else {
    const CheckpointArguments& checkpoint = arguments.checkpoint;
    config["model_sha256"] = model_sha256;
    config["part"] = checkpoint.part.empty() ? "teacher" : checkpoint.part;
    config["heads"] = checkpoint.heads;
  }
  if (neighbours) {
    config["knn_data"] = arguments.knn_data.empty() ? arguments.data : arguments.knn_data;
    config["knn_size"] = text_of(knn_size(arguments));
    config["knn_train_sha256"] = train::digest_of(neighbours->bank());
    config["knn_val_sha256"] = train::digest_of(neighbours->queries());
  }
  return config;
}

const std::set<std::string>& pretrain_may_change() {
  static const std::set<std::string> names =
      may_change_and({"data", "knn_data", "recipe", "accumulate"});
  return names;
}

}  // namespace vitsnna::cli
