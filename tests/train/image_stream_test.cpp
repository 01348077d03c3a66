// The stream of decoded images: how far ahead its threads may be, in images and in bytes.
#include "train/data/image_stream.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "kernels/error.h"

namespace vitsnna::train {
namespace {

Sampler in_order(index_t count) {
  Sampler sampler;
  sampler.count = count;
  sampler.shuffle = false;
  return sampler;
}

/// A source of pictures of `bytes` that counts what it was asked for.
struct Source {
  std::size_t bytes;
  std::atomic<index_t> asked = 0;

  ImageSource get() {
    return [this](index_t index) {
      ++asked;
      auto image = std::make_shared<Image>(Image{1, 1, {}});
      image->rgb.assign(bytes, static_cast<std::uint8_t>(index));
      return image;
    };
  }

  /// Waits until `count` images were asked for, then for a while whether there will be more.
  index_t settled(index_t count) const {
    const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (asked < count && std::chrono::steady_clock::now() < patience) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    return asked;
  }
};

TEST(ImageStream, ThreadsAreAheadByImages) {
  Source source{10};
  ImageStream stream(in_order(100), source.get(), {.threads = 3, .ahead = 7});
  EXPECT_EQ(source.settled(7), 7);
  stream.next();
  stream.next();
  EXPECT_EQ(source.settled(9), 9);
}

TEST(ImageStream, ThreadsAreAheadByBytes) {
  Source source{100};
  ImageStream stream(in_order(100), source.get(), {.threads = 1, .ahead = 40, .most_bytes = 250});
  EXPECT_EQ(source.settled(3), 3);  // at two, 200 bytes, there was room
  stream.next();
  EXPECT_EQ(source.settled(4), 4);
}

TEST(ImageStream, PicturesLargerThanTheLimitComeOneByOneInOrder) {
  for (const int threads : {1, 4}) {
    Source source{100};
    ImageStream stream(in_order(50), source.get(),
                       {.threads = threads, .ahead = 40, .most_bytes = 1});
    for (index_t k = 0; k < 120; ++k) {
      const StreamedImage image = stream.next();
      ASSERT_EQ(image.index, k % 50);
      ASSERT_EQ(image.image->rgb[0], k % 50);
    }
    // What waits, and what every thread had begun before it waited.
    EXPECT_LE(source.settled(121), 121 + threads);
  }
}

TEST(ImageStream, UnreadableImagesTakeNoRoom) {
  const ImageSource bad = [](index_t index) -> std::shared_ptr<const Image> {
    if (index % 2 == 0) throw Error("damaged");
    return std::make_shared<Image>(Image{1, 1, std::vector<std::uint8_t>(100)});
  };
  ImageStream stream(in_order(20), bad, {.threads = 2, .ahead = 4, .most_bytes = 1});
  for (index_t k = 0; k < 60; ++k) EXPECT_EQ(stream.next().image == nullptr, k % 2 == 0);
}

}  // namespace
}  // namespace vitsnna::train
