// Which processor computes: named on the command line, taken with a reason.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace vitsnna::engine {

struct Device {
  enum class Kind { cpu, cuda };
  Kind kind = Kind::cpu;
  int index = 0;            ///< of a CUDA device
  std::string description;  ///< "CPU, 2 threads, avx512", "cuda:0 NVIDIA H100"
  std::string reason;       ///< why it was taken, when `auto` decided
  std::string name() const { return kind == Kind::cpu ? "cpu" : "cuda:" + std::to_string(index); }
};

/// "auto" or "cpu". Throws Error when the text is neither, or names a
/// device that this machine or this build does not have.
Device select_device(std::string_view text);

/// One line a device that this build could compute on here, and one for a kind that was built in
/// but finds nothing.
std::vector<std::string> describe_devices();

}  // namespace vitsnna::engine
