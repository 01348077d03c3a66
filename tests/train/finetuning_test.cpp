// The supervised stage on imaginary pictures whose labels can be seen: it learns them, the backbone
// stands still or learns at its layers' rates, and a run goes on bit for bit.
#include "train/supervised/finetuning.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/expect_error.h"
#include "tests/support/small_vit.h"
#include "tests/support/test_device.h"
#include "train/evaluation/features.h"
#include "train/supervised/rules.h"
#include "train/supervised/standardisation.h"

namespace vitsnna::train {
namespace {

using engine::Queue;

/// Label left: the left half is bright; label right: the right half is. A mirrored picture has the
/// mirrored labels.
Dataset sides(index_t count) {
  Dataset dataset;
  dataset.path = "sides";
  dataset.label_names = {"left", "right"};
  for (index_t k = 0; k < count; ++k) {
    dataset.samples.push_back({std::to_string(k), std::to_string(k)});
    dataset.labels.push_back(k % 2 == 0 ? 1.f : 0.f);
    dataset.labels.push_back(k / 2 % 2 == 0 ? 1.f : 0.f);
  }
  return dataset;
}

Image picture(const std::string& path, index_t = 0) {
  const index_t k = std::stoi(path);
  Image image{48, 48, {}};
  for (index_t y = 0; y < 48; ++y) {
    for (index_t x = 0; x < 48; ++x) {
      const bool bright = x < 24 ? k % 2 == 0 : k / 2 % 2 == 0;
      for (index_t c = 0; c < 3; ++c) {
        const index_t grain = (x * 7 + y * 13 + k * 29 + c * 31) % 60;
        image.rgb.push_back(static_cast<std::uint8_t>(grain + (bright ? 170 : 10)));
      }
    }
  }
  return image;
}

FinetuneOptions small_options(bool whole_model) {
  FinetuneOptions options;
  options.whole_model = whole_model;
  options.size = {48, 48};
  options.head_blocks = 2;
  options.epochs = 4;
  options.batch = 8;
  options.optimizer = Optimizer::adamw;
  options.learning_rate = whole_model ? .08 : .5;
  options.seed = 5;
  return options;
}

model::Checkpoint backbone() {
  model::Checkpoint checkpoint;
  checkpoint.config = test::small_config();
  checkpoint.config.depth = 3;
  checkpoint.config.num_classes = 0;
  checkpoint.tensors = test::small_tensors(checkpoint.config, 1);
  return checkpoint;
}

struct SmallRun {
  explicit SmallRun(const FinetuneOptions& options, const model::Checkpoint& model = backbone(),
                    int threads = 1)
      : train(sides(32)),
        validation(sides(12)),
        queue(test::test_device(), threads),
        alone(single_process()),
        run(queue, *alone, options, model, train, validation, picture) {}

  void steps(index_t until) {
    while (run.done() < until) ASSERT_TRUE(run.step().finite);
  }
  double mean_auc() { return score(run.validate().given(), std::vector<float>(2, .5f)).mean_auc; }

