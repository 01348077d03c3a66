// Which NVIDIA GPUs the driver shows: asked at run time only, never while configuring.
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

}  // namespace vitsnna::kernels::cuda
