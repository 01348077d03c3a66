// Which device the tests of whole passes run on: VITSNNA_TEST_DEVICE (as --device takes it, or a
// device that the test program registered), by default the CPU.
#pragma once

#include <cstdlib>

#include "engine/device.h"

namespace vitsnna::test {

inline engine::Device test_device() {
  const char* name = std::getenv("VITSNNA_TEST_DEVICE");
  return engine::select_device(name ? name : "cpu");
}

}  // namespace vitsnna::test
