// Linear layers: tiles of rows x output columns, each one product over the whole inner extent
// followed by its epilogue while the tile is in cache.
#include "kernels/linear.h"

#include <algorithm>
#include <cstddef>

#include "kernels/bf16.h"
#include "kernels/cpu/linear_panels.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/simd/vector_loops.h"
#include "kernels/cpu/tile_product.h"

namespace vitsnna::kernels::cpu {
namespace {

/// Rows of a tile: every item is cut into these and a remainder, so that a row's place in its tile
/// depends on nothing but `rows`.
constexpr index_t tile_rows = 128;

TileShape tile_shape(const Linear& args, const WeightPanels& panels, index_t panel, index_t rows) {
  TileShape shape;
  shape.rows = rows;
  shape.columns = panels.columns(panel);
  shape.inner = args.weight.inner();
  shape.left_stride = args.input.row_stride;
  shape.right_stride = panels.right_stride();
  shape.output_stride = shape.columns;
  shape.dtype = args.weight.dtype;
  shape.right = panels.layout;
  return shape;
}

struct Plan {
  WeightPanels panels;
  index_t row_tiles = 0;
  index_t product = 0;  ///< bytes of the product's own scratch, first in a thread's slice
  index_t slice = 0;

  Plan(const Linear& args) : panels(args.weight), row_tiles(ceil_div(args.rows, tile_rows)) {
    for (const index_t panel : {index_t{0}, panels.count - 1}) {
      for (const index_t rows : {std::min(args.rows, tile_rows), args.rows % tile_rows}) {
        if (rows > 0) {
          product =
              std::max(product, tile_product_scratch_bytes(tile_shape(args, panels, panel, rows)));
        }
      }
    }
    product = round_up(product, 64);
    slice = product + round_up(4 * std::min(args.rows, tile_rows) * panels.width, 64);
  }
};

bool is_empty(const Linear& args) {
  return args.items == 0 || args.rows == 0 || args.weight.outer() == 0;
}

}  // namespace

WeightPanels::WeightPanels(const LinearWeight& of) : weight(of) {
  constexpr index_t widest = 192;
  const index_t outer = std::max<index_t>(weight.outer(), 1);
  width = round_up(ceil_div(outer, ceil_div(outer, widest)), 64);
  count = ceil_div(outer, width);
  if (weight.dtype == DType::f32 && weight.transposed) {
    layout = RightLayout::rows;  // x W: the master is (inner, outer) already
  } else if (weight.dtype == DType::f32 && weight.few_rows) {
    layout = RightLayout::columns;
  } else if (outer % 64 == 0 && can_pack_right(weight.dtype, weight.inner(), width)) {
    layout = RightLayout::packed;
    panel_bytes = round_up(packed_right_bytes(weight.dtype, weight.inner(), width), 64);
  } else if (weight.dtype == DType::f32) {
    layout = RightLayout::columns;
  } else {
    layout = RightLayout::rows;
  }
}

index_t WeightPanels::right_stride() const {
  switch (layout) {
    case RightLayout::rows:
      return weight.outer();
    case RightLayout::columns:
      return weight.inner();
    case RightLayout::packed:
      break;
  }
  return 0;
}

index_t WeightPanels::prepared_bytes() const {
  if (layout == RightLayout::packed) {
    return panel_bytes * (count - 1) +
           packed_right_bytes(weight.dtype, weight.inner(), columns(count - 1));
  }
  return weight.dtype == DType::f32 ? 0 : 2 * weight.inner() * weight.outer();
}

const void* WeightPanels::at(index_t panel) const {
  const index_t element = size_of(weight.dtype);
  switch (layout) {
    case RightLayout::packed:
      return static_cast<const std::byte*>(weight.prepared) + panel * panel_bytes;
    case RightLayout::columns:
      return weight.master + panel * width * weight.inner();
    case RightLayout::rows:
      break;
  }
  const void* base =
      weight.dtype == DType::f32 ? static_cast<const void*>(weight.master) : weight.prepared;
  return static_cast<const std::byte*>(base) + panel * width * element;
}

index_t linear_prepared_bytes(const LinearWeight& weight) {
  return WeightPanels(weight).prepared_bytes();
}

namespace {

void prepare(const Queue& queue, const LinearPreparation& args) {
  const LinearWeight& weight = args.weight;
  const WeightPanels panels(weight);
  if (panels.prepared_bytes() == 0) return;
  auto* destination = static_cast<std::byte*>(args.destination);
  parallel_for(queue, panels.count, [&](index_t panel, int) {
    const index_t first = panel * panels.width;
    const index_t columns = panels.columns(panel);
    if (panels.layout == RightLayout::packed) {
      const auto from = weight.transposed ? RightLayout::rows : RightLayout::columns;
      pack_right(weight.dtype, weight.inner(), columns,
                 weight.master + (weight.transposed ? first : first * weight.in_features),
                 DType::f32, weight.in_features, from, destination + panel * panels.panel_bytes);
      return;
    }
    auto* rows = reinterpret_cast<bf16*>(destination);
    for (index_t k = 0; k < weight.inner(); ++k) {
      for (index_t column = first; column < first + columns; ++column) {
        rows[k * weight.outer() + column] =
            to_bf16(weight.transposed ? weight.master[k * weight.in_features + column]
                                      : weight.master[column * weight.in_features + k]);
      }
    }
  });
}

}  // namespace

void prepare_linear(Queue& queue, const PrepareLinear& args) {
  for (index_t k = 0; k < args.count; ++k) prepare(queue, args.preparations[k]);
}

index_t linear_scratch(const Queue& queue, const Linear& args) {
  return is_empty(args) ? 0 : queue.num_threads * Plan(args).slice;
}

void linear(Queue& queue, const Linear& args) {
  if (is_empty(args)) return;
  const Plan plan(args);
  const auto& panels = plan.panels;
  const auto& loops = vector_loops();
  const index_t tasks = panels.count * args.items * plan.row_tiles;
  parallel_for(queue, tasks, [&](index_t task, int thread) {
    // Panels of one row tile follow each other: its input is in cache, its output written at once.
    const index_t panel = task % panels.count;
    const index_t item = task / panels.count / plan.row_tiles;
    const index_t first_row = task / panels.count % plan.row_tiles * tile_rows;
    const index_t rows = std::min(tile_rows, args.rows - first_row);
    const index_t first_column = panel * panels.width;
    const index_t columns = panels.columns(panel);

    void* product_scratch = scratch_at<std::byte>(queue, thread * plan.slice);
    float* tile = scratch_at<float>(queue, thread * plan.slice + plan.product);
    tile_product(tile_shape(args, panels, panel, rows), element(args.input, item, first_row, 0),
                 panels.at(panel), tile, product_scratch);

    EpilogueRow row;
    row.columns = columns;
    row.bias = args.bias ? args.bias + first_column : nullptr;
    row.epilogue = args.epilogue;
    row.output_dtype = args.output.dtype;
    row.pre_activation_dtype = args.pre_activation.dtype;
    row.auxiliary_dtype = args.auxiliary.dtype;
    for (index_t r = 0; r < rows; ++r) {
      row.product = tile + r * columns;
      row.output = element(args.output, item, first_row + r, first_column);
      if (args.residual.data) {
        row.residual =
            static_cast<const float*>(element(args.residual, item, first_row + r, first_column));
        row.factor = args.factors.of(item * args.rows + first_row + r);
      }
      if (args.pre_activation.data) {
        row.pre_activation = element(args.pre_activation, item, first_row + r, first_column);
      }
      if (args.epilogue == Epilogue::gelu_backward) {
        row.auxiliary =
            element(args.auxiliary, item % args.auxiliary_items, first_row + r, first_column);
      }
      loops.linear_epilogue(row);
    }
  });
}

}  // namespace vitsnna::kernels::cpu
