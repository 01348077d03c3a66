// Descriptions and algorithms of matrix products.
#include "kernels/cuda/product_cache.h"

#include <algorithm>
#include <string>
#include <vector>

#include "kernels/cuda/memory.h"
#include "kernels/error.h"

namespace vitsnna::kernels::cuda {
namespace {

/// The batch for which an algorithm is chosen, whatever the batch that runs: the noise samples that
/// usually share a launch, as long as they have no more rows than this. Only speed depends on it.
constexpr index_t kTypicalBatch = 4, kTypicalRows = index_t{1} << 14;
/// An algorithm has to run a batch of one and one of this many as well, or of as many as make this
/// many rows: a product that is tall already is not repeated.
constexpr index_t kManyItems = 256, kManyRows = index_t{1} << 20;
constexpr int kCandidates = 16;

/// At most `items`, and no more than make `all_rows` rows; at least one.
index_t items_within(const MatrixProduct& product, index_t items, index_t all_rows) {
  return std::clamp<index_t>(all_rows / std::max<index_t>(product.rows, 1), 1, items);
}

cudaDataType type_of(DType dtype) { return dtype == DType::f32 ? CUDA_R_32F : CUDA_R_16BF; }

template <class T>
void set_product(cublasLtMatmulDesc_t description, cublasLtMatmulDescAttributes_t attribute,
                 const T& value) {
  check(cublaslt().set_product(description, attribute, &value, sizeof(value)),
        "describing a matrix product");
}

template <class T>
void set_layout(cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t attribute,
                const T& value) {
  check(cublaslt().set_layout(layout, attribute, &value, sizeof(value)), "describing a matrix");
}

/// A row-major (rows, columns) matrix is a column-major (columns, rows) one.
CublasLtObject<cublasLtMatrixLayoutOpaque_t> layout_of(const ConstMatrix& matrix, index_t rows,
                                                       index_t columns, index_t batch) {
  cublasLtMatrixLayout_t layout = nullptr;
  // A single row may have any stride, even one that is shorter than the row.
  const index_t stride = rows > 1 ? matrix.row_stride : std::max(matrix.row_stride, columns);
  check(
      cublaslt().create_layout(&layout, type_of(matrix.dtype), static_cast<std::uint64_t>(columns),
                               static_cast<std::uint64_t>(rows), stride),
      "describing a matrix");
  CublasLtObject<cublasLtMatrixLayoutOpaque_t> owner(layout, cublaslt().destroy_layout);
  set_layout(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, static_cast<std::int32_t>(batch));
  set_layout(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, matrix.item_stride);
  return owner;
}

/// The greatest power of two up to 16 that divides where every row of every item starts.
std::uint32_t alignment_of(const ConstMatrix& matrix, const void* also = nullptr) {
  const auto size = static_cast<std::uintptr_t>(size_of(matrix.dtype));
  const std::uintptr_t bits = reinterpret_cast<std::uintptr_t>(matrix.data) |
                              static_cast<std::uintptr_t>(matrix.row_stride) * size |
                              static_cast<std::uintptr_t>(matrix.item_stride) * size |
                              reinterpret_cast<std::uintptr_t>(also) | 16u;
  return static_cast<std::uint32_t>(bits & (~bits + 1));
}

/// cuBLASLt wants an addend even where its factor is 0: the output then.
ConstMatrix addend_of(const MatrixProduct& product) {
  return product.addend.data ? product.addend : ConstMatrix(product.output);
}

CublasLtObject<cublasLtMatmulDescOpaque_t> describe(const MatrixProduct& product) {
  cublasLtMatmulDesc_t description = nullptr;
  // True fp32 sums of fp32 products: CUBLAS_COMPUTE_32F never takes TF32.
  check(cublaslt().create_product(&description, CUBLAS_COMPUTE_32F, CUDA_R_32F),
        "describing a matrix product");
  CublasLtObject<cublasLtMatmulDescOpaque_t> owner(description, cublaslt().destroy_product);
  const auto operation = [](bool transposed) { return transposed ? CUBLAS_OP_T : CUBLAS_OP_N; };
  set_product(description, CUBLASLT_MATMUL_DESC_TRANSA, operation(product.right_transposed));
  set_product(description, CUBLASLT_MATMUL_DESC_TRANSB, operation(product.left_transposed));
  if (product.bias) {
    set_product(description, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    set_product(description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, product.bias);
  }
  return owner;
}

CublasLtObject<cublasLtMatmulPreferenceOpaque_t> preference(const MatrixProduct& product,
                                                            bool may_split) {
  cublasLtMatmulPreference_t preference = nullptr;
  check(cublaslt().create_preference(&preference), "choosing a matrix product's algorithm");
  CublasLtObject<cublasLtMatmulPreferenceOpaque_t> owner(preference, cublaslt().destroy_preference);
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    check(cublaslt().set_preference(preference, attribute, &value, sizeof(value)),
          "choosing a matrix product's algorithm");
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
      static_cast<std::uint64_t>(ProductCache::kWorkspaceBytes));
  // Sums in parts (split-K) would depend on how many rows there are to share the GPU with.
  const std::uint32_t none = CUBLASLT_REDUCTION_SCHEME_NONE;
  const std::uint32_t in_fp32 = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, may_split ? in_fp32 : none);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(product.right));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(product.left));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment_of(addend_of(product)));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of(product.output, product.bias));
  return owner;
}

