// The `vitsnna` binary: parses, runs one subcommand, and turns whatever went wrong into one line on
// standard error and an exit code (1: the job failed, 2: wrong usage).
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <new>
#include <string>

#include "cli/commands.h"
#include "cli/console.h"
#include "cli/errors.h"
#include "cli/interrupt.h"

namespace vitsnna::cli {
namespace {

constexpr int kDone = 0, kFailed = 1, kWrongUsage = 2;

/// "explain" of a command line that has got as far as naming its subcommand.
std::string help_command(const CLI::App& app) {
  std::string command = "vitsnna";
  for (const CLI::App* used : app.get_subcommands()) command += " " + used->get_name();
  return command + " --help";
}

int run(int argc, char** argv) {
  CLI::App app("Explains what a Vision Transformer saw when it decided, and trains one.",
               "vitsnna");
  app.set_version_flag("--version", version_text, "Version, build and devices, then exit");
  app.set_config("--config", "", "Read options from a TOML file, one [section] a command")
      ->type_name("FILE");
  app.allow_config_extras(CLI::config_extras_mode::error);  // a misspelt key must not be ignored
  app.require_subcommand(1);
  app.fallthrough();
  add_info(app);
  add_convert(app);
  add_predict(app);
  add_explain(app);
  add_attention(app);
  add_pretrain(app);
  add_finetune(app);
  add_evaluate(app);

  try {
    app.parse(argc, argv);
    flush_stdout();
    return kDone;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {  // --help, --version
      app.exit(error);
      flush_stdout();
      return kDone;
    }
    print_error(fmt::format("{} ({} says more)", error.what(), help_command(app)));
    return kWrongUsage;
  } catch (const UsageError& error) {
    print_error(error.what());
    return kWrongUsage;
  }
}

}  // namespace
}  // namespace vitsnna::cli

int main(int argc, char** argv) {
  using namespace vitsnna::cli;
  try {
    install_interrupt_handler();
    return run(argc, argv);
  } catch (const vitsnna::Error& error) {
    print_error(error.what());
  } catch (const std::bad_alloc&) {
    print_error("not enough memory (--memory-limit makes `explain` take less)");
  } catch (const std::filesystem::filesystem_error& error) {
    print_error(fmt::format("{}: {}", error.path1().string(), error.code().message()));
  } catch (const std::exception& error) {
    print_error(error.what());
  } catch (...) {
    print_error("an unknown failure");
  }
  return kFailed;
}
