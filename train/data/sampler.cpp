// The order of an epoch.
#include "train/data/sampler.h"

#include <fmt/format.h>

#include <numeric>
#include <utility>

#include "kernels/error.h"
#include "kernels/random.h"

namespace vitsnna::train {

std::vector<index_t> shuffled(index_t count, std::uint64_t seed, std::uint32_t epoch) {
  std::vector<index_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), index_t{0});
  for (std::size_t left = order.size(); left > 1; --left) {
    // One block a step; its upper 64 bits leave a bias of at most count / 2^64.
    const auto words = kernels::philox4x32_10(
        {static_cast<std::uint32_t>(left), epoch, 0,
         static_cast<std::uint32_t>(kernels::RandomStream::shuffle)},
        {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
    const std::uint64_t bits = static_cast<std::uint64_t>(words[0]) << 32 | words[1];
    std::swap(order[left - 1], order[static_cast<std::size_t>(bits % left)]);
  }
  return order;
}

std::vector<index_t> Sampler::order(std::uint32_t epoch) const {
  if (shuffle) return shuffled(count, seed, epoch);
  std::vector<index_t> result(static_cast<std::size_t>(count));
  std::iota(result.begin(), result.end(), index_t{0});
  return result;
}

void check(const Sampler& sampler) {
  if (sampler.batch < 1) throw Error(fmt::format("batch of {} images, 1 wanted", sampler.batch));
  if (sampler.parts < 1) throw Error(fmt::format("a batch in {} parts, 1 wanted", sampler.parts));
  if (sampler.ranks < 1 || sampler.rank < 0 || sampler.rank >= sampler.ranks) {
    throw Error(fmt::format("rank {} of {}", sampler.rank, sampler.ranks));
  }
  if (sampler.count < 1) throw Error("a data set without images");
  if (sampler.steps_per_epoch() < 1) {
    throw Error(fmt::format("--batch: {} images do not fill one batch of {} ({} ranks, {} parts)",
                            sampler.count, sampler.global_batch(), sampler.ranks, sampler.parts));
  }
}

}  // namespace vitsnna::train
