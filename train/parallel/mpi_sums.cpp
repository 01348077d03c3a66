// All to all, add, gather.
#include "train/parallel/mpi_sums.h"

#include <algorithm>

namespace vitsnna::train {
namespace {

/// Floats of one exchange: MPI counts in int, and beats go on between pieces.
constexpr index_t kPiece = index_t{1} << 24;

}  // namespace

void MpiSums::sum(MpiThread& thread, float* values, index_t count) {
  for (index_t first = 0; first < count; first += kPiece) {
    sum_piece(thread, values + first, static_cast<int>(std::min(kPiece, count - first)));
  }
}

void MpiSums::sum_piece(MpiThread& thread, float* values, int count) {
  const auto ranks = static_cast<std::size_t>(thread.size());
  const auto mine = static_cast<std::size_t>(thread.rank());
  std::vector<int> counts(ranks), offsets(ranks), part_offsets(ranks);
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    const auto begin = static_cast<index_t>(count) * static_cast<index_t>(rank) / thread.size();
    const auto end = static_cast<index_t>(count) * static_cast<index_t>(rank + 1) / thread.size();
    offsets[rank] = static_cast<int>(begin);
    counts[rank] = static_cast<int>(end - begin);
  }
  const int part = counts[mine];
  const std::vector<int> part_counts(ranks, part);
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    part_offsets[rank] = static_cast<int>(rank) * part;
  }
  if (parts_.size() < ranks * static_cast<std::size_t>(part)) {
    parts_.resize(ranks * static_cast<std::size_t>(part));
  }
  thread.wait([&](MPI_Request* request) {
    MPI_Ialltoallv(values, counts.data(), offsets.data(), MPI_FLOAT, parts_.data(),
                   part_counts.data(), part_offsets.data(), MPI_FLOAT, MPI_COMM_WORLD, request);
  });
  float* const result = values + offsets[mine];
  for (int i = 0; i < part; ++i) {
    double sum = 0.;
    for (std::size_t rank = 0; rank < ranks; ++rank) {
      sum += static_cast<double>(parts_[static_cast<std::size_t>(part_offsets[rank] + i)]);
    }
    result[i] = static_cast<float>(sum);
  }
  thread.wait([&](MPI_Request* request) {
    MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, values, counts.data(), offsets.data(),
                    MPI_FLOAT, MPI_COMM_WORLD, request);
  });
}

}  // namespace vitsnna::train
