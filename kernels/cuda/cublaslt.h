// cuBLASLt, opened at run time: a binary with the CUDA backend starts where the library is not.
#pragma once

#include <cublasLt.h>

#include <string>

namespace vitsnna::kernels::cuda {

/// The entry points that the backend uses.
struct CublasLt {
  decltype(&::cublasLtCreate) create;
  decltype(&::cublasLtDestroy) destroy;
  decltype(&::cublasLtGetStatusString) status_string;
  decltype(&::cublasLtMatmul) matmul;
  decltype(&::cublasLtMatmulAlgoCheck) check_algorithm;
  decltype(&::cublasLtMatmulAlgoGetHeuristic) heuristic;
  decltype(&::cublasLtMatmulAlgoConfigGetAttribute) algorithm_attribute;
  decltype(&::cublasLtMatmulDescCreate) create_product;
  decltype(&::cublasLtMatmulDescDestroy) destroy_product;
  decltype(&::cublasLtMatmulDescSetAttribute) set_product;
  decltype(&::cublasLtMatrixLayoutCreate) create_layout;
  decltype(&::cublasLtMatrixLayoutDestroy) destroy_layout;
  decltype(&::cublasLtMatrixLayoutSetAttribute) set_layout;
  decltype(&::cublasLtMatmulPreferenceCreate) create_preference;
  decltype(&::cublasLtMatmulPreferenceDestroy) destroy_preference;
  decltype(&::cublasLtMatmulPreferenceSetAttribute) set_preference;
};

/// Loads the library on first use. Throws Error naming it where it is not found or too old.
const CublasLt& cublaslt();

/// Why cublaslt() would throw; empty where it would not.
std::string cublaslt_problem();

/// Throws Error with cuBLASLt's own text unless the status is success.
void check(cublasStatus_t status, const char* what);

}  // namespace vitsnna::kernels::cuda