  Dataset train, validation;
  Queue queue;
  std::unique_ptr<Communicator> alone;
  Finetuning run;
};

class FinetuningTest : public testing::TestWithParam<bool> {};

TEST_P(FinetuningTest, LearnsWhatCanBeSeen) {
  FinetuneOptions options = small_options(GetParam());
  options.epochs = GetParam() ? 20 : 10;
  SmallRun small(options);
  EXPECT_EQ(small.run.steps(), 4 * options.epochs);
  EXPECT_TRUE(small.run.has_new_head());
  small.steps(4);
  EXPECT_TRUE(small.run.epoch_ends());
  const double first = small.run.epoch_loss();
  EXPECT_NEAR(first, std::log(2.), .4);  // a new head knows nothing
  small.steps(small.run.steps());
  EXPECT_LT(small.run.epoch_loss(), .6 * first);
  EXPECT_GT(small.mean_auc(), .95);
}

TEST_P(FinetuningTest, GoesOnBitForBitFromAnyStep) {
  SmallRun whole(small_options(GetParam()));
  std::vector<RunState> states;
  std::vector<double> losses;
  while (whole.run.done() < 10) {
    states.push_back(whole.run.state());
    ASSERT_TRUE(whole.run.step().finite);
    losses.push_back(whole.run.epoch_loss());
  }
  for (const std::size_t from : {0u, 3u, 4u, 9u}) {
    SmallRun resumed(small_options(GetParam()), backbone(), 2);
    resumed.run.restore(states[from], "checkpoint");
    resumed.steps(10);
    EXPECT_EQ(resumed.run.epoch_loss(), losses[9]) << from;
    const RunState a = resumed.run.state(), b = whole.run.state();
    ASSERT_EQ(a.tensors.size(), b.tensors.size());
    for (const auto& [name, tensor] : a.tensors) {
      EXPECT_EQ(tensor.to_floats(), b.tensors.at(name).to_floats()) << name;
    }
  }
}

TEST_P(FinetuningTest, TheModelSaysWhatValidationSaid) {
  SmallRun small(small_options(GetParam()));
  small.steps(8);
  const Validation validation = small.run.validate();
  const model::Checkpoint checkpoint = small.run.model({.25f, .75f});
  EXPECT_EQ(checkpoint.config.head_blocks, 2);
  EXPECT_EQ(checkpoint.metadata.labels, (std::vector<std::string>{"left", "right"}));
  EXPECT_EQ(checkpoint.metadata.thresholds, (std::vector<float>{.25f, .75f}));
  EXPECT_EQ(checkpoint.metadata.activation, model::Activation::sigmoid);
  const model::Vit vit(small.queue, checkpoint.config, checkpoint.metadata, checkpoint.tensors,
                       kernels::DType::f32);
  FeatureOptions options;
  options.size = {48, 48};
  const ImageFeatures found =
      cls_features(small.queue, *small.alone, vit, small.validation, picture, options);
  const Validation again = validation_of(2, {found.items, found.logits, found.targets});
  ASSERT_EQ(again.probabilities.size(), validation.probabilities.size());
  for (std::size_t k = 0; k < again.probabilities.size(); ++k) {
    EXPECT_NEAR(again.probabilities[k], validation.probabilities[k], 1e-5);
  }
  EXPECT_NEAR(again.loss, validation.loss, 1e-5);
}

INSTANTIATE_TEST_SUITE_P(HeadOrModel, FinetuningTest, testing::Bool(), [](const auto& param) {
  return param.param ? "WholeModel" : "HeadAlone";
});

TEST(Finetuning, AFrozenBackboneKeepsItsBits) {
  SmallRun small(small_options(false));
  small.steps(8);
  const model::Checkpoint before = backbone(), after = small.run.model({});
  for (const auto& [name, tensor] : before.tensors) {
    EXPECT_EQ(after.tensors.at(name).to_floats(), tensor.to_floats()) << name;
  }
}

TEST(Finetuning, WithoutLayerDecayNothingOfTheModelStandsStill) {
  FinetuneOptions options = small_options(true);
  SmallRun small(options);
  small.steps(4);
  const model::Checkpoint before = backbone(), after = small.run.model({});
  for (const auto& [name, tensor] : before.tensors) {
    EXPECT_NE(after.tensors.at(name).to_floats(), tensor.to_floats()) << name;
  }
  options.layer_decay = 0;  // the head and the final norm alone
  SmallRun top(options);
  top.steps(4);
  for (const auto& [name, tensor] : top.run.model({}).tensors) {
    if (name.starts_with("head.") || name.starts_with("norm.")) continue;
    EXPECT_EQ(tensor.to_floats(), before.tensors.at(name).to_floats()) << name;
  }
}

TEST(Finetuning, GoesOnWithAHeadOfTheSameLabels) {
  SmallRun first(small_options(false));
  first.steps(8);
  const model::Checkpoint trained = first.run.model({});
  SmallRun second(small_options(true), trained);
  EXPECT_FALSE(second.run.has_new_head());
  EXPECT_EQ(second.run.model({}).tensors.at("head.weight").to_floats(),
            trained.tensors.at("head.weight").to_floats());
  FinetuneOptions other = small_options(false);
  other.head_blocks = 1;
  EXPECT_TRUE(SmallRun(other, trained).run.has_new_head());
}

TEST(Finetuning, TheHeadReadsFourBlocksUnlessTheModelsOwnGoesOn) {
  model::Checkpoint model = backbone();
  const Dataset set = sides(4);
  EXPECT_EQ(default_head_blocks(model, set), 3);  // all of them: the model has no fourth
  model.config.depth = 12;
  EXPECT_EQ(default_head_blocks(model, set), 4);
  model.config.num_classes = 2;
  model.config.head_blocks = 1;
  EXPECT_EQ(default_head_blocks(model, set), 4);  // of other labels
  model.metadata.labels = set.label_names;
  model.metadata.activation = model::Activation::sigmoid;
  EXPECT_EQ(default_head_blocks(model, set), 1);
}

TEST(Finetuning, AModelOfAnyGridIsUsedAtTheSizeThatItWasTunedAt) {
  FinetuneOptions options = small_options(false);
  model::Checkpoint wide = backbone();
  wide.config.trained_grid_height = 4;
  wide.config.trained_grid_width = 9;
  wide.metadata.input_size = {32, 72};
  wide.metadata.crop_pct = .9;
  options.size = {48, 64};
  SmallRun small(options, wide);
  const model::Checkpoint tuned = small.run.model({});
  EXPECT_EQ(tuned.metadata.input_size, std::pair(index_t{48}, index_t{64}));
  EXPECT_FALSE(tuned.metadata.crop_pct);
  EXPECT_EQ(tuned.config.trained_grid_width, 9);
}

TEST(Finetuning, DescentWithMomentumIsThePapers) {
  FinetuneOptions options = small_options(false);
  EXPECT_EQ(FinetuneOptions().optimizer, Optimizer::sgd);
  options.optimizer = Optimizer::sgd;
  options.learning_rate = 30;
  options.epochs = 10;
  SmallRun small(options);
  small.steps(small.run.steps());
  EXPECT_GT(small.mean_auc(), .95);
  options.momentum = 0;
  SmallRun without(options);
  without.steps(without.run.steps());
  EXPECT_NE(without.run.model({}).tensors.at("head.weight").to_floats(),
            small.run.model({}).tensors.at("head.weight").to_floats());
}

TEST(Finetuning, AValidationThatIsStoppedChangesNothing) {
  FinetuneOptions options = small_options(true);
  bool stops = false;
  options.stop = [&] { return stops; };
  SmallRun small(options);
  small.steps(4);
  stops = true;
  EXPECT_THROW(small.run.validate(), Stopped);
  stops = false;
  small.steps(8);
  SmallRun unbroken(small_options(true));
  unbroken.steps(8);
  EXPECT_EQ(small.run.model({}).tensors.at("head.weight").to_floats(),
            unbroken.run.model({}).tensors.at("head.weight").to_floats());
  options.whole_model = false;
  stops = true;
  EXPECT_THROW(SmallRun{options}, Stopped);  // in its pass for features
}

TEST(Finetuning, StandardisedFeaturesGiveAHeadForFeaturesAsTheyAre) {
  FinetuneOptions options = small_options(false);
  options.standardise = true;
  SmallRun small(options);
  small.steps(8);
  EXPECT_GT(small.mean_auc(), .95);
  const Validation validation = small.run.validate();
  const model::Checkpoint trained = small.run.model({});
  const model::Vit vit(small.queue, trained.config, trained.metadata, trained.tensors,
                       kernels::DType::f32);
  FeatureOptions how;
  how.size = {48, 48};
  const ImageFeatures found =
      cls_features(small.queue, *small.alone, vit, small.validation, picture, how);
  const Validation again = validation_of(2, {found.items, found.logits, found.targets});
  for (std::size_t k = 0; k < again.probabilities.size(); ++k) {
    EXPECT_NEAR(again.probabilities[k], validation.probabilities[k], 1e-4);
  }
  // A head that goes on is the same head before its first step.
  SmallRun next(options, trained);
  const Validation start = next.run.validate();
  for (std::size_t k = 0; k < start.probabilities.size(); ++k) {
    EXPECT_NEAR(start.probabilities[k], validation.probabilities[k], 1e-4);
  }
  options.whole_model = true;
  EXPECT_ERROR(SmallRun{options}, "--standardise");
}

TEST(Standardisation, ColumnsHaveMeanZeroAndDeviationOneAndAConstantStays) {
  ImageFeatures set;
  set.items = 4;
  set.width = 2;
  set.features = {1, 7, 3, 7, 5, 7, 7, 7};
  Standardisation(set).apply(set);
  const float far = 3.f / std::sqrt(5.f), near = 1.f / std::sqrt(5.f);
  const std::vector<float> wanted = {-far, 0, -near, 0, near, 0, far, 0};
  for (std::size_t k = 0; k < 8; ++k) EXPECT_NEAR(set.features[k], wanted[k], 1e-6) << k;
}

TEST(Finetuning, PositiveWeightsMoveTheDecision) {
  FinetuneOptions options = small_options(false);
  options.learning_rate = .05;
  SmallRun plain(options);
  options.positive_weights = {8.f, 1.f};
  SmallRun weighted(options);
  plain.steps(8);
  weighted.steps(8);
  double difference[2] = {};
  const Validation a = plain.run.validate(), b = weighted.run.validate();
  for (std::size_t k = 0; k < a.probabilities.size(); ++k) {
    difference[k % 2] += static_cast<double>(b.probabilities[k] - a.probabilities[k]);
  }
  EXPECT_GT(difference[0], .5);
  EXPECT_EQ(difference[1], 0);
  options.positive_weights = {1.f};
  EXPECT_ERROR(SmallRun{options}, "positive weights", "1 given");
}

TEST(Finetuning, WhatDoesNotFitIsNamed) {
  FinetuneOptions options = small_options(false);
  options.head_blocks = 4;
  EXPECT_ERROR(SmallRun{options}, "--blocks", "4", "3");
  options = small_options(false);
  options.warmup_epochs = 5;
  EXPECT_ERROR(SmallRun{options}, "--warmup-epochs", "5");
  options = small_options(false);
  options.size = {48, 60};
  EXPECT_ERROR(SmallRun{options}, "--size", "48x60", "patch size 8");
  options = small_options(false);
  options.batch = 33;
  EXPECT_ERROR(SmallRun{options}, "--batch", "33", "32");
  options = small_options(false);
  SmallRun small(options);
  RunState state = small.run.state();
  state.tensors.erase("head.bias");
  EXPECT_ERROR(small.run.restore(state, "step-3"), "step-3", "head.bias");
  state = small.run.state();
  state.metadata["epoch_loss_sum"] = "much";
  EXPECT_ERROR(small.run.restore(state, "step-3"), "step-3", "much");
  Dataset same = sides(4);
  same.labels.assign(8, 1.f);
  EXPECT_ERROR(
      Finetuning(small.queue, *small.alone, options, backbone(), small.train, same, picture),
      "one value alone");
  const Dataset none = [] {
    Dataset set = sides(4);
    set.label_names = {"left", "up"};
    return set;
  }();
  EXPECT_ERROR(
      Finetuning(small.queue, *small.alone, options, backbone(), small.train, none, picture),
      "left, up");
}

TEST(LayerWiseRules, TheHeadLearnsAtTheFullRate) {
  const TensorRules rules = layer_wise_rules(12, .5);
  const auto scale = [&](const char* name) {
    return rules({name, {2, 2}, 0, 4}).learning_rate_scale;
  };
  EXPECT_EQ(scale("head.weight"), 1.f);
  EXPECT_EQ(scale("norm.weight"), 1.f);
  EXPECT_EQ(scale("blocks.11.mlp.fc1.weight"), .5f);
  EXPECT_EQ(scale("blocks.0.norm1.weight"), std::ldexp(1.f, -12));
  EXPECT_EQ(scale("pos_embed"), std::ldexp(1.f, -13));
  EXPECT_EQ(scale("patch_embed.proj.weight"), std::ldexp(1.f, -13));
  EXPECT_FALSE(rules({"head.bias", {4}, 0, 4}).decays);
}

}  // namespace
}  // namespace vitsnna::train
