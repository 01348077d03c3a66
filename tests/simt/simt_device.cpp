// Makes the host SIMT layer the device of a test program's whole passes.
#include <cstdlib>

#include "engine/device.h"
#include "kernels/cuda/backend.h"

namespace {

const bool registered = [] {
  vitsnna::engine::register_test_device(vitsnna::kernels::cuda::backend());
  setenv("VITSNNA_TEST_DEVICE", std::string(vitsnna::kernels::cuda::backend().name).c_str(), 0);
  return true;
}();

}  // namespace
