// What cuBLASLt needs for a product and is slow to make: its handle and workspace, one of each a
// queue, and a description with a chosen algorithm for every kind of product met.
#pragma once

#include <array>
#include <map>
#include <memory>

#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/matrix_product.h"

namespace vitsnna::kernels::cuda {

/// An opaque cuBLASLt object and the entry that ends it.
template <class T>
using CublasLtObject = std::unique_ptr<T, cublasStatus_t (*)(T*)>;

/// A description and the algorithm that runs it.
struct ProductPlan {
  CublasLtObject<cublasLtMatmulDescOpaque_t> description;
  cublasLtMatmulAlgo_t algorithm;
};

/// The four layouts of a product as cuBLASLt sees it. Its matrices are column-major, so it is given
/// the transpose: output^T = right^T left^T. A batch whose items follow each other is one matrix.
struct ProductLayouts {
  explicit ProductLayouts(const MatrixProduct& product, index_t batch);
  CublasLtObject<cublasLtMatrixLayoutOpaque_t> right, left, addend, output;
};

class ProductCache {
 public:
  ProductCache();
  ~ProductCache();
  ProductCache(const ProductCache&) = delete;
  ProductCache& operator=(const ProductCache&) = delete;

  const ProductPlan& plan(const MatrixProduct& product);
  cublasLtHandle_t handle() const { return handle_; }
  void* workspace() const { return workspace_; }

  /// cuBLASLt's recommendation for Hopper.
  static constexpr index_t kWorkspaceBytes = index_t{32} << 20;

 private:
  /// All that the choice of an algorithm may depend on: not the batch, so that a row's bits do not,
  /// but where the inner extent may be summed in parts.
  using Key = std::array<index_t, 15>;
  static Key key_of(const MatrixProduct& product);
  ProductPlan choose(const MatrixProduct& product) const;
  /// Fills in the algorithm of `plan`, whose description is made; false where none fits.
  bool find_algorithm(const MatrixProduct& product, bool may_split, ProductPlan& plan) const;

  cublasLtHandle_t handle_ = nullptr;
  void* workspace_ = nullptr;
  std::map<Key, ProductPlan> plans_;
};

}  // namespace vitsnna::kernels::cuda
