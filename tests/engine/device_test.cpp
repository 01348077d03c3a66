// Which device is taken, and what is said where one cannot be: one line, whatever is missing.
#include "engine/device.h"

#include <gtest/gtest.h>

#include "engine/queue.h"
#include "explain/explainer.h"
#include "model/forward.h"
#include "model/vit.h"
#include "tests/support/expect_error.h"
#include "tests/support/small_vit.h"

namespace vitsnna::engine {
namespace {

/// A machine as a test wants it; the CPU's table stands for the CUDA backend's.
Gpus machine(std::vector<std::string> names, std::string problem = "") {
  Gpus gpus;
  gpus.backend = &kernels::cpu_backend();
  gpus.names = std::move(names);
  gpus.problem = std::move(problem);
  return gpus;
}

TEST(Devices, AutoTakesTheFirstUsableGpu) {
  const Device device = choose_device("auto", machine({"H100", "A100"}));
  EXPECT_EQ(device.name(), "cuda:0");
  EXPECT_EQ(device.description, "cuda:0 H100");
}

TEST(Devices, AutoFallsBackToTheCpuAndSaysWhy) {
  const Device none = choose_device("auto", machine({}, "no NVIDIA driver is loaded here"));
  EXPECT_EQ(none.name(), "cpu");
  EXPECT_EQ(none.reason, "no GPU: no NVIDIA driver is loaded here");
  EXPECT_TRUE(none.fell_back);

  Gpus old = machine({"V100"});
  old.unusable = [](int) { return "no code for sm_70"; };
  const Device unusable = choose_device("auto", old);
  EXPECT_EQ(unusable.name(), "cpu");
  EXPECT_EQ(unusable.reason, "cuda:0 cannot be used: no code for sm_70");
  EXPECT_TRUE(unusable.fell_back);

  const Device never = choose_device("auto", Gpus{});
  EXPECT_EQ(never.reason, "this build has no CUDA backend");
  EXPECT_FALSE(never.fell_back);
  EXPECT_FALSE(choose_device("cpu", machine({}, "none")).fell_back);
}

TEST(Devices, ANamedGpuIsTakenOrRefusedNeverReplaced) {
  EXPECT_EQ(choose_device("cuda", machine({"H100"})).name(), "cuda:0");
  EXPECT_EQ(choose_device("cuda:1", machine({"H100", "A100"})).description, "cuda:1 A100");
  EXPECT_ERROR(choose_device("cuda:7", machine({"H100", "A100"})), "device cuda:7",
               "cuda:0 to cuda:1 wanted");
  EXPECT_ERROR(choose_device("cuda:7", machine({"H100"})), "device cuda:7",
               "cuda:0, the only GPU, wanted");
  EXPECT_ERROR(choose_device("cuda", machine({}, "the driver is too old")), "device cuda",
               "no GPU: the driver is too old");
  EXPECT_ERROR(choose_device("cuda:0", Gpus{}), "device cuda:0", "no CUDA backend",
               "auto or cpu wanted");
  Gpus old = machine({"V100"});
  old.unusable = [](int) { return "no code for sm_70"; };
  EXPECT_ERROR(choose_device("cuda:0", old), "device cuda:0", "no code for sm_70");
}

TEST(Devices, WhatIsNoDeviceIsRefused) {
  for (const char* text :
       {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "cuda:99999999999", "simt", "cudax"}) {
    SCOPED_TRACE(text);
    EXPECT_ERROR(choose_device(text, machine({"H100"})), "device", "unknown");
  }
}

TEST(Devices, ATestsDeviceIsThereOnceRegistered) {
  static kernels::Backend table = kernels::cpu_backend();
  table.name = "witness";
  EXPECT_FALSE(is_test_device("witness"));
  register_test_device(table);
  const Device device = select_device("witness");
  EXPECT_EQ(device.name(), "witness");
  EXPECT_EQ(device.backend, &table);
}

TEST(Devices, AModelAndAQueueOfTwoDevicesDoNotMeet) {
  static kernels::Backend other = kernels::cpu_backend();
  other.name = "other";
  Queue here(select_device("cpu"), 1);
  Device elsewhere = select_device("cpu");
  elsewhere.kind = Device::Kind::test;
  elsewhere.backend = &other;
  Queue there(elsewhere, 1);
  const model::Vit vit =
      model::Vit(here, test::small_config(), test::small_metadata(),
                 test::small_tensors(test::small_config(), 1), kernels::DType::f32);
  EXPECT_ERROR(explain::Explainer(vit, there), "the model", "is on cpu", "the queue on other",
               "one device wanted");
  Arena memory(&other, 1 << 20);
  EXPECT_ERROR(model::embed_grid({vit, here, memory}, 48, 48), "arena", "is on other", "cpu");
}

}  // namespace
}  // namespace vitsnna::engine
