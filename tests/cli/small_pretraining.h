// A `pretrain` run that takes seconds: the small model, a small head, 48x48 crops.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tests/cli/run_binary.h"
#include "tests/pictures/image_files.h"

namespace vitsnna::test {

/// Eight pictures of different sizes, half of them a folder deeper.
inline void write_pictures(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder / "deeper");
  for (int k = 0; k < 8; ++k) {
    const std::filesystem::path file =
        (k % 2 ? folder : folder / "deeper") / (std::to_string(k) + ".png");
    write_bytes(file.string(), encode(".png", gradient_image(50 + 3 * k, 80 - 2 * k)));
  }
}

/// Two steps an epoch of write_pictures(). `options` and `more` are as of command_line().
inline std::vector<std::string> small_pretraining(std::map<std::string, std::string> options,
                                                  const std::vector<std::string>& more) {
  options.insert({{"--batch", "4"},
                  {"--lr", "0.01"},
                  {"--out-dim", "32"},
                  {"--hidden", "32"},
                  {"--bottleneck", "16"},
                  {"--global-size", "48x48"},
                  {"--local-size", "24x24"},
                  {"--local-crops", "2"},
                  {"--threads", "1"},
                  {"--decode-threads", "1"}});
  return command_line("pretrain", std::move(options), more);
}

}  // namespace vitsnna::test
