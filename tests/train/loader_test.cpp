// The loader: one order for any number of threads and ranks, bad images, mirrored labels,
// positions.
#include "train/data/loader.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <numeric>
#include <set>
#include <thread>

#include "tests/support/expect_error.h"
#include "tests/train/imaginary_set.h"

namespace vitsnna::train {
namespace {

using test::imaginary;
using test::imagined;
using test::numbers;
using test::options_of;
using test::run;
using test::Seen;
using test::with_bad;

TEST(Sampler, AnEpochIsAPermutationOfItsOwn) {
  const std::vector<index_t> first = shuffled(1000, 5, 0), second = shuffled(1000, 5, 1);
  EXPECT_NE(first, second);
  EXPECT_NE(first, shuffled(1000, 6, 0));
  EXPECT_EQ(first, shuffled(1000, 5, 0));
  std::vector<index_t> sorted = first, all(1000);
  std::sort(sorted.begin(), sorted.end());
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(sorted, all);
  index_t fixed = 0;
  for (index_t k = 0; k < 1000; ++k) fixed += first[static_cast<std::size_t>(k)] == k;
  EXPECT_LT(fixed, 10);  // one is expected
}

/// The images of every whole batch over three epochs that do not divide evenly, however the batch
/// is spread over ranks and parts.
TEST(Sampler, AWholeBatchHoldsTheSameImagesForAnyRanksAndParts) {
  const auto whole_batches = [](int ranks, index_t parts) {
    Sampler sampler;
    sampler.count = 29;
    sampler.seed = 5;
    sampler.ranks = ranks;
    sampler.parts = parts;
    sampler.batch = 8 / (ranks * parts);
    std::vector<std::set<index_t>> batches(9);
    for (sampler.rank = 0; sampler.rank < ranks; ++sampler.rank) {
      check(sampler);
      EXPECT_EQ(sampler.steps_per_epoch(), 3 * parts);
      for (index_t step = 0; step < 9 * parts; ++step) {
        const std::vector<index_t> order = sampler.order(sampler.epoch_of(step));
        for (index_t slot = 0; slot < sampler.batch; ++slot) {
          batches[static_cast<std::size_t>(step / parts)].insert(
              order[static_cast<std::size_t>(sampler.place(step, slot))]);
        }
      }
    }
    return batches;
  };
  const auto one = whole_batches(1, 1);
  for (const auto& batch : one) EXPECT_EQ(batch.size(), 8u);
  EXPECT_EQ(whole_batches(2, 1), one);
  EXPECT_EQ(whole_batches(1, 4), one);
  EXPECT_EQ(whole_batches(2, 4), one);
  EXPECT_EQ(whole_batches(8, 1), one);
}

TEST(Loader, GivesTheSameBatchesForAnyNumberOfThreads) {
  const Dataset dataset = imaginary(23);
  LoaderOptions options = options_of(4);
  options.crops[0].box = BoxKind::random;
  options.crops[0].scale_least = .3;
  options.crops[0].flip = .5;
  options.crops[0].jitter = 1.;
  options.crops[0].brightness = .4;
  options.threads = 1;
  const Seen one = run(dataset, options, 12);  // two epochs of five, and two steps more
  EXPECT_EQ(one.indices.size(), 48u);
  for (const int threads : {2, 7}) {
    for (const index_t prefetch : {1, 3, 40}) {
      options.threads = threads;
      options.prefetch = prefetch;
      EXPECT_TRUE(run(dataset, options, 12) == one) << threads << " threads, ahead " << prefetch;
    }
  }
}

TEST(Loader, GoesOnFromAPosition) {
  const Dataset dataset = imaginary(23);
  const LoaderOptions options = options_of(4);
  const Seen all = run(dataset, options, 12);
  const Seen late = run(dataset, options, 5, 7);
  EXPECT_EQ(late.indices, std::vector<index_t>(all.indices.begin() + 28, all.indices.end()));
}

/// One that computes beside the processor, as a GPU does: the loader makes batches ahead for it.
engine::Device beside_the_processor() {
  engine::Device device = engine::select_device("cpu");
  device.kind = engine::Device::Kind::cuda;
  return device;
}

/// The pixels of a batch are looked at only when the next one has been made.
TEST(Loader, ABatchMadeAheadIsTheSameAndLeavesTheOneInUseAlone) {
  const Dataset dataset = imaginary(23);
  LoaderOptions options = options_of(4);
  options.crops[0].box = BoxKind::random;
  options.crops[0].scale_least = .3;
  options.crops[0].flip = .5;
  const Seen wanted = run(dataset, options, 12);
  std::atomic<index_t> read = 0;
  const ImageReader reader = [&](const std::string& path, index_t) {
    ++read;
    return imagined(path);
  };
  options.prefetch = 1;
  engine::Queue queue(beside_the_processor(), 1);
  Loader loader(dataset, options, reader, queue);
  Seen all;
  for (index_t step = 0; step < 12; ++step) {
    const Batch batch = loader.next();
    EXPECT_EQ(batch.step, step);
    // Its own images, those of the next batch, and the one that the stream may hold.
    while (read < 4 * (step + 2) + 1) std::this_thread::yield();
    all.indices.insert(all.indices.end(), batch.indices.begin(), batch.indices.end());
    all.labels.insert(all.labels.end(), batch.labels.begin(), batch.labels.end());
    const float* data = batch.groups[0].pixels.f32();
    all.pixels.insert(all.pixels.end(), data, data + batch.groups[0].pixels.shape.elements());
  }
  EXPECT_TRUE(all == wanted);
}

TEST(Loader, WhatWasMadeAheadIsDroppedByASeekAndItsFailureToldInItsTurn) {
  const Dataset dataset = imaginary(20);
  LoaderOptions options = options_of(5);
  options.max_bad = .04;
  const std::vector<index_t> order = shuffled(20, 11, 0);
  const std::set<std::string> bad = {std::to_string(order[6])};
  engine::Queue queue(beside_the_processor(), 1);
  Loader loader(dataset, options, with_bad(bad), queue);
  const std::vector<index_t> first = {order.begin(), order.begin() + 5};
  EXPECT_EQ(loader.next().indices, first);  // the second batch, made ahead, fails
  for (int again = 0; again < 2; ++again) {
    EXPECT_ERROR(loader.next(), "1 of 20 images", "damaged");
    EXPECT_EQ(loader.position(), 1);
  }
  loader.seek(0);
  EXPECT_EQ(loader.next().indices, first);
}

/// 30 ms an image, on one thread, are waited for by a caller that does nothing else; one that takes
/// longer for a batch than its four images do waits for the first alone.
TEST(Loader, StallIsTheTimeThatItsCallerWaited) {
  const Dataset dataset = imaginary(24);
  LoaderOptions options = options_of(4);
  options.threads = 1;
  const auto wait = [](int milliseconds) {
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  };
  const ImageReader reader = [&](const std::string& path, index_t) {
    wait(30);
    return imagined(path);
  };
  const auto stall = [&](const engine::Device& device, int work) {
    engine::Queue queue(device, 1);
    Loader loader(dataset, options, reader, queue);
    for (int step = 0; step < 4; ++step) {
      loader.next();
      wait(work);
    }
    return loader.statistics().stall_seconds;
  };
  for (const engine::Device& device : {engine::select_device("cpu"), beside_the_processor()}) {
    const double alone = stall(device, 0), beside = stall(device, 200);
    EXPECT_GE(alone, .95 * 16 * .03);
    EXPECT_GE(beside, .95 * 4 * .03);
    EXPECT_LT(beside, .75 * alone);
  }
}

TEST(Loader, RanksShareTheOrderOfOneProcess) {
  const Dataset dataset = imaginary(50);
  const Seen one = run(dataset, options_of(12), 4);
  for (const int ranks : {2, 3, 4}) {
    std::vector<std::vector<index_t>> parts;
    LoaderOptions options = options_of(12 / ranks);
    options.ranks = ranks;
    for (options.rank = 0; options.rank < ranks; ++options.rank) {
      parts.push_back(run(dataset, options, 4).indices);
    }
    std::vector<index_t> joined;
    for (std::size_t step = 0; step < 4; ++step) {
      for (const auto& part : parts) {
        const auto share = static_cast<std::ptrdiff_t>(part.size() / 4);
        const auto from = part.begin() + static_cast<std::ptrdiff_t>(step) * share;
        joined.insert(joined.end(), from, from + share);
      }
    }
    EXPECT_EQ(joined, one.indices) << ranks << " ranks";
  }
}

TEST(Loader, AnEvaluationSeesEveryImageOnceInOrder) {
  const Dataset dataset = imaginary(10);
  LoaderOptions options = options_of(2);
  options.shuffle = options.drop_last = false;
  options.ranks = 2;
  std::vector<index_t> seen;
  for (options.rank = 0; options.rank < 2; ++options.rank) {
    const Seen part = run(dataset, options, 3);
    seen.insert(seen.end(), part.indices.begin(), part.indices.end());
  }
  EXPECT_EQ(seen, (std::vector<index_t>{0, 1, 4, 5, 8, 9, 2, 3, 6, 7}));
}

TEST(Loader, BatchesAreTheImagesCropMajorAndNormalised) {
  const Dataset dataset = imaginary(9);
  LoaderOptions options = options_of(3);
  options.crops.resize(3, options.crops[0]);
  options.crops[1].size = {4, 7};
  options.format.mean = {.5f, .5f, .5f};
  options.format.deviation = {.25f, .25f, .25f};
  engine::Queue queue(engine::Device{}, 2);
  Loader loader(dataset, options, imagined, queue);
  const Batch batch = loader.next();
  ASSERT_EQ(batch.groups.size(), 2u);
  EXPECT_EQ(batch.groups[0].crops, (std::vector<std::size_t>{0, 2}));
  EXPECT_EQ(batch.groups[0].pixels.shape, (engine::Shape{6, 3, 6, 6}));
  EXPECT_EQ(batch.groups[1].pixels.shape, (engine::Shape{3, 3, 4, 7}));
  for (const CropGroup& group : batch.groups) {
    const float* data = group.pixels.f32();
    const index_t each = 3 * group.size.area();
    for (index_t k = 0; k < group.pixels.shape.elements(); ++k) {
      const index_t image = batch.indices[static_cast<std::size_t>(k / each % batch.size())];
      ASSERT_FLOAT_EQ(data[k], (static_cast<float>(image) / 255.f - .5f) / .25f);
    }
  }
}

/// A picture whose columns all differ, of the size of a supervised crop.
Image columns(const std::string& path, index_t) {
  const index_t k = std::stoi(path);
  Image image{6, 8, {}};
  for (index_t pixel = 0; pixel < image.extent().area(); ++pixel) {
    const index_t x = pixel % image.width;
    for (const index_t value : {20 * x + k, 255 - 20 * x, 10 * (pixel / image.width)}) {
      image.rgb.push_back(static_cast<std::uint8_t>(value));
    }
  }
  return image;
}

TEST(Loader, ASupervisedBatchIsMirroredInPixelsAndLabels) {
  Dataset dataset = imaginary(7);
  dataset.label_names = {"turn_left", "stop", "turn_right"};
  LoaderOptions options = options_of(7);
  options.crops = {supervised_recipe({6, 8}, 0.)};
  const Seen plain = run(dataset, options, 1, 0, columns);
  options.crops = {supervised_recipe({6, 8}, 1.)};
  const Seen mirrored = run(dataset, options, 1, 0, columns);
  ASSERT_EQ(mirrored.indices, plain.indices);
  ASSERT_EQ(plain.pixels.size(), 7u * 3 * 6 * 8);
  for (std::size_t at = 0; at < plain.pixels.size(); ++at) {
    const std::size_t x = at % 8;
    ASSERT_EQ(mirrored.pixels[at], plain.pixels[at - x + 7 - x]) << at;
  }
  ASSERT_NE(plain.pixels[0], plain.pixels[7]);
  for (std::size_t image = 0; image < 7; ++image) {
    const float* was = plain.labels.data() + 3 * image;
    const float* is = mirrored.labels.data() + 3 * image;
    EXPECT_EQ(std::vector<float>(is, is + 3), (std::vector<float>{was[2], was[1], was[0]}));
  }
}

TEST(Loader, AMirroredCropHasLeftAndRightExchanged) {
  const Dataset dataset = imaginary(40);
  LoaderOptions options = options_of(20);
  options.crops[0].flip = .5;
  const Seen all = run(dataset, options, 2);
  int mirrored = 0;
  for (std::size_t k = 0; k < 40; ++k) {
    const auto image = static_cast<float>(all.indices[k]);
    EXPECT_EQ(all.labels[3 * k + 1], .5f);
    EXPECT_EQ(all.labels[3 * k], -all.labels[3 * k + 2]);
    EXPECT_EQ(std::abs(all.labels[3 * k]), image);
    mirrored += all.labels[3 * k] < 0.f;
  }
  EXPECT_GT(mirrored, 5);
  EXPECT_LT(mirrored, 35);
}

TEST(Loader, AnUnreadableImageGivesItsPlaceToTheNextOfTheOrder) {
  const Dataset dataset = imaginary(20);
  const std::vector<index_t> order = shuffled(20, 11, 0);
  LoaderOptions options = options_of(5);
  options.max_bad = .1;
  std::vector<std::string> reports;
  options.report = [&](const std::string& text) { reports.push_back(text); };
  const std::set<std::string> bad = {std::to_string(order[3]), std::to_string(order[4])};
  std::vector<index_t> wanted = order;
  wanted[3] = wanted[4] = order[5];
  for (const int threads : {1, 4}) {
    options.threads = threads;
    reports.clear();
    EXPECT_EQ(run(dataset, options, 4, 0, with_bad(bad)).indices, wanted);
    EXPECT_EQ(reports, (std::vector<std::string>{std::to_string(order[3]) + ": damaged",
                                                 std::to_string(order[4]) + ": damaged"}));
  }
}

TEST(Loader, MoreUnreadableImagesThanAllowedAreAnError) {
  const Dataset dataset = imaginary(20);
  LoaderOptions options = options_of(5);
  options.max_bad = .1;
  EXPECT_ERROR(run(dataset, options, 4, 0, with_bad({"3", "7", "12"})), "3 of 20 images", "10%",
               "--max-bad allows 2", "damaged");
  EXPECT_ERROR(run(dataset, options, 1, 0, with_bad(numbers(20))), "unreadable", "damaged");
}

TEST(Loader, AShareOfTheImagesMayBeUnreadableToTheLastOfThem) {
  const Dataset dataset = imaginary(100);
  LoaderOptions options = options_of(10);
  for (const int percent : {1, 7, 29, 57}) {  // .29 * 100 and .57 * 100 are below 29 and 57
    options.max_bad = percent / 100.;
    EXPECT_EQ(run(dataset, options, 10, 0, with_bad(numbers(percent))).indices.size(), 100u);
    EXPECT_ERROR(run(dataset, options, 10, 0, with_bad(numbers(percent + 1))),
                 std::to_string(percent + 1) + " of 100 images", "--max-bad");
  }
}

TEST(Loader, ASetWithoutAReadableImageIsAnError) {
  const Dataset dataset = imaginary(6);
  for (const bool drop_last : {true, false}) {
    LoaderOptions options = options_of(2);
    options.drop_last = drop_last;
    options.max_bad = 1.;
    EXPECT_ERROR(run(dataset, options, 1, 0, with_bad(numbers(6))), "none of 6 images", "damaged");
    EXPECT_EQ(run(dataset, options, 3, 0, with_bad(numbers(5))).indices,
              std::vector<index_t>(6, 5));
  }
}

TEST(Loader, OneImageIsABatch) {
  const Dataset dataset = imaginary(1);
  const Seen seen = run(dataset, options_of(1), 3);
  EXPECT_EQ(seen.indices, (std::vector<index_t>{0, 0, 0}));
  EXPECT_EQ(seen.pixels.size(), 3u * 3 * 36);
}

TEST(Loader, AnotherFailureOfTheReaderReachesTheCaller) {
  const Dataset dataset = imaginary(4);
  const ImageReader reader = [](const std::string&, index_t) -> Image { throw std::bad_alloc(); };
  EXPECT_THROW(run(dataset, options_of(2), 1, 0, reader), std::bad_alloc);
}

TEST(Loader, WrongOptionsAreNamed) {
  const Dataset dataset = imaginary(4);
  EXPECT_ERROR(run(dataset, options_of(5), 1), "--batch: 4 images", "batch of 5");
  EXPECT_ERROR(run(dataset, options_of(0), 1), "batch of 0");
  LoaderOptions options = options_of(1);
  options.rank = 1;
  EXPECT_ERROR(run(dataset, options, 1), "rank 1 of 1");
  options = options_of(1);
  options.crops.clear();
  EXPECT_ERROR(run(dataset, options, 1), "without crops");
}

TEST(Loader, EndsWhileThreadsAreAhead) {
  const Dataset dataset = imaginary(30);
  LoaderOptions options = options_of(3);
  options.threads = 5;
  engine::Queue queue(engine::Device{}, 1);
  for (int k = 0; k < 20; ++k) {
    Loader loader(dataset, options, imagined, queue);
    if (k % 2 == 0) loader.next();
    loader.seek(k);
    loader.next();
    EXPECT_EQ(loader.position(), k + 1);
  }
}

/// With one thread and one image ahead, next() waits for nearly all of the time that reading takes,
/// and for no more than it has lasted.
TEST(Loader, TellsHowLongItWaitedForImages) {
  constexpr auto reading = std::chrono::milliseconds(10);
  const ImageReader slow = [&](const std::string& path, index_t) {
    std::this_thread::sleep_for(reading);
    return imagined(path);
  };
  const Dataset dataset = imaginary(30);
  LoaderOptions options = options_of(4);
  options.threads = 1;
  options.prefetch = 1;
  engine::Queue queue(engine::Device{}, 1);
  Loader loader(dataset, options, slow, queue);
  EXPECT_EQ(loader.statistics().stall_seconds, 0.);
  const auto since = std::chrono::steady_clock::now();
  for (int step = 0; step < 5; ++step) loader.next();
  const double before_seek = loader.statistics().stall_seconds;
  loader.seek(2);
  EXPECT_EQ(loader.statistics().stall_seconds, before_seek);
  loader.next();
  const double lasted =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - since).count();
  const double stall = loader.statistics().stall_seconds;
  EXPECT_GT(stall, before_seek);
  EXPECT_GT(stall, .5 * 24 * .01);
  EXPECT_LE(stall, lasted);
}

}  // namespace
}  // namespace vitsnna::train
