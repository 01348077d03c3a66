// Norms of the transformed values v^_hj = v_hj W_O[h]: tiles of the product v W_O live in registers
// only long enough to be squared, so v^ is never stored. A block takes 64 rows and 64 columns of
// the product, head after head; its rows' sums of squares are parts that a second kernel adds.
#include <cmath>
#include <string>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/warp_product.h"
#include "kernels/error.h"

namespace vitsnna::kernels::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * kWarpSize;
constexpr int kRows = 16 * kWarps;
constexpr int kOutputs = 64;  ///< rows of W_O, columns of the product, of a block

/// Sums of squares of parts of a row of v^: slot 0 is the sum of the heads where `norm` is wanted,
/// then one slot a head where they are; (items, slots, splits, rows).
struct Parts {
  float* squares = nullptr;
  index_t splits = 1;
  bool has_total = false, has_heads = false;
  VITSNNA_HOST_DEVICE index_t slots(index_t heads) const {
    return (has_total ? 1 : 0) + (has_heads ? heads : 0);
  }
};

template <class Element>
struct Operands {
  Rows<const Element> value;
  const Element* weight = nullptr;  ///< W_O, (outputs, heads * head_dim)
  index_t outputs = 0;
  const float* scale = nullptr;
  index_t rows = 0, heads = 1, head_dim = 64;
  bool value_aligned = false, weight_aligned = false;
  Parts parts;
};

/// A strip's row sums of squares, to the part's rows.
template <int tiles>
__device__ __forceinline__ void store_squares(const StripSums<tiles>& sums, float* part,
                                              index_t first_row, index_t rows) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float square = 0.f;
#pragma unroll
    for (int n = 0; n < tiles; ++n) {
      square = fmaf(sums.sum[n][2 * half], sums.sum[n][2 * half], square);
      square = fmaf(sums.sum[n][2 * half + 1], sums.sum[n][2 * half + 1], square);
    }
    square = row_sum(square);
    const index_t row = first_row + sums.row(2 * half);
    if (row < rows && lane_index() % 4 == 0) part[row] = square;
  }
}

template <class Element, int head_dim>
constexpr int shared_bytes_of = 2 * (SharedTile<Element, head_dim>::bytes(kRows) +
                                     SharedTile<Element, head_dim>::bytes(kOutputs));

template <class Element, int head_dim>
__global__ void __launch_bounds__(kThreads, 2) value_norm_kernel(Operands<Element> p) {
  using Tile = SharedTile<Element, head_dim>;
  using Product = WarpProduct<Element>;
  using Strip = typename Product::template SharedStrip<head_dim>;
  SharedMemory memory;
  const Tile value_stages = Tile::take(memory, 2 * kRows);
  const Tile weight_stages = Tile::take(memory, 2 * kOutputs);
  const int thread = static_cast<int>(threadIdx.x);
  const index_t split = blockIdx.x % p.parts.splits;
  const index_t row_tiles = (p.rows + kRows - 1) / kRows;
  const index_t first_row = blockIdx.x / p.parts.splits % row_tiles * kRows;
  const index_t item = blockIdx.x / p.parts.splits / row_tiles;
  const index_t slots = p.parts.slots(p.heads);
  const auto part = [&](index_t slot) {
    return p.parts.squares + ((item * slots + slot) * p.parts.splits + split) * p.rows;
  };
  const int columns = static_cast<int>(p.head_dim);
  TileSource<Element> value{p.value.row(item, 0), p.value.row_stride, p.rows, columns,
                            p.value_aligned};
  TileSource<Element> weight{p.weight, p.heads * p.head_dim, p.outputs, columns, p.weight_aligned};
  const auto load_head = [&](index_t head) {
    const int stage = static_cast<int>(head % 2);
    if (head < p.heads) {
      value.data = p.value.row(item, 0) + head * p.head_dim;
      weight.data = p.weight + head * p.head_dim;
      value_stages.from_row(stage * kRows)
          .template load_rows<kRows, kThreads>(value, first_row, thread);
      weight_stages.from_row(stage * kOutputs)
          .template load_rows<kOutputs, kThreads>(weight, split * kOutputs, thread);
    }
    ptx::copy_async_commit();
  };

  StripSums<kOutputs / 8> sums[1], total;
  clear(sums);
  total.clear();
  load_head(0);
#pragma unroll 1
  for (index_t head = 0; head < p.heads; ++head) {
    ptx::copy_async_wait<0>();
    __syncthreads();
    load_head(head + 1);
    const int stage = static_cast<int>(head % 2);
    if (p.scale) {
      const float* scale = p.scale + (item * p.heads + head) * p.rows + first_row;
      for (int k = thread; k < kRows * head_dim; k += kThreads) {
        const int row = k / head_dim;
        const float factor = first_row + row < p.rows ? scale[row] : 0.f;
        const auto chunk = value_stages.chunk(
            stage * kRows + row, k % head_dim / Tile::chunk_elements * Tile::chunk_elements);
        const Element scaled = chunk[k % Tile::chunk_elements];
        Element rounded;
        store_float(&rounded, factor * load_float(&scaled));
        chunk[k % Tile::chunk_elements] = rounded;
      }
      __syncthreads();
    }
    const Strip strip[1] = {Strip(value_stages, stage * kRows + 16 * warp_index())};
    Product::scores(sums, strip, weight_stages, stage * kOutputs);
    if (p.parts.has_heads) {
      store_squares(sums[0], part((p.parts.has_total ? 1 : 0) + head),
                    first_row + 16 * warp_index(), p.rows);
#pragma unroll
      for (int n = 0; n < kOutputs / 8; ++n) {
#pragma unroll
        for (int e = 0; e < 4; ++e) total.sum[n][e] += sums[0].sum[n][e];
      }
      clear(sums);
    }
  }
  if (!p.parts.has_total) return;
  if (p.parts.has_heads) {
    store_squares(total, part(0), first_row + 16 * warp_index(), p.rows);
  } else {
    store_squares(sums[0], part(0), first_row + 16 * warp_index(), p.rows);
  }
}

