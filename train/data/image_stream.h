// Decoded images in the sampler's order: threads run ahead by a bounded number of images.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/images/image.h"
#include "train/data/dataset.h"
#include "train/data/sampler.h"

namespace vitsnna::train {

using engine::Image;

/// The image of a data set's index; throws Error where it cannot be read. Called by many threads.
using ImageSource = std::function<std::shared_ptr<const Image>(index_t index)>;

/// An image that could not be read and was passed over.
struct BadImage {
  index_t index = 0;
  std::string reason;
};

struct StreamedImage {
  index_t index = -1;                  ///< in the data set; -1: this slot of the batch has none
  std::shared_ptr<const Image> image;  ///< null also where the search for a readable one gave up
  std::vector<BadImage> bad;           ///< met on the way to it
};

struct StreamOptions {
  int threads = 1;
  index_t ahead = 1;  ///< images that may be decoded or waiting
  /// Of the pixels that wait: where they are more, threads begin no image but the one that next()
  /// wants. Those being decoded then come on top.
  index_t most_bytes = index_t{1} << 30;
  index_t most_bad = 0;  ///< unreadable images in a row after which the search for one ends
  index_t first_step = 0;
};

/// Image t is slot t % batch of step t / batch. One that cannot be read gives its place to the next
/// of the epoch's order that can, so what comes depends on the files alone, not on the threads.
class ImageStream {
 public:
  ImageStream(const Sampler& sampler, ImageSource source, const StreamOptions& options);
  ~ImageStream();
  ImageStream(const ImageStream&) = delete;
  ImageStream& operator=(const ImageStream&) = delete;

  /// The next image; waits for it. Rethrows what a thread threw other than Error.
  StreamedImage next();

 private:
  using Order = std::shared_ptr<const std::vector<index_t>>;
  struct Place {
    bool ready = false;
    StreamedImage result;
    std::exception_ptr failure;
  };

  bool may_begin() const;
  void work(const std::stop_token& stop);
  StreamedImage fetch(index_t ticket);
  Order order_of(std::uint32_t epoch);

  Sampler sampler_;
  ImageSource source_;
  StreamOptions options_;

  std::mutex mutex_;
  std::condition_variable_any room_, ready_;
  index_t taken_;     ///< by the consumer
  index_t assigned_;  ///< to threads
  index_t waiting_bytes_ = 0;
  std::vector<Place> places_;
  std::mutex orders_mutex_;
  std::map<std::uint32_t, Order> orders_;  ///< of the epochs that threads are in
  std::vector<std::jthread> threads_;      ///< last: they end before what they use
};

}  // namespace vitsnna::train
