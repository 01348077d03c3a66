// Finds libcudnn: where the loader looks, then in the toolkit that this build was made with.
#include "bench/cudnn_library.h"

#include <dlfcn.h>

#include "kernels/error.h"

namespace cudnn_frontend {
void* cudnn_dlhandle = nullptr;
}

namespace vitsnna::bench {

std::string open_cudnn() {
  const std::string name = "libcudnn.so." + std::to_string(CUDNN_MAJOR);
  void*& library = cudnn_frontend::cudnn_dlhandle;
  library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) library = dlopen((VITSNNA_CUDA_LIBRARY_DIR "/" + name).c_str(), RTLD_NOW);
  return library ? "" : name + ": not found (LD_LIBRARY_PATH may name its folder)";
}

void check(cudnn_frontend::error_t status, const char* what) {
  if (status.is_bad()) throw Error(std::string(what) + ": cuDNN says " + status.get_message());
}

void check(cudnnStatus_t status, const char* what) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  throw Error(std::string(what) + ": cuDNN says " +
              cudnn_frontend::detail::get_error_string(status));
}

}  // namespace vitsnna::bench