constexpr int kCombineThreads = 256;

/// norm = sqrt(sum over the parts of a row), in their order.
__global__ void __launch_bounds__(kCombineThreads)
    value_norm_combine_kernel(Parts parts, float* norm, float* norm_per_head, index_t heads,
                              index_t rows, index_t total) {
  const index_t index = static_cast<index_t>(blockIdx.x) * kCombineThreads + threadIdx.x;
  if (index >= total) return;
  const index_t slots = parts.slots(heads);
  const index_t row = index % rows, slot = index / rows % slots, item = index / rows / slots;
  const float* squares = parts.squares + (item * slots + slot) * parts.splits * rows + row;
  float sum = 0.f;
  for (index_t split = 0; split < parts.splits; ++split) sum += squares[split * rows];
  if (parts.has_total && slot == 0) {
    norm[item * rows + row] = sqrtf(sum);
  } else {
    norm_per_head[(item * heads + slot - (parts.has_total ? 1 : 0)) * rows + row] = sqrtf(sum);
  }
}

Parts parts_of(const ValueNorm& args, void* memory) {
  Parts parts;
  parts.squares = static_cast<float*>(memory);
  parts.splits = ceil_div(args.projection.out_features, kOutputs);
  parts.has_total = args.norm != nullptr;
  parts.has_heads = args.norm_per_head != nullptr;
  return parts;
}

bool is_empty(const ValueNorm& a) {
  return a.items == 0 || a.rows == 0 || (!a.norm && !a.norm_per_head);
}

template <class Element, int head_dim>
void launch_products(Queue& queue, const ValueNorm& args, const Parts& parts) {
  const LinearWeight& projection = args.projection;
  Operands<Element> operands;
  operands.value = Rows<const Element>(args.value);
  operands.weight = static_cast<const Element*>(
      sizeof(Element) == 4 ? static_cast<const void*>(projection.master) : projection.prepared);
  operands.outputs = projection.out_features;
  operands.scale = args.scale;
  operands.rows = args.rows;
  operands.heads = args.heads;
  operands.head_dim = args.head_dim;
  operands.value_aligned = rows_are_aligned(args.value);
  operands.weight_aligned =
      rows_are_aligned(ConstMatrix{operands.weight, projection.dtype, 0, projection.in_features});
  operands.parts = parts;
  const index_t blocks = args.items * ceil_div(args.rows, kRows) * parts.splits;
  const LaunchShape shape{dim3(grid_extent("value_norm", blocks)), kThreads,
                          shared_bytes_of<Element, head_dim>};
  launch<value_norm_kernel<Element, head_dim>>("value_norm", queue, shape, operands);
}

/// The smallest instantiation that holds a head: 32, 64, 96 or 128 columns.
template <class Element>
void launch_dims(Queue& queue, const ValueNorm& args, const Parts& parts) {
  if (args.head_dim <= 32) return launch_products<Element, 32>(queue, args, parts);
  if (args.head_dim <= 64) return launch_products<Element, 64>(queue, args, parts);
  if (args.head_dim <= 96) return launch_products<Element, 96>(queue, args, parts);
  launch_products<Element, 128>(queue, args, parts);
}

}  // namespace

index_t value_norm_scratch(const Queue&, const ValueNorm& args) {
  if (is_empty(args)) return 0;
  const Parts parts = parts_of(args, nullptr);
  return 4 * args.items * parts.slots(args.heads) * parts.splits * args.rows;
}

void value_norm(Queue& queue, const ValueNorm& args) {
  if (args.head_dim <= 0 || args.head_dim > 128 || args.head_dim % 8 != 0) {
    throw Error("value_norm: head_dim " + std::to_string(args.head_dim) +
                " on CUDA, wanted a multiple of 8 up to 128");
  }
  if (args.value.dtype != args.projection.dtype) {
    throw Error(std::string("value_norm: value in ") + name_of(args.value.dtype) +
                " on CUDA, wanted " + name_of(args.projection.dtype) + " as its projection");
  }
  if (is_empty(args)) return;
  const Parts parts = parts_of(args, queue.scratch);
  if (args.value.dtype == DType::f32) {
    launch_dims<float>(queue, args, parts);
  } else {
    launch_dims<bf16>(queue, args, parts);
  }
  const index_t total = args.items * parts.slots(args.heads) * args.rows;
  const LaunchShape shape{dim3(grid_extent("value_norm", total, kCombineThreads)), kCombineThreads,
                          0};
  launch<value_norm_combine_kernel>("value_norm", queue, shape, parts, args.norm,
                                    args.norm_per_head, args.heads, args.rows, total);
}

}  // namespace vitsnna::kernels::cuda
