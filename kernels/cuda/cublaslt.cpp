// Finds and opens libcublasLt.
#include "kernels/cuda/cublaslt.h"

#include <dlfcn.h>

#include "kernels/error.h"

namespace vitsnna::kernels::cuda {
namespace {

/// Looks where the loader looks, then in the toolkit that this build was made with.
void* open_library(std::string& problem) {
  const std::string name = "libcublasLt.so." + std::to_string(CUBLAS_VER_MAJOR);
  if (void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
  problem = name + ": not found; it comes with CUDA " + std::to_string(CUBLAS_VER_MAJOR) +
            " (LD_LIBRARY_PATH may name its folder)";
  return dlopen((VITSNNA_CUDA_LIBRARY_DIR "/" + name).c_str(), RTLD_NOW | RTLD_LOCAL);
}

struct Loaded {
  CublasLt entries{};
  std::string problem;  ///< why there are no entries; else empty
};

Loaded load() {
  Loaded loaded;
  // Never closed: its threads and its device memory live as long as the process.
  void* library = open_library(loaded.problem);
  if (!library) return loaded;
  loaded.problem.clear();
  const auto bind = [&]<class Entry>(Entry& entry, const char* name) {
    entry = reinterpret_cast<Entry>(dlsym(library, name));
    if (!entry) loaded.problem = std::string("libcublasLt: has no ") + name;
  };
  CublasLt& lt = loaded.entries;
  bind(lt.create, "cublasLtCreate");
  bind(lt.destroy, "cublasLtDestroy");
  bind(lt.status_string, "cublasLtGetStatusString");
  bind(lt.matmul, "cublasLtMatmul");
  bind(lt.check_algorithm, "cublasLtMatmulAlgoCheck");
  bind(lt.heuristic, "cublasLtMatmulAlgoGetHeuristic");
  bind(lt.algorithm_attribute, "cublasLtMatmulAlgoConfigGetAttribute");
  bind(lt.create_product, "cublasLtMatmulDescCreate");
  bind(lt.destroy_product, "cublasLtMatmulDescDestroy");
  bind(lt.set_product, "cublasLtMatmulDescSetAttribute");
  bind(lt.create_layout, "cublasLtMatrixLayoutCreate");
  bind(lt.destroy_layout, "cublasLtMatrixLayoutDestroy");
  bind(lt.set_layout, "cublasLtMatrixLayoutSetAttribute");
  bind(lt.create_preference, "cublasLtMatmulPreferenceCreate");
  bind(lt.destroy_preference, "cublasLtMatmulPreferenceDestroy");
  bind(lt.set_preference, "cublasLtMatmulPreferenceSetAttribute");
  return loaded;
}

const Loaded& loaded() {
  static const Loaded library = load();
  return library;
}

}  // namespace

const CublasLt& cublaslt() {
  if (!loaded().problem.empty()) throw Error(loaded().problem);
  return loaded().entries;
}

std::string cublaslt_problem() { return loaded().problem; }

void check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error(std::string(what) + ": cuBLASLt says " + cublaslt().status_string(status));
}

}  // namespace vitsnna::kernels::cuda
