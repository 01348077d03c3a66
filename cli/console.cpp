// spdlog on standard error, stdio on standard output.
#include "cli/console.h"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>

#include "kernels/error.h"

namespace vitsnna::cli {
namespace {

spdlog::logger& log() {
  static const std::shared_ptr<spdlog::logger> logger = [] {
    auto made = spdlog::stderr_logger_st("vitsnna");
    made->set_pattern("vitsnna: %v");
    return made;
  }();
  return *logger;
}

std::string one_line(std::string_view message) {
  std::string line(message);
  while (!line.empty() && line.back() == '\n') line.pop_back();
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

[[noreturn]] void stdout_failed() {
  throw Error(fmt::format("standard output: cannot be written: {}",
                          std::generic_category().message(errno)));
}

}  // namespace

void print_error(std::string_view message) { log().error("error: {}", one_line(message)); }

void Console::note(std::string_view message) const {
  if (!quiet()) log().info("{}", one_line(message));
}

void Console::warn(std::string_view message) const { log().warn("warning: {}", one_line(message)); }

void Console::result(std::string_view line) const {
  if (!quiet() && !json()) write_stdout(fmt::format("{}\n", line));
}

void write_stdout(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) stdout_failed();
}

void flush_stdout() {
  if (std::fflush(stdout) != 0) stdout_failed();
}

}  // namespace vitsnna::cli
