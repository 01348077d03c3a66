// Which image comes when: the order of every epoch and each rank's share of it, as a function of a
// position. Holds no state, so that any number of threads may ask.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/types.h"

namespace vitsnna::train {

using kernels::index_t;

/// 0 .. count - 1 in the order of an epoch: Fisher-Yates on Philox words with counters
/// (pair, epoch, 0, RandomStream::shuffle).
std::vector<index_t> shuffled(index_t count, std::uint64_t seed, std::uint32_t epoch);

/// Step s of all ranks together takes `batch * ranks` neighbours of its epoch's order, rank r the
/// r-th `batch` of them; `parts` steps, whose gradients are accumulated, make a whole batch, and an
/// epoch has whole ones. The images of a whole batch depend on the product of the three, not on how
/// it is divided: a run goes on with other ranks or parts at the step where its whole batch is.
struct Sampler {
  index_t count = 0;  ///< images
  index_t batch = 1;  ///< of one rank
  index_t parts = 1;  ///< steps of a whole batch
  int rank = 0, ranks = 1;
  bool shuffle = true;
  bool drop_last = true;  ///< else the last step of an epoch may have fewer images, or none
  std::uint64_t seed = 0;

  index_t global_batch() const { return batch * ranks * parts; }  ///< the whole one
  index_t steps_per_epoch() const {
    const index_t last = drop_last ? 0 : global_batch() - 1;
    return (count + last) / global_batch() * parts;
  }
  std::uint32_t epoch_of(index_t step) const {
    return static_cast<std::uint32_t>(step / steps_per_epoch());
  }
  /// Place in the epoch's order of this rank's `slot` of `step`; -1: there is none.
  index_t place(index_t step, index_t slot) const {
    const index_t at = step % steps_per_epoch() * batch * ranks + rank * batch + slot;
    return at < count ? at : -1;
  }
  std::vector<index_t> order(std::uint32_t epoch) const;
};

/// Throws Error naming the field: no images, a batch or a rank out of range, an epoch without
/// steps.
void check(const Sampler& sampler);

}  // namespace vitsnna::train
