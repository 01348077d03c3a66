// The device that the golden tests compute on: VITSNNA_TEST_DEVICE as --device takes it, or the
// CPU.
#pragma once

#include <cstdlib>

#include "engine/device.h"

namespace vitsnna::test {

inline engine::Device golden_device() {
  const char* const name = std::getenv("VITSNNA_TEST_DEVICE");
  return engine::select_device(name ? name : "cpu");
}

}  // namespace vitsnna::test
