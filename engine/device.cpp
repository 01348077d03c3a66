// The devices of this build: the CPU, always; GPUs are seen where CUDA was built in.
#include "engine/device.h"

#include <omp.h>

#include "kernels/backend.h"
#include "kernels/error.h"
#ifdef VITSNNA_HAVE_CUDA
#include "kernels/cuda/device_query.h"
#endif

namespace vitsnna::engine {

namespace {

Device cpu_device(std::string reason) {
  Device device;
  device.description = "CPU, " + std::to_string(omp_get_max_threads()) + " threads" +
                       (kernels::cpu_backend().supports(kernels::DType::bf16) ? ", fast bf16" : "");
  device.reason = std::move(reason);
  return device;
}

}  // namespace

Device select_device(std::string_view text) {
  if (text == "cpu") return cpu_device("asked for");
  if (text == "auto") return cpu_device("every kernel of this version is a CPU kernel");
  if (text == "cuda" || text.starts_with("cuda:")) {
    throw Error("device " + std::string(text) +
                ": this version has CPU kernels only; auto or cpu wanted");
  }
  throw Error("device " + std::string(text) + ": unknown; auto or cpu wanted");
}

std::vector<std::string> describe_devices() {
  std::vector<std::string> lines = {cpu_device("").description};
#ifdef VITSNNA_HAVE_CUDA
  const kernels::cuda::VisibleDevices gpus = kernels::cuda::visible_devices();
  for (std::size_t index = 0; index < gpus.names.size(); ++index) {
    lines.push_back("cuda:" + std::to_string(index) + " " + gpus.names[index] +
                    " (seen, not computed on in this version)");
  }
  if (!gpus.problem.empty()) lines.push_back("no CUDA device: " + gpus.problem);
#endif
  return lines;
}

}  // namespace vitsnna::engine
