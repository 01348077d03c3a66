// Matrix products by cuBLASLt.
#include "kernels/cuda/context_device.h"
#include "kernels/cuda/matrix_product.h"
#include "kernels/cuda/product_cache.h"

namespace vitsnna::kernels::cuda {

void matrix_product(Queue& queue, const MatrixProduct& product) {
  if (product.batch == 0 || product.rows == 0 || product.columns == 0) return;
  Context& context = context_of(queue);
  // A queue that only copies and draws pictures never pays for a workspace.
  if (!context.products) context.products = std::make_unique<ProductCache>();
  ProductCache& cache = *context.products;
  const ProductPlan& plan = cache.plan(product);
  const ProductLayouts layouts(product, product.batch);
  const float one = 1.f, beta = product.addend.data ? 1.f : 0.f;
  const void* addend = product.addend.data ? product.addend.data : product.output.data;
  check(cublaslt().matmul(
            cache.handle(), plan.description.get(), &one, product.right.data, layouts.right.get(),
            product.left.data, layouts.left.get(), &beta, addend, layouts.addend.get(),
            product.output.data, layouts.output.get(), &plan.algorithm, cache.workspace(),
            static_cast<std::size_t>(ProductCache::kWorkspaceBytes), context_of(queue).stream),
        "matrix product");
}

}  // namespace vitsnna::kernels::cuda