/// Whether the batch is one tall matrix, which leaves fewer tiles half empty. By the strides alone:
/// a batch of one must not be treated otherwise than the same item among others.
bool batch_is_rows(const MatrixProduct& product) {
  if (product.left_transposed || product.right.item_stride != 0) return false;
  const auto follow = [&](const ConstMatrix& matrix) {
    return product.rows == 1 || matrix.item_stride == product.rows * matrix.row_stride;
  };
  return follow(product.left) && follow(product.output) && follow(addend_of(product));
}

bool splits_inner(const cublasLtMatmulAlgo_t& algorithm) {
  std::int32_t parts = 1;
  std::size_t written = 0;
  check(cublaslt().algorithm_attribute(&algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &parts,
                                       sizeof(parts), &written),
        "reading a matrix product's algorithm");
  return parts > 1;
}

std::string text_of(const MatrixProduct& product) {
  return "matrix product " + std::to_string(product.rows) + "x" + std::to_string(product.inner) +
         "x" + std::to_string(product.columns) + " in " + name_of(product.left.dtype) + " to " +
         name_of(product.output.dtype);
}

}  // namespace

ProductLayouts::ProductLayouts(const MatrixProduct& product, index_t batch)
    : right(nullptr, cublaslt().destroy_layout),
      left(nullptr, cublaslt().destroy_layout),
      addend(nullptr, cublaslt().destroy_layout),
      output(nullptr, cublaslt().destroy_layout) {
  const bool folded = batch_is_rows(product);
  const index_t rows = folded ? batch * product.rows : product.rows;
  const index_t items = folded ? 1 : batch;
  ConstMatrix left_rows = product.left, output_rows = product.output,
              addend_rows = addend_of(product);
  if (folded && product.rows == 1) {
    left_rows.row_stride = left_rows.item_stride;
    output_rows.row_stride = output_rows.item_stride;
    addend_rows.row_stride = addend_rows.item_stride;
  }
  right = product.right_transposed
              ? layout_of(product.right, product.columns, product.inner, items)
              : layout_of(product.right, product.inner, product.columns, items);
  left = product.left_transposed ? layout_of(left_rows, product.inner, rows, items)
                                 : layout_of(left_rows, rows, product.inner, items);
  addend = layout_of(addend_rows, rows, product.columns, items);
  output = layout_of(output_rows, rows, product.columns, items);
}

