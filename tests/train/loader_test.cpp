// The loader: one order for any number of threads and ranks, bad images, caches, positions.
#include "train/data/loader.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <numeric>
#include <set>
#include <thread>

#include "tests/support/expect_error.h"
#include "tests/support/temp_directory.h"

namespace vitsnna::train {
namespace {

/// Images of a set that lies nowhere: number k is of one colour, and of a size of its own.
Dataset imaginary(index_t count) {
  Dataset dataset;
  dataset.label_names = {"left", "other", "right"};
  for (index_t k = 0; k < count; ++k) {
    dataset.samples.push_back({std::to_string(k), std::to_string(k)});
    for (const float label : {static_cast<float>(k), .5f, static_cast<float>(-k)}) {
      dataset.labels.push_back(label);
    }
  }
  return dataset;
}

Image imagined(const std::string& path, index_t = 0) {
  const index_t k = std::stoi(path);
  Image image{8 + k % 5, 9 + k % 3, {}};
  image.rgb.assign(static_cast<std::size_t>(3 * image.extent().area()),
                   static_cast<std::uint8_t>(k));
  return image;
}

/// imagined(), but for these.
ImageReader with_bad(std::set<std::string> bad) {
  return [bad = std::move(bad)](const std::string& path, index_t) {
    if (bad.contains(path)) throw Error(path + ": damaged");
    return imagined(path);
  };
}

LoaderOptions options_of(index_t batch) {
  LoaderOptions options;
  CropRecipe crop;
  crop.size = {6, 6};
  options.crops = {crop};
  options.batch = batch;
  options.seed = 11;
  return options;
}

struct Seen {
  std::vector<index_t> indices;
  std::vector<float> labels, pixels;
  bool operator==(const Seen&) const = default;
};

Seen run(const Dataset& dataset, const LoaderOptions& options, index_t steps, index_t from = 0,
         const ImageReader& reader = imagined) {
  engine::Queue queue(engine::Device{}, 1);
  Loader loader(dataset, options, reader, queue);
  if (from > 0) loader.seek(from);
  Seen all;
  for (index_t step = 0; step < steps; ++step) {
    EXPECT_EQ(loader.position(), from + step);
    const Batch batch = loader.next();
    EXPECT_EQ(batch.step, from + step);
    all.indices.insert(all.indices.end(), batch.indices.begin(), batch.indices.end());
    all.labels.insert(all.labels.end(), batch.labels.begin(), batch.labels.end());
    for (const CropGroup& group : batch.groups) {
      const float* data = group.pixels.f32();
      all.pixels.insert(all.pixels.end(), data, data + group.pixels.shape.elements());
    }
  }
  return all;
}

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
               "damaged");
  std::set<std::string> all;
  for (int k = 0; k < 20; ++k) all.insert(std::to_string(k));
  EXPECT_ERROR(run(dataset, options, 1, 0, with_bad(all)), "unreadable", "damaged");
}

TEST(Loader, AnotherFailureOfTheReaderReachesTheCaller) {
  const Dataset dataset = imaginary(4);
  const ImageReader reader = [](const std::string&, index_t) -> Image { throw std::bad_alloc(); };
  EXPECT_THROW(run(dataset, options_of(2), 1, 0, reader), std::bad_alloc);
}

TEST(Loader, CachesReadEachImageOnce) {
  const test::TempDirectory directory;
  Dataset dataset = imaginary(12);
  for (Sample& sample : dataset.samples) {
    sample.path = (directory / sample.id).string();
    test::write_bytes(sample.path, "x");
  }
  std::atomic<int> reads = 0;
  const ImageReader reader = [&](const std::string& path, index_t) {
    ++reads;
    return imagined(path.substr(path.rfind('/') + 1));
  };
  LoaderOptions options = options_of(4);
  const Seen plain = run(dataset, options, 9, 0, reader);
  EXPECT_GE(reads, 36);
  for (const CacheKind kind : {CacheKind::ram, CacheKind::disk}) {
    options.cache = kind;
    options.cache_folder = directory / "cache";
    options.threads = 1;  // two may read an image at the same time
    reads = 0;
    EXPECT_TRUE(run(dataset, options, 9, 0, reader) == plain);
    EXPECT_EQ(reads, 12);
  }
  EXPECT_TRUE(run(dataset, options, 9, 0, reader) == plain);
  EXPECT_EQ(reads, 12);  // from the disk, by another loader

  // What is cut short or belongs to a file that has changed is read anew.
  for (const auto& entry : std::filesystem::directory_iterator(directory / "cache")) {
    std::filesystem::resize_file(entry.path(), 30);
    break;
  }
  test::write_bytes(dataset.samples[5].path, "xy");
  EXPECT_TRUE(run(dataset, options, 3, 0, reader).indices ==
              std::vector<index_t>(plain.indices.begin(), plain.indices.begin() + 12));
  EXPECT_GE(reads, 13);
  EXPECT_LE(reads, 14);
}

TEST(Loader, WrongOptionsAreNamed) {
  const Dataset dataset = imaginary(4);
  EXPECT_ERROR(run(dataset, options_of(5), 1), "4 images", "batch of 5");
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

}  // namespace
}  // namespace vitsnna::train
