// The devices of this build: the CPU, always.
#include "engine/device.h"

#include <omp.h>

#include "kernels/backend.h"
#include "kernels/error.h"

namespace vitsnna::engine {

namespace {

Device cpu_device() {
  Device device;
  device.description = "CPU, " + std::to_string(omp_get_max_threads()) + " threads";
  return device;
}

}  // namespace

Device select_device(std::string_view text) {
  if (text == "cpu") return cpu_device();
  if (text == "auto") {
    Device device = cpu_device();
    device.reason = "this version computes on the CPU";
    return device;
  }
  if (text == "cuda" || text.starts_with("cuda:")) {
    throw Error("device " + std::string(text) +
                ": this version computes on the CPU only (auto, cpu)");
  }
  throw Error("device " + std::string(text) + ": unknown; auto, cpu or cuda:<index> wanted");
}

std::vector<std::string> describe_devices() { return {cpu_device().description}; }

}  // namespace vitsnna::engine
