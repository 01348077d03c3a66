// A row of a layer norm in a warp's registers: its columns and its statistics.
#pragma once

#include "kernels/cuda/vectors.h"

namespace vitsnna::kernels::cuda {

/// Warps of a block, and the widest row that is held in registers.
constexpr int kRowWarps = 4;
constexpr index_t kRegisterColumns = 1024;

/// First of the four columns that are chunk k of this lane: 4 (lane + 32 k).
__device__ __forceinline__ int chunk_column(int k) { return 4 * (lane_index() + kWarpSize * k); }

/// values[4 k + j] = row[chunk_column(k) + j], 0 beyond the row. `vector`: the row may be read four
/// columns at a time; which columns a lane has, and so every sum's order, is the same without.
template <bool vector, int chunks, class T>
__device__ __forceinline__ void load_row(const T* row, int columns, float (&values)[4 * chunks]) {
#pragma unroll
  for (int k = 0; k < chunks; ++k) {
    const int column = chunk_column(k);
    float four[4] = {};
    if constexpr (vector) {
      if (column < columns) load_floats(row + column, four);
    } else {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if (column + j < columns) four[j] = load_float(row + column + j);
      }
    }
#pragma unroll
    for (int j = 0; j < 4; ++j) values[4 * k + j] = four[j];
  }
}

/// row[column .. column + 4) = four, as far as the row goes.
template <bool vector, class T>
__device__ __forceinline__ void store_chunk(T* row, int column, int columns,
                                            const float (&four)[4]) {
  if constexpr (vector) {
    if (column < columns) store_floats(row + column, four);
  } else {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (column + j < columns) store_float(row + column + j, four[j]);
    }
  }
}
template <bool vector, class T>
__device__ __forceinline__ void load_chunk(const T* row, int column, int columns,
                                           float (&four)[4]) {
  if constexpr (vector) {
    if (column < columns) load_floats(row + column, four);
  } else {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (column + j < columns) four[j] = load_float(row + column + j);
    }
  }
}

struct RowStatistics {
  float mean, inverse_deviation;
};

/// Two passes over the registers: a one-pass variance would cancel.
template <int chunks>
__device__ __forceinline__ RowStatistics statistics(const float (&x)[4 * chunks], int columns,
                                                    float epsilon) {
  float sum = 0.f;
#pragma unroll
  for (int k = 0; k < 4 * chunks; ++k) sum += x[k];
  const float mean = warp_sum(sum) / static_cast<float>(columns);
  float squares = 0.f;
#pragma unroll
  for (int k = 0; k < chunks; ++k) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const float centred = chunk_column(k) + j < columns ? x[4 * k + j] - mean : 0.f;
      squares += centred * centred;
    }
  }
  const float variance = warp_sum(squares) / static_cast<float>(columns);
  return {mean, 1.f / sqrtf(variance + epsilon)};
}

/// The same of a row of any width, read from memory twice.
__device__ __forceinline__ RowStatistics wide_statistics(const float* row, index_t columns,
                                                         float epsilon) {
  float sum = 0.f;
  for (index_t c = lane_index(); c < columns; c += kWarpSize) sum += row[c];
  const float mean = warp_sum(sum) / static_cast<float>(columns);
  float squares = 0.f;
  for (index_t c = lane_index(); c < columns; c += kWarpSize) {
    const float centred = row[c] - mean;
    squares += centred * centred;
  }
  const float variance = warp_sum(squares) / static_cast<float>(columns);
  return {mean, 1.f / sqrtf(variance + epsilon)};
}

/// body.template operator()<chunks>() with the least of 3, 6, 8 that holds the row.
template <class Body>
void with_chunks(index_t columns, Body&& body) {
  if (columns <= 3 * 4 * kWarpSize) {
    body.template operator()<3>();
  } else if (columns <= 6 * 4 * kWarpSize) {
    body.template operator()<6>();
  } else {
    body.template operator()<8>();
  }
}

}  // namespace vitsnna::kernels::cuda
