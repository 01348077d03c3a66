// fp32 parameters as a product reads them.
#include <algorithm>

#include "kernels/cuda/dtypes.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/linear_kernels.h"

namespace vitsnna::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kRoundings = 64;            // that travel with a launch: 2 of its 4 KiB
constexpr index_t kRoundingChunk = 8192;  // elements of a thread block

template <class Out>
__global__ void __launch_bounds__(kThreads)
    cast_kernel(const float* source, Out* destination, index_t count) {
  const index_t element = static_cast<index_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (element < count) store_float(destination + element, source[element]);
}

/// Roundings laid end to end, each from a block of its own on.
struct RoundingTable {
  Rounding roundings[kRoundings];
  unsigned first_block[kRoundings];
  int count = 0;
};

__global__ void __launch_bounds__(kThreads) round_all_kernel(RoundingTable table) {
  int low = 0, high = table.count - 1;
  while (low < high) {  // the last that starts at this block or before
    const int middle = (low + high + 1) / 2;
    if (table.first_block[middle] <= blockIdx.x) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  const Rounding rounding = table.roundings[low];
  const index_t first = static_cast<index_t>(blockIdx.x - table.first_block[low]) * kRoundingChunk;
  const index_t end =
      first + kRoundingChunk < rounding.count ? first + kRoundingChunk : rounding.count;
#pragma unroll 8
  for (index_t i = first + threadIdx.x; i < end; i += kThreads) {
    rounding.destination[i] = to_bf16(rounding.source[i]);
  }
}

}  // namespace

void cast(Queue& queue, const float* source, void* destination, DType dtype, index_t count) {
  const LaunchShape shape{dim3(grid_extent("cast", count, kThreads)), kThreads, 0};
  with_dtype(dtype, [&]<class Out>() {
    launch<cast_kernel<Out>>("cast", queue, shape, source, static_cast<Out*>(destination), count);
  });
}

void round_all(Queue& queue, std::span<const Rounding> roundings) {
  while (!roundings.empty()) {
    RoundingTable table;
    table.count = static_cast<int>(std::min<std::size_t>(roundings.size(), kRoundings));
    index_t blocks = 0;
    for (int k = 0; k < table.count; ++k) {
      table.roundings[k] = roundings[static_cast<std::size_t>(k)];
      table.first_block[k] = grid_extent("round_all", blocks);
      blocks += ceil_div(table.roundings[k].count, kRoundingChunk);
    }
    launch<round_all_kernel>("round_all", queue,
                             LaunchShape{dim3(grid_extent("round_all", blocks)), kThreads, 0},
                             table);
    roundings = roundings.subspan(static_cast<std::size_t>(table.count));
  }
}

}  // namespace vitsnna::kernels::cuda
