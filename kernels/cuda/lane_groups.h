// A head's row across a group of 4, 8 or 16 lanes, eight elements a lane: how the kernels that meet
// every key with one query row, and are bound by memory, read keys and values.
#pragma once

#include <string>

#include "kernels/cuda/eight.h"
#include "kernels/cuda/launch.h"
#include "kernels/error.h"

namespace vitsnna::kernels::cuda {

/// A block of `threads` whose groups of `lanes` share `keys` rows; row r of a group is row
/// group() + r * groups of the block's.
template <int lanes>
struct LaneGroups {
  static constexpr int threads = 128;
  static constexpr int warps = threads / kWarpSize;
  static constexpr int keys = 64;
  static constexpr int groups = threads / lanes;
  static constexpr int rows = keys / groups;

  static __device__ __forceinline__ int group() { return static_cast<int>(threadIdx.x) / lanes; }
  /// First of the head's columns that this lane takes; it takes none from head_dim on.
  static __device__ __forceinline__ int column() {
    return static_cast<int>(threadIdx.x) % lanes * 8;
  }
  /// Sum over the lanes of a group: every lane gets it.
  static __device__ __forceinline__ float sum(float value) {
#pragma unroll
    for (int offset = lanes / 2; offset > 0; offset /= 2) {
      value += __shfl_xor_sync(kAllLanes, value, offset);
    }
    return value;
  }
  /// Sum over the groups of a warp, lane by lane of the group.
  static __device__ __forceinline__ float sum_groups(float value) {
#pragma unroll
    for (int offset = kWarpSize / 2; offset >= lanes; offset /= 2) {
      value += __shfl_xor_sync(kAllLanes, value, offset);
    }
    return value;
  }
};

/// body.template operator()<lanes>() with the smallest group that holds a row of a head.
template <class Body>
void with_lane_groups(const char* name, index_t head_dim, Body&& body) {
  if (head_dim <= 0 || head_dim > 128 || head_dim % 8 != 0) {
    throw Error(std::string(name) + ": head_dim " + std::to_string(head_dim) +
                " on CUDA, wanted a multiple of 8 up to 128");
  }
  if (head_dim <= 32) {
    body.template operator()<4>();
  } else if (head_dim <= 64) {
    body.template operator()<8>();
  } else {
    body.template operator()<16>();
  }
}

}  // namespace vitsnna::kernels::cuda
