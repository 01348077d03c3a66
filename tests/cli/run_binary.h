// Runs the built binary as a subprocess and collects all that a user would see of it.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/temp_directory.h"

extern char** environ;

namespace vitsnna::test {

struct Outcome {
  int exit_code = -1;  ///< -1 where a signal ended it
  int signal = 0;
  std::string out, err;

  std::size_t error_lines() const {
    return static_cast<std::size_t>(std::count(err.begin(), err.end(), '\n'));
  }
};

inline std::ostream& operator<<(std::ostream& stream, const Outcome& outcome) {
  return stream << "exit code " << outcome.exit_code << ", signal " << outcome.signal
                << "\nstdout: " << outcome.out << "\nstderr: " << outcome.err;
}

/// A test is about the CPU unless it names a device: the default takes a GPU where there is one,
/// and says so where it had to do without.
inline std::vector<std::string> on_the_cpu(std::vector<std::string> arguments) {
  static const std::set<std::string> computing = {"explain",  "predict",  "attention",
                                                  "pretrain", "finetune", "evaluate"};
  if (arguments.empty() || !computing.contains(arguments.front())) return arguments;
  if (std::find(arguments.begin(), arguments.end(), "--device") == arguments.end()) {
    arguments.insert(arguments.begin() + 1, {"--device", "cpu"});
  }
  return arguments;
}

/// `command` with these options, those of `more` in their place or behind them; a name in `more`
/// that no value follows is a flag.
inline std::vector<std::string> command_line(const std::string& command,
                                             std::map<std::string, std::string> options,
                                             const std::vector<std::string>& more) {
  std::vector<std::string> all = {command};
  for (std::size_t k = 0; k < more.size(); ++k) {
    if (k + 1 < more.size() && !more[k + 1].starts_with("--")) {
      options[more[k]] = more[k + 1];
      ++k;
    } else {
      all.push_back(more[k]);
    }
  }
  for (const auto& [name, value] : options) all.insert(all.end(), {name, value});
  return all;
}

/// Limits the size of a file, in blocks of 512 bytes: what a full disk looks like.
inline std::string room_for(int blocks) { return "ulimit -f " + std::to_string(blocks); }

/// A running binary; standard output and error go to files of its own.
class Running {
 public:
  /// `before` is what a shell does to itself before it becomes the binary.
  explicit Running(const std::vector<std::string>& arguments, const std::string& before = "") {
    std::vector<std::string> words = {VITSNNA_BINARY};
    if (!before.empty()) words = {"/bin/sh", "-c", before + " && exec \"$@\"", "", VITSNNA_BINARY};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    const int flags = O_WRONLY | O_CREAT | O_TRUNC;
    posix_spawn_file_actions_addopen(&actions, 1, (logs_ / "out").c_str(), flags, 0600);
    posix_spawn_file_actions_addopen(&actions, 2, (logs_ / "err").c_str(), flags, 0600);
    // A test run in the background of a script ignores SIGINT, and its children would too.
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t interrupt;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    posix_spawnattr_setsigdefault(&attributes, &interrupt);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    const int failed = posix_spawn(&pid_, argv[0], &actions, &attributes, argv.data(), environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (failed != 0) throw std::runtime_error("cannot run " + words[0]);
  }
  ~Running() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    wait_for_end();
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  void send(int signal) const { kill(pid_, signal); }
  bool ended() {
    if (pid_ <= 0) return true;
    const pid_t found = waitpid(pid_, &status_, WNOHANG);
    if (found == pid_) pid_ = 0;
    return pid_ <= 0;
  }
  /// Until the file is there, or the binary has ended.
  void wait_for(const std::filesystem::path& file) {
    while (!std::filesystem::exists(file) && !ended()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  Outcome wait() {
    wait_for_end();
    Outcome outcome;
    if (WIFEXITED(status_)) outcome.exit_code = WEXITSTATUS(status_);
    if (WIFSIGNALED(status_)) outcome.signal = WTERMSIG(status_);
    outcome.out = read_bytes(logs_ / "out");
    outcome.err = read_bytes(logs_ / "err");
    return outcome;
  }

 private:
  void wait_for_end() {
    if (pid_ > 0) waitpid(pid_, &status_, 0);
    pid_ = 0;
  }

  TempDirectory logs_;
  pid_t pid_ = 0;
  int status_ = 0;
};

inline Outcome run_binary(const std::vector<std::string>& arguments) {
  return Running(on_the_cpu(arguments)).wait();
}
/// Without on_the_cpu().
inline Outcome run_binary_as_it_is(const std::vector<std::string>& arguments) {
  return Running(arguments).wait();
}

/// Exit code `code`, nothing on standard output, and one line on standard error: `vitsnna: error: `
/// with every given text in it.
inline void expect_failure(const Outcome& outcome, int code,
                           const std::vector<std::string>& texts) {
  EXPECT_EQ(outcome.exit_code, code) << outcome;
  EXPECT_EQ(outcome.out, "") << outcome;
  EXPECT_EQ(outcome.error_lines(), 1u) << outcome;
  EXPECT_EQ(outcome.err.find("vitsnna: error: "), 0u) << outcome;
  for (const std::string& text : texts) {
    EXPECT_NE(outcome.err.find(text), std::string::npos) << "wanted: " << text << "\n" << outcome;
  }
}

/// Names in a folder, sorted; none where it does not exist.
inline std::vector<std::string> names_in(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  if (!std::filesystem::exists(folder)) return names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace vitsnna::test
