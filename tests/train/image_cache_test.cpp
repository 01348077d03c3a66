// Caches: each image is read once, and whatever happens to the cache, batches stay the same.
#include "train/data/image_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <iterator>
#include <utility>

#include "tests/support/expect_error.h"
#include "tests/support/temp_directory.h"
#include "tests/train/imaginary_set.h"

namespace vitsnna::train {
namespace {

using test::imagined;
using test::run;
using test::Seen;

/// A set of twelve files, whose reader counts.
class Caches : public testing::Test {
 protected:
  Caches() : dataset_(test::imaginary(12)), options_(test::options_of(4)) {
    for (Sample& sample : dataset_.samples) {
      sample.path = (directory_ / sample.id).string();
      test::write_bytes(sample.path, "x");
    }
    options_.cache_folder = directory_ / "cache";
    options_.threads = 1;  // two may read an image at the same time
    options_.max_bad = 0.;
    options_.report = [this](const std::string& text) { reports_.push_back(text); };
  }

  Seen epochs(index_t steps = 9) { return run(dataset_, options_, steps, 0, reader_); }

  template <typename Change>
  void change_cached(Change change) {
    for (const auto& entry : std::filesystem::directory_iterator(options_.cache_folder)) {
      std::string bytes = test::read_bytes(entry.path());
      change(bytes);
      test::write_bytes(entry.path(), bytes);
    }
  }

  test::TempDirectory directory_;
  Dataset dataset_;
  LoaderOptions options_;
  std::vector<std::string> reports_;
  std::atomic<int> reads_ = 0;
  ImageReader reader_ = [this](const std::string& path, index_t) {
    ++reads_;
    return imagined(path.substr(path.rfind('/') + 1));
  };
};

TEST_F(Caches, ReadEachImageOnce) {
  const Seen plain = epochs();
  EXPECT_GE(reads_, 36);
  for (const CacheKind kind : {CacheKind::ram, CacheKind::disk}) {
    options_.cache = kind;
    reads_ = 0;
    EXPECT_TRUE(epochs() == plain);
    EXPECT_EQ(reads_, 12);
  }
  EXPECT_TRUE(epochs() == plain);
  EXPECT_EQ(reads_, 12);  // from the disk, by another loader

  test::write_bytes(dataset_.samples[5].path, "xy");  // a file that has changed
  EXPECT_TRUE(epochs() == plain);
  EXPECT_EQ(reads_, 13);
  EXPECT_TRUE(reports_.empty());
}

TEST_F(Caches, AFileThatIsNotWhatWasWrittenIsReadAnew) {
  const Seen plain = epochs(3);
  options_.cache = CacheKind::disk;
  EXPECT_TRUE(epochs(3) == plain);
  const std::function<void(std::string&)> damages[] = {
      [](std::string& bytes) { bytes.back() = static_cast<char>(bytes.back() ^ 1); },  // a pixel
      [](std::string& bytes) { bytes.pop_back(); },
      [](std::string& bytes) { bytes.push_back('x'); },
      [](std::string& bytes) { bytes.resize(30); },
      [](std::string& bytes) { bytes.clear(); },
      [](std::string& bytes) { bytes.assign(bytes.size(), '\0'); },  // the power was lost
      [](std::string& bytes) {                                       // the same pixels in one row
        index_t sides[2];
        std::memcpy(sides, &bytes[8], sizeof sides);
        sides[1] *= std::exchange(sides[0], 1);
        std::memcpy(&bytes[8], sides, sizeof sides);
      },
      [](std::string& bytes) { bytes[30] = static_cast<char>(bytes[30] ^ 1); },  // the checksum
  };
  for (const auto& damage : damages) {
    for (const int threads : {1, 4}) {
      change_cached(damage);
      options_.threads = threads;
      reads_ = 0;
      EXPECT_TRUE(epochs(3) == plain);
      const int reads = reads_;  // of several threads two may read the same image
      EXPECT_GE(reads, 12);
      EXPECT_LE(reads, threads == 1 ? 12 : 24);
      EXPECT_TRUE(epochs(3) == plain);
      EXPECT_EQ(reads_, reads);  // it was written again
    }
  }
}

TEST_F(Caches, ADiskThatTakesNothingMoreChangesNoBatch) {
  const Seen plain = epochs();
  options_.cache = CacheKind::disk;
  for (const int threads : {1, 4}) {
    options_.threads = threads;
    engine::Queue queue(engine::Device{}, 1);
    Loader loader(dataset_, options_, reader_, queue);
    std::filesystem::remove_all(options_.cache_folder);  // where temporary files would be made
    Seen all;
    for (int step = 0; step < 9; ++step) test::append(all, loader.next());
    EXPECT_TRUE(all == plain);
    EXPECT_EQ(loader.statistics().bad_images, 0);
    EXPECT_EQ(loader.statistics().cache.images, 0);
    ASSERT_EQ(reports_.size(), 1u);
    for (const std::string& part : {std::string("--cache disk"), options_.cache_folder.string()}) {
      EXPECT_NE(reports_[0].find(part), std::string::npos) << reports_[0];
    }
    reports_.clear();
  }
}

TEST_F(Caches, WhatWasKeptBeforeTheDiskWasFullIsStillUsed) {
  options_.cache = CacheKind::disk;
  epochs(1);
  ImageCache cache(dataset_, reader_, 0, CacheKind::disk, options_.cache_folder);
  const auto kept = directory_ / "kept";
  std::filesystem::rename(options_.cache_folder, kept);
  cache.get(3);
  EXPECT_EQ(cache.take_notices().size(), 1u);
  std::filesystem::rename(kept, options_.cache_folder);
  const auto kept_images =
      std::distance(std::filesystem::directory_iterator(options_.cache_folder), {});
  EXPECT_GE(kept_images, 4);
  reads_ = 0;
  for (index_t k = 0; k < 12; ++k) EXPECT_EQ(cache.get(k)->rgb, imagined(std::to_string(k)).rgb);
  EXPECT_EQ(reads_, 12 - kept_images);
  EXPECT_TRUE(cache.take_notices().empty());
}

TEST_F(Caches, AFolderThatCannotBeMadeIsAnErrorAtOnce) {
  options_.cache = CacheKind::disk;
  options_.cache_folder = std::filesystem::path(dataset_.samples[0].path) / "cache";
  EXPECT_ERROR(epochs(1), "--cache-folder", "0/cache");
}

TEST_F(Caches, FullMemoryChangesNoBatch) {
  const Seen plain = epochs();
  options_.cache = CacheKind::ram;
  options_.cache_bytes = 5 * 3 * 12 * 11;  // five of the largest
  for (const int threads : {1, 4}) {
    options_.threads = threads;
    engine::Queue queue(engine::Device{}, 1);
    Loader loader(dataset_, options_, reader_, queue);
    Seen all;
    for (int step = 0; step < 9; ++step) test::append(all, loader.next());
    EXPECT_TRUE(all == plain);
    const CacheUse use = loader.statistics().cache;
    EXPECT_GE(use.images, 5);
    EXPECT_LT(use.images, 12);
    EXPECT_LE(use.bytes, options_.cache_bytes);
    ASSERT_EQ(reports_.size(), 1u);
    EXPECT_NE(reports_[0].find("--cache ram: memory is full with"), std::string::npos);
    reports_.clear();
  }
}

}  // namespace
}  // namespace vitsnna::train
