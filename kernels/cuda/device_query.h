// Which NVIDIA GPUs the driver shows, and what this build can compute on: asked at run time only,
// never while configuring.
#pragma once

#include <string>
#include <vector>

namespace vitsnna::kernels::cuda {

struct VisibleDevices {
  std::vector<std::string> names;  ///< "NVIDIA H100 80GB HBM3, sm_90, 79 GiB", by index
  std::string problem;             ///< why there are none: no driver, driver too old; else empty
};

/// Never throws and never crashes where there is no driver.
VisibleDevices visible_devices();

/// Why this build cannot compute on that GPU (no code for its architecture, no cuBLASLt, the driver
/// refuses it); empty where it can. Never throws.
std::string device_problem(int index);

}  // namespace vitsnna::kernels::cuda
