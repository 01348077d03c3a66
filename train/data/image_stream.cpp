// A ring of tickets: threads take the next one while there is room, the consumer takes them in
// order.
#include "train/data/image_stream.h"

#include <algorithm>
#include <utility>

#include "kernels/error.h"

namespace vitsnna::train {

namespace {

index_t bytes_of(const StreamedImage& image) {
  return image.image ? static_cast<index_t>(image.image->rgb.size()) : 0;
}

}  // namespace

ImageStream::ImageStream(const Sampler& sampler, ImageSource source, const StreamOptions& options)
    : sampler_(sampler),
      source_(std::move(source)),
      options_(options),
      taken_(options.first_step * sampler.batch),
      assigned_(taken_),
      places_(static_cast<std::size_t>(std::max<index_t>(options.ahead, 1))) {
  for (int k = 0; k < std::max(options.threads, 1); ++k) {
    threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
  }
}

ImageStream::~ImageStream() {
  for (std::jthread& thread : threads_) thread.request_stop();
}

ImageStream::Order ImageStream::order_of(std::uint32_t epoch) {
  // Made under the lock: threads that come to a new epoch together want the same one.
  const std::lock_guard lock(orders_mutex_);
  Order& order = orders_[epoch];
  if (!order) order = std::make_shared<const std::vector<index_t>>(sampler_.order(epoch));
  const Order result = order;
  while (orders_.size() > 2 && orders_.begin()->first != epoch) orders_.erase(orders_.begin());
  return result;
}

StreamedImage ImageStream::fetch(index_t ticket) {
  const index_t step = ticket / sampler_.batch;
  const index_t place = sampler_.place(step, ticket % sampler_.batch);
  StreamedImage found;
  if (place < 0) return found;
  const Order order = order_of(sampler_.epoch_of(step));
  const auto count = static_cast<std::size_t>(sampler_.count);
  const auto tries = std::min<index_t>(sampler_.count, options_.most_bad + 1);
  for (index_t attempt = 0; attempt < tries; ++attempt) {
    found.index = (*order)[static_cast<std::size_t>(place + attempt) % count];
    try {
      found.image = source_(found.index);
      return found;
    } catch (const Error& error) {
      found.bad.push_back({found.index, error.what()});
    }
  }
  return found;
}

bool ImageStream::may_begin() const {
  if (assigned_ == taken_) return true;  // next() waits for this one, or will
  return assigned_ < taken_ + static_cast<index_t>(places_.size()) &&
         waiting_bytes_ < options_.most_bytes;
}

void ImageStream::work(const std::stop_token& stop) {
  const auto capacity = static_cast<index_t>(places_.size());
  for (;;) {
    index_t ticket = 0;
    {
      std::unique_lock lock(mutex_);
      if (!room_.wait(lock, stop, [&] { return may_begin(); })) return;
      ticket = assigned_++;
    }
    StreamedImage found;
    std::exception_ptr failure;
    try {
      found = fetch(ticket);
    } catch (...) {
      failure = std::current_exception();
    }
    {
      const std::lock_guard lock(mutex_);
      Place& place = places_[static_cast<std::size_t>(ticket % capacity)];
      waiting_bytes_ += bytes_of(found);
      place.result = std::move(found);
      place.failure = failure;
      place.ready = true;
    }
    ready_.notify_one();
  }
}

StreamedImage ImageStream::next() {
  StreamedImage found;
  std::exception_ptr failure;
  {
    std::unique_lock lock(mutex_);
    Place& place = places_[static_cast<std::size_t>(taken_) % places_.size()];
    ready_.wait(lock, [&] { return place.ready; });
    found = std::move(place.result);
    waiting_bytes_ -= bytes_of(found);
    failure = place.failure;
    place = {};
    ++taken_;
  }
  room_.notify_all();  // one large picture less may let several begin
  if (failure) std::rethrow_exception(failure);
  return found;
}

}  // namespace vitsnna::train
