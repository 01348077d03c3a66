// Which processor computes: named on the command line, taken with a reason.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/backend.h"

namespace vitsnna::engine {

struct Device {
  enum class Kind { cpu, cuda, test };
  Kind kind = Kind::cpu;
  int index = 0;            ///< of a CUDA device
  std::string description;  ///< "CPU, 2 threads, avx512", "cuda:0 NVIDIA H100"
  std::string reason;       ///< why it was taken, when `auto` decided
  bool fell_back = false;   ///< the CPU, because a build with a GPU backend found no usable GPU
  const kernels::Backend* backend = &kernels::cpu_backend();
  std::string name() const;  ///< "cpu", "cuda:0"
  /// The same memory: what was made on one can be used on the other.
  bool operator==(const Device& other) const {
    return backend == other.backend && index == other.index;
  }
};

/// What this build and this machine offer beside the CPU.
struct Gpus {
  const kernels::Backend* backend = nullptr;  ///< null: built without CUDA
  std::vector<std::string> names;             ///< by index
  std::string problem;                        ///< why there are none
  /// Why this build cannot compute on the GPU of that index; empty where it can. Null: it can.
  std::function<std::string(int)> unusable;
};
Gpus find_gpus();

/// "auto", "cpu", "cuda" (the first) or "cuda:<i>". `auto` takes the first GPU where it is usable,
/// else the CPU, and says in Device::reason why. Throws Error, one line, for what is unknown, not
/// there or not usable.
Device choose_device(std::string_view text, const Gpus& gpus);
Device select_device(std::string_view text);

/// One line a device that this build could compute on here, and one for a kind that was built in
/// but finds nothing.
std::vector<std::string> describe_devices();

/// For tests (no product calls it): select_device takes `backend.name` for this backend from now
/// on.
void register_test_device(const kernels::Backend& backend);
bool is_test_device(std::string_view text);

}  // namespace vitsnna::engine
