// The devices of this build: the CPU, always; GPUs where CUDA was built in.
#include "engine/device.h"

#include <omp.h>

#include <charconv>

#include "kernels/error.h"
#ifdef VITSNNA_HAVE_CUDA
#include "kernels/cuda/backend.h"
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

std::string name_of_gpu(int index) { return "cuda:" + std::to_string(index); }

Device gpu_device(const Gpus& gpus, int index, std::string reason) {
  Device device;
  device.kind = Device::Kind::cuda;
  device.index = index;
  device.description = name_of_gpu(index) + " " + gpus.names[static_cast<std::size_t>(index)];
  device.reason = std::move(reason);
  device.backend = gpus.backend;
  return device;
}

/// Why nothing can be computed on GPU `index`, one that is there; empty where it can.
std::string problem_of(const Gpus& gpus, int index) {
  return gpus.unusable ? gpus.unusable(index) : std::string();
}

Device fallback(std::string reason) {
  Device device = cpu_device(std::move(reason));
  device.fell_back = true;
  return device;
}

Device automatic(const Gpus& gpus) {
  if (!gpus.backend) return cpu_device("this build has no CUDA backend");
  if (gpus.names.empty()) return fallback("no GPU: " + gpus.problem);
  const std::string problem = problem_of(gpus, 0);
  if (!problem.empty()) return fallback(name_of_gpu(0) + " cannot be used: " + problem);
  return gpu_device(gpus, 0, "a usable GPU is there");
}

int index_of(std::string_view text) {
  if (text == "cuda") return 0;
  constexpr std::string_view prefix = "cuda:";
  int index = -1;
  const char* const end = text.data() + text.size();
  const auto [stop, code] = std::from_chars(text.data() + prefix.size(), end, index);
  if (code != std::errc() || stop != end || index < 0) {
    throw Error("device " + std::string(text) + ": unknown; auto, cpu, cuda or cuda:<i> wanted");
  }
  return index;
}

Device named_gpu(std::string_view text, const Gpus& gpus) {
  const int index = index_of(text);
  const std::string subject = "device " + std::string(text) + ": ";
  if (!gpus.backend) {
    throw Error(subject + "this build has no CUDA backend; auto or cpu wanted");
  }
  if (gpus.names.empty()) throw Error(subject + "no GPU: " + gpus.problem);
  const auto count = static_cast<int>(gpus.names.size());
  if (index >= count) {
    throw Error(subject + "not there; " +
                (count == 1 ? "cuda:0, the only GPU," : "cuda:0 to " + name_of_gpu(count - 1)) +
                " wanted");
  }
  const std::string problem = problem_of(gpus, index);
  if (!problem.empty()) throw Error(subject + problem);
  return gpu_device(gpus, index, "asked for");
}

const kernels::Backend*& test_backend() {
  static const kernels::Backend* backend = nullptr;
  return backend;
}

}  // namespace

std::string Device::name() const {
  switch (kind) {
    case Kind::cpu:
      return "cpu";
    case Kind::cuda:
      return name_of_gpu(index);
    case Kind::test:
      break;
  }
  return std::string(backend->name);
}

Gpus find_gpus() {
  Gpus gpus;
#ifdef VITSNNA_HAVE_CUDA
  kernels::cuda::VisibleDevices visible = kernels::cuda::visible_devices();
  gpus.backend = &kernels::cuda::backend();
  gpus.names = std::move(visible.names);
  gpus.problem = std::move(visible.problem);
  gpus.unusable = kernels::cuda::device_problem;
#endif
  return gpus;
}

Device choose_device(std::string_view text, const Gpus& gpus) {
  if (text == "cpu") return cpu_device("asked for");
  if (text == "auto") return automatic(gpus);
  if (text == "cuda" || text.starts_with("cuda:")) return named_gpu(text, gpus);
  throw Error("device " + std::string(text) + ": unknown; auto, cpu, cuda or cuda:<i> wanted");
}

Device select_device(std::string_view text) {
  if (is_test_device(text)) {
    Device device;
    device.kind = Device::Kind::test;
    device.description = device.reason = "a test's";
    device.backend = test_backend();
    return device;
  }
  return choose_device(text, text == "cpu" ? Gpus{} : find_gpus());  // no driver call for the CPU
}

std::vector<std::string> describe_devices() {
  std::vector<std::string> lines = {cpu_device("").description};
  const Gpus gpus = find_gpus();
  for (std::size_t index = 0; index < gpus.names.size(); ++index) {
    lines.push_back(name_of_gpu(static_cast<int>(index)) + " " + gpus.names[index]);
  }
  if (!gpus.problem.empty()) lines.push_back("no GPU: " + gpus.problem);
  return lines;
}

void register_test_device(const kernels::Backend& backend) { test_backend() = &backend; }
bool is_test_device(std::string_view text) {
  return test_backend() && text == test_backend()->name;
}

}  // namespace vitsnna::engine
