// Makes the host SIMT layer a device that can be told to fail: --device simt.
#include <cstdlib>

#include "engine/device.h"
#include "kernels/cuda/backend.h"
#include "tests/support/faulty_device.h"

namespace {

const bool registered = [] {
  vitsnna::engine::register_test_device(
      vitsnna::test::faulty_backend(vitsnna::kernels::cuda::backend(), "simt"));
  setenv("VITSNNA_TEST_DEVICE", "simt", 0);
  return true;
}();

}  // namespace
