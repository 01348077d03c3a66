// Tiles of a strided operand in shared memory, swizzled so that the warp-level products of
// warp_product.h read them without bank conflicts, and filled by cp.async.
//
// A tile is rows x columns elements without padding. The unit is the chunk of 16 bytes (8 bf16 or 4
// fp32), what cp.async copies and what one row of an ldmatrix 8x8 matrix is. Eight chunks are all
// 32 banks. Chunk c of row r lies at chunk position c ^ x(r) of its row, with
//   rows of a multiple of 8 chunks:  x(r) = r % 8         (row starts are the same bank)
//   rows of a multiple of 4 chunks:  x(r) = r / 2 % 4     (row starts alternate by half the banks)
// so that one chunk column of 8 consecutive rows (aligned to 8), like 8 consecutive chunks of one
// row, covers every bank once.
#pragma once

#include <cstdint>

#include "kernels/cuda/ptx.h"

namespace vitsnna::kernels::cuda {

/// Consecutive rows of one item that tiles are cut from, e.g. one head's columns of the keys.
template <class Element>
struct TileSource {
  const Element* data = nullptr;  ///< first row, first column
  index_t row_stride = 0;
  index_t rows = 0;                    ///< rows beyond are read as zeros
  int columns = 0;                     ///< a multiple of 8; columns beyond are read as zeros
  bool aligned = true;                 ///< every chunk of every row is 16-byte aligned
  const std::uint8_t* keep = nullptr;  ///< per row: rows of 0 are read as zeros; null: all kept
};

/// Whether every row of a matrix starts at a multiple of 16 bytes: what cp.async asks for.
template <class AnyMatrix>
bool rows_are_aligned(const AnyMatrix& matrix) {
  const index_t size = size_of(matrix.dtype);
  return reinterpret_cast<std::uintptr_t>(matrix.data) % 16 == 0 &&
         matrix.row_stride * size % 16 == 0 && matrix.item_stride * size % 16 == 0;
}

template <class Element, int columns_>
class SharedTile {
 public:
  static constexpr int columns = columns_;
  static constexpr int chunk_elements = 16 / static_cast<int>(sizeof(Element));
  static constexpr int row_chunks = columns / chunk_elements;
  static_assert(columns % chunk_elements == 0 && row_chunks % 4 == 0);

  static constexpr int bytes(int rows) {
    return rows * columns * static_cast<int>(sizeof(Element));
  }

  SharedTile() = default;
  /// `data` is rows * columns elements, 16-byte aligned.
  __device__ __forceinline__ explicit SharedTile(Shared<Element> data) : data_(data) {}
  __device__ __forceinline__ static SharedTile take(SharedMemory& memory, int rows) {
    return SharedTile(memory.take<Element>(rows * columns));
  }

  /// The tile that starts at `row`, a multiple of 8.
  __device__ __forceinline__ SharedTile from_row(int row) const {
    return SharedTile(data_ + row * columns);
  }
  /// The chunk of `row` that holds `column`, a multiple of chunk_elements.
  __device__ __forceinline__ Shared<Element> chunk(int row, int column) const {
    return data_ + offset(row, column / chunk_elements);
  }
  __device__ __forceinline__ decltype(auto) operator()(int row, int column) const {
    return data_[offset(row, column / chunk_elements) + column % chunk_elements];
  }

  /// Thread `thread` of `threads` starts its share of copying rows [first, first + rows) of
  /// `source` to rows [0, rows) of the tile. Complete after copy_async_commit() and
  /// copy_async_wait() of every thread and a barrier, on the unaligned path too.
  template <int rows, int threads>
  __device__ __forceinline__ void load_rows(const TileSource<Element>& source, index_t first,
                                            int thread) const {
    constexpr int chunks = rows * row_chunks;
    const index_t left = source.rows - first;
    const int valid_rows = left < rows ? static_cast<int>(left) : rows;
    const Element* start = source.data + first * source.row_stride;
    constexpr int step = threads / row_chunks;
    if constexpr (threads % row_chunks == 0 && step % 8 == 0 && chunks % threads == 0) {
      if (source.aligned) {
        // A thread keeps its column and its swizzle, so its addresses advance by constants. What is
        // not valid is not read: its address may lie beyond the operand.
        constexpr int copies = chunks / threads;
        const int row = thread / row_chunks, column = thread % row_chunks * chunk_elements;
        unsigned kept = column < source.columns ? ~0u : 0u;
        if (source.keep) {
#pragma unroll
          for (int k = 0; k < copies; ++k) {
            const int r = row + k * step;
            if (r < valid_rows && source.keep[first + r] == 0) kept &= ~(1u << k);
          }
        }
        const Element* from = start + row * source.row_stride + column;
        const Shared<Element> to = chunk(row, column);
#pragma unroll
        for (int k = 0; k < copies; ++k) {
          const bool valid = row + k * step < valid_rows && (kept >> k & 1u) != 0;
          ptx::copy_async_16((to + k * step * columns).template as<unsigned char>(), from, valid);
          from += step * source.row_stride;
        }
        return;
      }
    }
    if (source.aligned) {
#pragma unroll
      for (int k = 0; k < (chunks + threads - 1) / threads; ++k) {
        const int index = k * threads + thread;
        if (chunks % threads != 0 && index >= chunks) break;
        const int row = index / row_chunks, column = index % row_chunks * chunk_elements;
        const bool valid = row < valid_rows && column < source.columns &&
                           (!source.keep || source.keep[first + row] != 0);
        // An address that is not read is still one of the operand.
        const Element* from = valid ? start + row * source.row_stride + column : source.data;
        ptx::copy_async_16(chunk(row, column).template as<unsigned char>(), from, valid);
      }
    } else {
#pragma unroll 1
      for (int index = thread; index < chunks; index += threads) {
        const int row = index / row_chunks, column = index % row_chunks * chunk_elements;
        const bool valid = row < valid_rows && column < source.columns &&
                           (!source.keep || source.keep[first + row] != 0);
        const Element* from = start + row * source.row_stride + column;
        const Shared<Element> to = chunk(row, column);
#pragma unroll
        for (int k = 0; k < chunk_elements; ++k) to[k] = valid ? from[k] : Element{};
      }
    }
  }

 private:
  __device__ __forceinline__ static int offset(int row, int chunk_index) {
    const int swizzle = row_chunks % 8 == 0 ? row & 7 : row >> 1 & 3;
    return row * columns + (chunk_index ^ swizzle) * chunk_elements;
  }

  Shared<Element> data_;
};

/// The same for `count` floats from a 16-byte aligned array, whole chunks of 4.
template <int count, int threads>
__device__ __forceinline__ void load_floats(const Shared<float>& to, const float* from,
                                            int thread) {
  static_assert(count % 4 == 0 && count / 4 <= threads);
  if (thread < count / 4) {
    ptx::copy_async_16((to + thread * 4).template as<unsigned char>(), from + thread * 4, true);
  }
}

}  // namespace vitsnna::kernels::cuda