ProductCache::ProductCache() {
  check(cublaslt().create(&handle_), "opening cuBLASLt");
  try {
    workspace_ = allocate(kWorkspaceBytes);
  } catch (...) {
    cublaslt().destroy(handle_);
    throw;
  }
}

ProductCache::~ProductCache() {
  deallocate(workspace_, kWorkspaceBytes);
  cublaslt().destroy(handle_);
}

ProductCache::Key ProductCache::key_of(const MatrixProduct& product) {
  return {product.rows,
          product.columns,
          product.inner,
          static_cast<index_t>(product.left.dtype),
          static_cast<index_t>(product.output.dtype),
          product.left_transposed,
          product.right_transposed,
          product.addend.data != nullptr,
          product.bias != nullptr,
          product.may_split_inner ? product.batch : 0,
          batch_is_rows(product),
          alignment_of(product.left),
          alignment_of(product.right),
          alignment_of(addend_of(product)),
          alignment_of(product.output, product.bias)};
}

bool ProductCache::find_algorithm(const MatrixProduct& product, bool may_split,
                                  ProductPlan& plan) const {
  const auto wanted = preference(product, may_split);
  const auto runs = [&](const cublasLtMatmulAlgo_t& algorithm, index_t batch) {
    const ProductLayouts layouts(product, batch);
    cublasLtMatmulHeuristicResult_t result{};
    return cublaslt().check_algorithm(handle_, plan.description.get(), layouts.right.get(),
                                      layouts.left.get(), layouts.addend.get(),
                                      layouts.output.get(), &algorithm,
                                      &result) == CUBLAS_STATUS_SUCCESS &&
           result.workspaceSize <= static_cast<std::size_t>(kWorkspaceBytes);
  };
  // What may be summed in parts promises nothing over batches, and its parts' memory grows with the
  // batch: it is planned for the batch at hand.
  const bool any_batch = !product.may_split_inner;
  const index_t asked =
      any_batch ? items_within(product, kTypicalBatch, kTypicalRows) : product.batch;
  const index_t fewest = any_batch ? 1 : product.batch;
  const index_t most = any_batch ? items_within(product, kManyItems, kManyRows) : product.batch;
  const ProductLayouts layouts(product, asked);
  std::vector<cublasLtMatmulHeuristicResult_t> candidates(kCandidates);
  int found = 0;
  const cublasStatus_t status =
      cublaslt().heuristic(handle_, plan.description.get(), layouts.right.get(), layouts.left.get(),
                           layouts.addend.get(), layouts.output.get(), wanted.get(), kCandidates,
                           candidates.data(), &found);
  if (status != CUBLAS_STATUS_NOT_SUPPORTED) check(status, text_of(product).c_str());
  for (int k = 0; k < found; ++k) {
    const cublasLtMatmulHeuristicResult_t& candidate = candidates[static_cast<std::size_t>(k)];
    if (candidate.state != CUBLAS_STATUS_SUCCESS) continue;
    if (!may_split && splits_inner(candidate.algo)) continue;
    if (!runs(candidate.algo, fewest) || (most != fewest && !runs(candidate.algo, most))) continue;
    plan.algorithm = candidate.algo;
    return true;
  }
  return false;
}

ProductPlan ProductCache::choose(const MatrixProduct& product) const {
  ProductPlan plan{describe(product), {}};
  if (find_algorithm(product, product.may_split_inner, plan)) return plan;
  // Where no sum in parts fits the workspace there are still those that need none.
  if (product.may_split_inner && find_algorithm(product, false, plan)) return plan;
  throw Error(text_of(product) + ": cuBLASLt offers no algorithm");
}

const ProductPlan& ProductCache::plan(const MatrixProduct& product) {
  const Key key = key_of(product);
  auto found = plans_.find(key);
  if (found == plans_.end()) found = plans_.emplace(key, choose(product)).first;
  if (product.bias) {
    set_product(found->second.description.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, product.bias);
  }
  return found->second;
}

}  // namespace vitsnna::kernels::cuda
