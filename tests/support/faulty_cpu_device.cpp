// Makes the CPU a device that can be told to fail: --device faulty.
#include <cstdlib>

#include "engine/device.h"
#include "tests/support/faulty_device.h"

namespace {

const bool registered = [] {
  vitsnna::engine::register_test_device(
      vitsnna::test::faulty_backend(vitsnna::kernels::cpu_backend(), "faulty"));
  setenv("VITSNNA_TEST_DEVICE", "faulty", 0);
  return true;
}();

}  // namespace
