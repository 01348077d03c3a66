// The choice of a matrix product's algorithm, over a cuBLASLt of the test's own: its table, and the
// memory that ProductCache asks for.
#include "kernels/cuda/product_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "kernels/cuda/memory.h"
#include "kernels/error.h"

namespace vitsnna::kernels::cuda {
namespace {

constexpr std::int64_t kMebibyte = std::int64_t{1} << 20;

/// Sums in `parts` parts; more than one want fp32 memory for each of them and item of a batch.
struct Algorithm {
  std::uint64_t parts = 1;
  std::int64_t most_rows = std::int64_t{1} << 40;  ///< of a whole batch
};

/// What the library under the test offers, and what it was asked.
struct Library {
  std::vector<Algorithm> offered;  ///< best first
  std::vector<std::int64_t> asked_batches;
  std::int64_t most_rows_checked = 0;
};
Library library;

// Objects keep their numbers where the real ones hide theirs: a layout rows, columns and batch (as
// cuBLASLt sees them), a preference the mask of reductions, an algorithm its place in `offered`.
template <class T>
std::int64_t& number(T* object, int place) {
  return reinterpret_cast<std::int64_t*>(object->data)[place];
}
template <class T>
std::int64_t number(const T* object, int place) {
  return reinterpret_cast<const std::int64_t*>(object->data)[place];
}
template <class T>
cublasStatus_t end(T* object) {
  delete object;
  return CUBLAS_STATUS_SUCCESS;
}
template <class T>
cublasStatus_t ignore(T*, auto, const void*, std::size_t) {
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t create(cublasLtHandle_t*) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t destroy(cublasLtHandle_t) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t create_product(cublasLtMatmulDesc_t* made, cublasComputeType_t, cudaDataType) {
  *made = new cublasLtMatmulDescOpaque_t{};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t create_layout(cublasLtMatrixLayout_t* made, cudaDataType, std::uint64_t rows,
                             std::uint64_t columns, std::int64_t) {
  *made = new cublasLtMatrixLayoutOpaque_t{};
  number(*made, 0) = static_cast<std::int64_t>(rows);
  number(*made, 1) = static_cast<std::int64_t>(columns);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t set_layout(cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t attribute,
                          const void* value, std::size_t) {
  if (attribute == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT) {
    number(layout, 2) = *static_cast<const std::int32_t*>(value);
  }
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t create_preference(cublasLtMatmulPreference_t* made) {
  *made = new cublasLtMatmulPreferenceOpaque_t{};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t set_preference(cublasLtMatmulPreference_t preference,
                              cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                              std::size_t) {
  if (attribute == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK) {
    number(preference, 0) = *static_cast<const std::uint32_t*>(value);
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t check_algorithm(cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t,
                               cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                               cublasLtMatrixLayout_t output, const cublasLtMatmulAlgo_t* chosen,
                               cublasLtMatmulHeuristicResult_t* result) {
  const Algorithm& algorithm = library.offered.at(static_cast<std::size_t>(number(chosen, 0)));
  // Column-major: the columns of cuBLASLt's output are the product's rows.
  const std::int64_t rows = number(output, 1) * number(output, 2);
  library.most_rows_checked = std::max(library.most_rows_checked, rows);
  const auto parts = static_cast<std::int64_t>(algorithm.parts);
  result->workspaceSize =
      static_cast<std::size_t>(parts > 1 ? 4 * parts * number(output, 0) * rows : 0);
  return rows <= algorithm.most_rows ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t heuristic(cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t,
                         cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                         cublasLtMatrixLayout_t output, cublasLtMatmulPreference_t preference,
                         int wanted, cublasLtMatmulHeuristicResult_t* results, int* found) {
  library.asked_batches.push_back(number(output, 2));
  *found = 0;
  for (std::size_t k = 0; k < library.offered.size() && *found < wanted; ++k) {
    if (library.offered[k].parts > 1 && number(preference, 0) == 0) continue;
    results[*found] = {};
    number(&results[*found].algo, 0) = static_cast<std::int64_t>(k);
    results[(*found)++].state = CUBLAS_STATUS_SUCCESS;
  }
  return *found > 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t algorithm_attribute(const cublasLtMatmulAlgo_t* chosen,
                                   cublasLtMatmulAlgoConfigAttributes_t, void* value, std::size_t,
                                   std::size_t*) {
  *static_cast<std::int32_t*>(value) = static_cast<std::int32_t>(
      library.offered.at(static_cast<std::size_t>(number(chosen, 0))).parts);
  return CUBLAS_STATUS_SUCCESS;
}

std::uint64_t parts_of(const ProductPlan& plan) {
  return library.offered.at(static_cast<std::size_t>(number(&plan.algorithm, 0))).parts;
}

/// bf16 rows into fp32; a weight's gradient where `gradient`: (rows, columns) sums over `inner`.
MatrixProduct product_of(index_t rows, index_t columns, index_t inner, bool gradient) {
  MatrixProduct product;
  product.rows = rows;
  product.columns = columns;
  product.inner = inner;
  product.left = {nullptr, DType::bf16, rows * inner, gradient ? rows : inner};
  product.left_transposed = product.may_split_inner = gradient;
  product.right = {nullptr, DType::bf16, 0, gradient ? columns : inner};
  product.right_transposed = !gradient;
  product.output = {nullptr, DType::f32, rows * columns, columns};
  return product;
}

class ProductCacheTest : public testing::Test {
 protected:
  ProductCacheTest() { library = {}; }
  ProductCache cache_;
};

TEST_F(ProductCacheTest, AWeightsGradientIsSummedInPartsWhereTheirMemoryFits) {
  library.offered = {{64}, {8}, {1}};  // 4 bytes x 1152 x 384 a part: 113 MB, 14 MB, none
  const ProductPlan& plan = cache_.plan(product_of(1152, 384, 50000, true));
  EXPECT_EQ(parts_of(plan), 8u);
  EXPECT_EQ(library.asked_batches, std::vector<std::int64_t>{1}) << "it runs as a batch of one";
}

TEST_F(ProductCacheTest, AWeightsGradientIsSummedWholeWhereNoPartsFit) {
  // As many candidates as are asked for, none of which fits, before the one that does.
  library.offered.assign(16, {64});
  library.offered.push_back({1});
  EXPECT_EQ(parts_of(cache_.plan(product_of(1152, 384, 50000, true))), 1u);
}

TEST_F(ProductCacheTest, ARowsSumIsNeverInParts) {
  library.offered = {{2}, {1}};
  EXPECT_EQ(parts_of(cache_.plan(product_of(785, 384, 1536, false))), 1u);
  EXPECT_EQ(library.asked_batches, std::vector<std::int64_t>{1}) << "rows that follow are one item";
}

TEST_F(ProductCacheTest, AnAlgorithmOfRowsRunsManyItemsAsWellAsOne) {
  library.offered = {{1, 64 * 785}, {1}};
  const ProductPlan& plan = cache_.plan(product_of(785, 384, 1536, false));
  EXPECT_EQ(number(&plan.algorithm, 0), 1) << "the first takes 64 items at most";
}

TEST_F(ProductCacheTest, APackedPassIsNotTakenTimesTheItemsOfAnExplanation) {
  constexpr index_t rows = 174000;
  library.offered = {{1, 8 * rows}, {1}};
  const ProductPlan& plan = cache_.plan(product_of(rows, 384, 1536, false));
  EXPECT_EQ(number(&plan.algorithm, 0), 0);
  EXPECT_LE(library.most_rows_checked, kMebibyte);
}

TEST_F(ProductCacheTest, NoAlgorithmAtAllIsAnErrorThatNamesTheProduct) {
  try {
    cache_.plan(product_of(7, 5, 3, true));
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "matrix product 7x3x5 in bf16 to fp32: cuBLASLt offers no algorithm");
  }
}

}  // namespace

const CublasLt& cublaslt() {
  static const CublasLt table = [] {
    CublasLt made{};
    made.create = create;
    made.destroy = destroy;
    made.check_algorithm = check_algorithm;
    made.heuristic = heuristic;
    made.algorithm_attribute = algorithm_attribute;
    made.create_product = create_product;
    made.destroy_product = end<cublasLtMatmulDescOpaque_t>;
    made.set_product = ignore<cublasLtMatmulDescOpaque_t>;
    made.create_layout = create_layout;
    made.destroy_layout = end<cublasLtMatrixLayoutOpaque_t>;
    made.set_layout = set_layout;
    made.create_preference = create_preference;
    made.destroy_preference = end<cublasLtMatmulPreferenceOpaque_t>;
    made.set_preference = set_preference;
    return made;
  }();
  return table;
}

void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS) throw Error(what);
}

void* allocate(index_t bytes) { return std::malloc(static_cast<std::size_t>(bytes)); }
void deallocate(void* memory, index_t) noexcept { std::free(memory); }

}  // namespace vitsnna::kernels::cuda
