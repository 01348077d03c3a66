// Features of a set: what the model says of each picture alone, however batches are made and
// whatever cannot be read; and the score of neighbours that know, or do not.
#include "train/evaluation/features.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/small_vit.h"
#include "tests/support/test_device.h"
#include "train/evaluation/neighbour_score.h"

namespace vitsnna::train {
namespace {

using engine::Queue;

/// Pictures 0 .. count - 1 with two labels; reading picture 3 fails where `broken`.
struct Pictures {
  explicit Pictures(index_t count, bool broken = false) : is_broken(broken) {
    dataset.label_names = {"even", "large"};
    for (index_t k = 0; k < count; ++k) {
      dataset.samples.push_back({std::to_string(k), std::to_string(k)});
      dataset.labels.push_back(k % 2 == 0 ? 1.f : 0.f);
      dataset.labels.push_back(k >= count / 2 ? 1.f : 0.f);
    }
  }
  ImageReader reader() const {
    return [broken = is_broken](const std::string& path, index_t) {
      const index_t k = std::stoi(path);
      if (broken && k == 3) throw Error(path + ": is no picture");
      Image image{50, 66, {}};
      for (index_t i = 0; i < image.height * image.width * 3; ++i) {
        image.rgb.push_back(static_cast<std::uint8_t>((i * (k + 3) / 7 + 40 * (k % 2)) % 256));
      }
      return image;
    };
  }
  Dataset dataset;
  bool is_broken;
};

model::VitConfig backbone_config(index_t blocks) {
  model::VitConfig config = test::small_config();
  config.num_classes = 0;
  config.head_blocks = blocks;
  return config;
}

ImageFeatures features_of(const Pictures& pictures, index_t batch, int threads, index_t blocks,
                          double max_bad = 0) {
  Queue queue(test::test_device(), threads);
  const model::VitConfig config = backbone_config(blocks);
  const model::Vit vit(queue, config, {}, test::small_tensors(config, 1), kernels::DType::f32);
  FeatureOptions options;
  options.size = {48, 64};
  options.batch = batch;
  options.decode_threads = threads;
  options.max_bad = max_bad;
  const auto alone = single_process();
  return cls_features(queue, *alone, vit, pictures.dataset, pictures.reader(), options);
}

TEST(Features, DoNotDependOnBatchesOrThreads) {
  const Pictures pictures(9);
  const ImageFeatures one = features_of(pictures, 1, 1, 2);
  EXPECT_EQ(one.items, 9);
  EXPECT_EQ(one.width, 128);
  EXPECT_EQ(one.targets, pictures.dataset.labels);
  EXPECT_EQ(one.indices, (std::vector<index_t>{0, 1, 2, 3, 4, 5, 6, 7, 8}));
  const ImageFeatures four = features_of(pictures, 4, 2, 2);
  EXPECT_EQ(four.features, one.features);
  EXPECT_EQ(four.targets, one.targets);
}

TEST(Features, OfTheLastBlocksEndWithThoseOfTheLast) {
  const Pictures pictures(3);
  const ImageFeatures two = features_of(pictures, 3, 1, 2), last = features_of(pictures, 3, 1, 1);
  for (index_t item = 0; item < 3; ++item) {
    for (index_t k = 0; k < 64; ++k) {
      EXPECT_EQ(two.features[static_cast<std::size_t>(item * 128 + 64 + k)],
                last.features[static_cast<std::size_t>(item * 64 + k)]);
    }
  }
}

TEST(Features, AnUnreadablePictureIsLeftOutAndNoOtherComesTwice) {
  const Pictures whole(8), broken(8, true);
  const ImageFeatures all = features_of(whole, 3, 1, 1);
  const ImageFeatures some = features_of(broken, 3, 1, 1, .2);
  EXPECT_EQ(some.indices, (std::vector<index_t>{0, 1, 2, 4, 5, 6, 7}));
  for (std::size_t k = 0; k < 64; ++k)
    EXPECT_EQ(some.features[3 * 64 + k], all.features[4 * 64 + k]);
  EXPECT_EQ(some.targets[2 * 3], 1.f);
  EXPECT_ERROR(features_of(broken, 3, 1, 1), "unreadable", "3: is no picture");
}

TEST(Features, StopBetweenTwoPassesWhenAsked) {
  Queue queue(engine::select_device("cpu"), 1);
  const model::VitConfig config = backbone_config(1);
  const model::Vit vit(queue, config, {}, test::small_tensors(config, 1), kernels::DType::f32);
  const Pictures pictures(9);
  FeatureOptions options;
  options.size = {48, 64};
  options.batch = 2;
  index_t done = 0;
  options.progress = [&](index_t images, index_t) { done = images; };
  options.stop = [&] { return done >= 4; };
  const auto alone = single_process();
  EXPECT_THROW(cls_features(queue, *alone, vit, pictures.dataset, pictures.reader(), options),
               Stopped);
  EXPECT_EQ(done, 4);
}

TEST(Features, ASizeBelowOnePatchIsNamed) {
  Queue queue(test::test_device(), 1);
  const model::VitConfig config = backbone_config(1);
  const model::Vit vit(queue, config, {}, test::small_tensors(config, 1), kernels::DType::f32);
  const Pictures pictures(2);
  FeatureOptions options;
  options.size = {48, 7};
  const auto alone = single_process();
  EXPECT_ERROR(cls_features(queue, *alone, vit, pictures.dataset, pictures.reader(), options),
               "48x0");
}

TEST(NeighbourScore, FeaturesThatShowALabelScoreOneAndOthersDoNot) {
  ImageFeatures bank;
  bank.items = 40;
  bank.width = 2;
  bank.labels = 2;
  for (int k = 0; k < 40; ++k) {  // label 0 is the direction; label 1 has nothing to do with it
    const float side = k % 2 == 0 ? 1.f : -1.f;
    bank.features.insert(bank.features.end(), {side, .01f * static_cast<float>(k)});
    bank.targets.insert(bank.targets.end(), {k % 2 == 0 ? 1.f : 0.f, k % 4 < 2 ? 1.f : 0.f});
  }
  NeighbourVote how;
  how.neighbours = 5;
  const NeighbourScore result = score_neighbours(bank, bank, how);
  EXPECT_EQ(result.auc.at(0), 1);
  EXPECT_LT(result.auc.at(1), .95);  // a query is its own neighbour too
  EXPECT_EQ(result.mean_auc, (result.auc[0] + result.auc[1]) / 2);
  ImageFeatures other = bank;
  other.labels = 1;
  EXPECT_ERROR(score_neighbours(bank, other), "labels");
  EXPECT_ERROR(score_neighbours({}, bank), "0 images");
}

}  // namespace
}  // namespace vitsnna::train
