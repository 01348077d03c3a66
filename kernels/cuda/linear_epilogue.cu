// What follows a linear layer's product: GELU, GELU's slope and the residual sum, in one pass.
#include "kernels/cuda/dtypes.h"
#include "kernels/cuda/gelu.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/linear_kernels.h"
#include "kernels/cuda/rows.h"

namespace vitsnna::kernels::cuda {
namespace {

constexpr int kThreads = 128;

/// `width` neighbouring elements, loaded and stored as one word where their bytes allow.
template <class T, int width>
struct alignas(width * sizeof(T)) Pack {
  T element[width];
};

/// What the result is added to.
struct Residual {
  Rows<const float> rows;
  RowFactors factors;
};

struct EpilogueExtents {
  unsigned rows;             // of an item
  unsigned auxiliary_items;  // item i reads auxiliary item i % auxiliary_items
  int packs;                 // of a row
};

/// Block (item * rows + row, chunk of columns).
template <class Product, class Out, class Auxiliary, Epilogue epilogue, bool residual, int width>
__global__ void __launch_bounds__(kThreads)
    linear_epilogue_kernel(Rows<const Product> product, Rows<const Auxiliary> auxiliary,
                           Residual added_to, Rows<Out> output, EpilogueExtents extents) {
  const int pack = static_cast<int>(blockIdx.y) * kThreads + static_cast<int>(threadIdx.x);
  if (pack >= extents.packs) return;
  const unsigned item = blockIdx.x / extents.rows, row = blockIdx.x % extents.rows;
  using Packs = Pack<Product, width>;
  using OutPacks = Pack<Out, width>;
  const Packs t = reinterpret_cast<const Packs*>(product.row(item, row))[pack];
  OutPacks* const destination = reinterpret_cast<OutPacks*>(output.row(item, row)) + pack;
  Pack<Auxiliary, width> slope_at{};
  if constexpr (epilogue == Epilogue::gelu_backward) {
    slope_at = reinterpret_cast<const Pack<Auxiliary, width>*>(
        auxiliary.row(item % extents.auxiliary_items, row))[pack];
  }
  Pack<float, width> before{};
  float factor = 1.f;
  if constexpr (residual) {
    before = reinterpret_cast<const Pack<float, width>*>(added_to.rows.row(item, row))[pack];
    factor = added_to.factors.of(blockIdx.x);
  }
  OutPacks result{};
#pragma unroll
  for (int k = 0; k < width; ++k) {
    float value = load_float(&t.element[k]);
    if constexpr (epilogue == Epilogue::gelu) value = gelu_of(value);
    if constexpr (epilogue == Epilogue::gelu_backward) {
      value *= gelu_derivative_of(load_float(&slope_at.element[k]));
    }
    if constexpr (residual) value = before.element[k] + factor * value;
    store_float(&result.element[k], value);
  }
  *destination = result;
}

bool divides(index_t width, const ConstMatrix& matrix) {
  const auto bytes = static_cast<std::uintptr_t>(width * size_of(matrix.dtype));
  return reinterpret_cast<std::uintptr_t>(matrix.data) % bytes == 0 &&
         matrix.row_stride % width == 0 && matrix.item_stride % width == 0;
}

template <class Product, class Out, class Auxiliary, Epilogue epilogue, bool residual>
void run(Queue& queue, const Linear& args, const ConstMatrix& product) {
  const index_t columns = args.weight.outer();
  constexpr int wide = 4;
  const bool packed = columns % wide == 0 && divides(wide, product) && divides(wide, args.output) &&
                      (!residual || divides(wide, args.residual)) &&
                      (epilogue != Epilogue::gelu_backward || divides(wide, args.auxiliary));
  const index_t packs = packed ? columns / wide : columns;
  const EpilogueExtents extents{static_cast<unsigned>(args.rows),
                                static_cast<unsigned>(args.auxiliary_items),
                                static_cast<int>(packs)};
  const LaunchShape shape{dim3(grid_extent("linear", args.items * args.rows),
                               static_cast<unsigned>(ceil_div(packs, kThreads))),
                          kThreads, 0};
  const Rows<const Product> t(product);
  const Rows<const Auxiliary> auxiliary(args.auxiliary);
  const Residual added_to{Rows<const float>(args.residual), args.factors};
  const Rows<Out> output(args.output);
  if (packed) {
    launch<linear_epilogue_kernel<Product, Out, Auxiliary, epilogue, residual, wide>>(
        "linear", queue, shape, t, auxiliary, added_to, output, extents);
  } else {
    launch<linear_epilogue_kernel<Product, Out, Auxiliary, epilogue, residual, 1>>(
        "linear", queue, shape, t, auxiliary, added_to, output, extents);
  }
}

}  // namespace

void linear_epilogue(Queue& queue, const Linear& args, const ConstMatrix& product) {
  if (args.epilogue == Epilogue::none) {  // the product is fp32, as a residual sum's output is
    run<float, float, float, Epilogue::none, true>(queue, args, product);
    return;
  }
  if (args.epilogue == Epilogue::gelu) {
    with_dtype(product.dtype, [&]<class Product>() {
      if (args.residual.data) {
        run<Product, float, float, Epilogue::gelu, true>(queue, args, product);
        return;
      }
      with_dtype(args.output.dtype, [&]<class Out>() {
        run<Product, Out, float, Epilogue::gelu, false>(queue, args, product);
      });
    });
    return;
  }
  with_dtype(args.auxiliary.dtype, [&]<class Auxiliary>() {
    if (args.residual.data) {
      run<float, float, Auxiliary, Epilogue::gelu_backward, true>(queue, args, product);
      return;
    }
    with_dtype(args.output.dtype, [&]<class Out>() {  // the product was written to the output
      run<Out, Out, Auxiliary, Epilogue::gelu_backward, false>(queue, args, product);
    });
  });
}

}  // namespace vitsnna::kernels::cuda
