// What the user reads: results on standard output, everything else on standard error.
#pragma once

#include <string>
#include <string_view>

namespace vitsnna::cli {

/// What to be silent about. Results asked for as JSON leave standard output to the JSON alone.
struct Verbosity {
  bool quiet = false;
  bool json = false;
};

/// One line `vitsnna: error: ...`; a message of several lines is joined into one.
void print_error(std::string_view message);

class Console {
 public:
  explicit Console(Verbosity verbosity) : verbosity_(verbosity) {}

  bool quiet() const { return verbosity_.quiet; }
  bool json() const { return verbosity_.json; }

  /// A line about the work, on standard error; not with --quiet.
  void note(std::string_view message) const;
  /// A line that the user must see, on standard error, --quiet or not.
  void warn(std::string_view message) const;
  /// A line of the human-readable result, on standard output; not with --quiet or --json.
  void result(std::string_view line) const;

 private:
  Verbosity verbosity_;
};

/// Text on standard output as it is. Throws Error when it cannot be written.
void write_stdout(std::string_view text);
void flush_stdout();

}  // namespace vitsnna::cli
