// The subcommands of the binary: each adds itself, with its options, to the application.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace vitsnna::cli {

void add_info(CLI::App& app);
void add_convert(CLI::App& app);
void add_predict(CLI::App& app);
void add_explain(CLI::App& app);
void add_attention(CLI::App& app);
void add_pretrain(CLI::App& app);
void add_finetune(CLI::App& app);
void add_evaluate(CLI::App& app);

/// What `vitsnna --version` prints: version, commit, compiler, parts, devices.
std::string version_text();

}  // namespace vitsnna::cli
