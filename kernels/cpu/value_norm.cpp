// Norms of transformed values: the output projection's product, of which only row norms are kept.
#include "kernels/value_norm.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/linear_panels.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/simd/vector_loops.h"

namespace vitsnna::kernels::cpu {
namespace {

constexpr index_t tile_rows = 128;

struct Plan {
  WeightPanels panels;
  index_t row_tiles, rows;
  index_t weight = 0, slices, total;                 // of the whole op; `weight` is W_O in bf16
  index_t value = 0, tile, squares, product, slice;  // of a thread's slice

  bool copies_value(const ValueNorm& a) const {
    // oneDNN multiplies strided rows by a packed weight only in its reference implementation.
    return a.scale || a.value.dtype != a.projection.dtype ||
           a.value.row_stride != a.projection.in_features;
  }
  bool copies_weight(const ValueNorm& a) const {
    return a.norm_per_head && a.projection.dtype == DType::bf16;
  }

  TileShape all_heads(const ValueNorm& a, index_t panel, index_t row_count) const {
    TileShape shape = one_head(a, panel, row_count);
    shape.inner = a.projection.in_features;
    shape.right = panels.layout;
    shape.right_stride = panels.right_stride();
    return shape;
  }
  TileShape one_head(const ValueNorm& a, index_t panel, index_t row_count) const {
    TileShape shape;
    shape.rows = row_count;
    shape.columns = panels.columns(panel);
    shape.inner = a.head_dim;
    shape.left_stride = copies_value(a) ? a.projection.in_features : a.value.row_stride;
    shape.right_stride = a.projection.in_features;
    shape.output_stride = shape.columns;
    shape.dtype = a.projection.dtype;
    shape.right = RightLayout::columns;
    return shape;
  }

  Plan(const Queue& queue, const ValueNorm& a)
      : panels(a.projection),
        row_tiles(ceil_div(a.rows, tile_rows)),
        rows(std::min(a.rows, tile_rows)) {
    ScratchPlan slice_plan;
    const index_t size = size_of(a.projection.dtype);
    if (copies_value(a)) value = slice_plan.reserve(size * rows * a.projection.in_features);
    tile = slice_plan.reserve(4 * rows * panels.width);
    squares = slice_plan.reserve(4 * rows);
    index_t bytes = 0;
    for (const index_t panel : {index_t{0}, panels.count - 1}) {
      for (const index_t row_count : {rows, a.rows % tile_rows}) {
        if (row_count == 0) continue;
        if (a.norm) {
          bytes = std::max(bytes, tile_product_scratch_bytes(all_heads(a, panel, row_count)));
        }
        if (a.norm_per_head) {
          bytes = std::max(bytes, tile_product_scratch_bytes(one_head(a, panel, row_count)));
        }
      }
    }
    product = slice_plan.reserve(bytes);
    slice = slice_plan.bytes();
    ScratchPlan plan;
    if (copies_weight(a)) {
      weight = plan.reserve(size * a.projection.in_features * a.projection.out_features);
    }
    slices = plan.reserve(queue.num_threads * slice);
    total = plan.bytes();
  }
};

bool is_empty(const ValueNorm& a) { return a.items == 0 || a.rows == 0; }

}  // namespace

index_t value_norm_scratch(const Queue& queue, const ValueNorm& args) {
  return is_empty(args) ? 0 : Plan(queue, args).total;
}

void value_norm(Queue& queue, const ValueNorm& args) {
  if (is_empty(args)) return;
  const Plan plan(queue, args);
  const auto& loops = vector_loops();
  const index_t inputs = args.projection.in_features, outputs = args.projection.out_features;
  const DType dtype = args.projection.dtype;
  const void* weight = args.projection.master;
  if (plan.copies_weight(args)) {
    void* copy = scratch_at<std::byte>(queue, plan.weight);
    loops.convert(inputs * outputs, weight, DType::f32, 1.f, copy, dtype);
    weight = copy;
  }
  parallel_for(queue, args.items * plan.row_tiles, [&](index_t task, int thread) {
    const index_t item = task / plan.row_tiles, first = task % plan.row_tiles * tile_rows;
    const index_t rows = std::min(tile_rows, args.rows - first);
    const index_t slice = plan.slices + thread * plan.slice;
    auto* tile = scratch_at<float>(queue, slice + plan.tile);
    auto* squares = scratch_at<float>(queue, slice + plan.squares);
    auto* product = scratch_at<std::byte>(queue, slice + plan.product);
    const auto* value = static_cast<const std::byte*>(element(args.value, item, first, 0));
    if (plan.copies_value(args)) {
      auto* copy = scratch_at<std::byte>(queue, slice + plan.value);
      for (index_t r = 0; r < rows; ++r) {
        for (index_t head = 0; head < args.heads; ++head) {
          const float factor =
              args.scale ? args.scale[(item * args.heads + head) * args.rows + first + r] : 1.f;
          const index_t column = head * args.head_dim;
          loops.convert(args.head_dim, element(args.value, item, first + r, column),
                        args.value.dtype, factor, copy + (r * inputs + column) * size_of(dtype),
                        dtype);
        }
      }
      value = copy;
    }
    const auto add_squares = [&](index_t panel) {
      for (index_t r = 0; r < rows; ++r) {
        const float* row = tile + r * plan.panels.columns(panel);
        squares[r] += loops.dot(plan.panels.columns(panel), row, row, DType::f32);
      }
    };
    if (args.norm) {
      std::fill_n(squares, rows, 0.f);
      for (index_t panel = 0; panel < plan.panels.count; ++panel) {
        tile_product(plan.all_heads(args, panel, rows), value, plan.panels.at(panel), tile,
                     product);
        add_squares(panel);
      }
      for (index_t r = 0; r < rows; ++r) {
        args.norm[item * args.rows + first + r] = std::sqrt(squares[r]);
      }
    }
    for (index_t head = 0; args.norm_per_head && head < args.heads; ++head) {
      const index_t column = head * args.head_dim;
      std::fill_n(squares, rows, 0.f);
      for (index_t panel = 0; panel < plan.panels.count; ++panel) {
        const index_t offset = panel * plan.panels.width * inputs + column;
        tile_product(plan.one_head(args, panel, rows), value + column * size_of(dtype),
                     static_cast<const std::byte*>(weight) + offset * size_of(dtype), tile,
                     product);
        add_squares(panel);
      }
      for (index_t r = 0; r < rows; ++r) {
        args.norm_per_head[(item * args.heads + head) * args.rows + first + r] =
            std::sqrt(squares[r]);
      }
    }
  });
}

}  // namespace vitsnna::kernels::cpu
