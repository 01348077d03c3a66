// Eight pictures, and `pretrain` on them.
#pragma once

#include <fmt/format.h>

#include <sstream>
#include <string>
#include <vector>

#include "tests/cli/cli_fixture.h"
#include "tests/cli/small_pretraining.h"

namespace vitsnna::test {

class CliPretrain : public CliTest {
 protected:
  void SetUp() override {
    CliTest::SetUp();
    write_pictures(file("images"));
  }

  /// A run of 24 steps, a checkpoint every 2; `more` are options with a value, or flags.
  std::vector<std::string> arguments(const std::string& run,
                                     const std::vector<std::string>& more = {}) const {
    return small_pretraining({{"--data", file("images")},
                              {"--output", file(run)},
                              {"--model", file("model.safetensors")},
                              {"--epochs", "12"},
                              {"--warmup-epochs", "2"},
                              {"--checkpoint-every", "2"}},
                             more);
  }
  Outcome pretrain(const std::string& run, const std::vector<std::string>& more = {}) const {
    return run_binary(arguments(run, more));
  }
  std::string last_checkpoint(const std::string& run, int steps = 24) const {
    return read_bytes(file(fmt::format("{}/checkpoints/step-{:09d}.safetensors", run, steps)));
  }
  std::vector<nlohmann::json> metrics(const std::string& run) const {
    std::vector<nlohmann::json> lines;
    std::istringstream text(read_bytes(file(run + "/metrics.jsonl")));
    for (std::string line; std::getline(text, line);) lines.push_back(nlohmann::json::parse(line));
    return lines;
  }
};

}  // namespace vitsnna::test
