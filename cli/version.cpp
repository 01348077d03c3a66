// `vitsnna --version`: the build, its optional parts, and the devices it sees.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <opencv2/core/version.hpp>

#include "cli/build_info.h"
#include "cli/commands.h"
#include "engine/device.h"
#include "vitsnna_commit.h"  // written by the build

namespace vitsnna::cli {

nlohmann::ordered_json build_json() {
  // null: a part that this build is without.
  const std::string cuda = VITSNNA_CUDA_VERSION;
  return {{"version", VITSNNA_VERSION},
          {"commit", VITSNNA_COMMIT},
          {"compiler", VITSNNA_COMPILER},
          {"build_type", VITSNNA_BUILD_TYPE},
          {"onednn", VITSNNA_ONEDNN_VERSION},
          {"openmp", VITSNNA_OPENMP_VERSION},
          {"opencv", CV_VERSION},
          {"cuda", cuda.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(cuda)},
          {"mpi", nullptr}};
}

std::string version_text() {
  const nlohmann::ordered_json build = build_json();
  const auto text = [&](const char* key) { return build.at(key).get<std::string>(); };
  std::string lines = fmt::format("vitsnna {} (commit {})\n", text("version"), text("commit"));
  lines += fmt::format("compiler  {}, {}\n", text("compiler"), text("build_type"));
  lines += fmt::format("with      oneDNN {}, OpenMP {}, OpenCV {}\n", text("onednn"),
                       text("openmp"), text("opencv"));
  const bool cuda = !build.at("cuda").is_null();
  if (cuda) lines.insert(lines.size() - 1, fmt::format(", CUDA {}", text("cuda")));
  lines += fmt::format("without   {}\n", cuda ? "MPI" : "CUDA, MPI");
  std::string devices;
  for (const std::string& device : engine::describe_devices()) {
    devices += fmt::format("{}{}", devices.empty() ? "devices   " : "\n          ", device);
  }
  return lines + devices;
}

}  // namespace vitsnna::cli
