// How every output is written: to a temporary name in the target's folder, then renamed, so that a
// reader sees the old file, the whole new one, or none.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace vitsnna::engine {

/// What a committed file outlives: a loss of power too, or the process alone. A file of the second
/// kind costs no wait for the disk and may hold other bytes after the power was lost; it is for
/// what carries a checksum and can be made again.
enum class Durability { power, process };

class AtomicFile {
 public:
  /// Creates `.<name>.<random>.tmp` beside `target`. Throws Error naming the target when its folder
  /// is missing or cannot be written.
  explicit AtomicFile(std::filesystem::path target);
  /// Removes the temporary file unless commit() has succeeded.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Appends; throws Error naming the target when not every byte could be written (a full disk, a
  /// file size limit: SIGXFSZ is held back, so that the limit is an error and not a death).
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);

  /// Flushes to the disk and closes: all that can fail for want of space has been done. A set of
  /// files that must appear together is sealed one by one, then committed.
  void seal();

  /// Seals, if that has not been done, and gives the file its name, replacing what had it before.
  void commit(Durability durability = Durability::power);

  /// Unlinks the temporary file of every AtomicFile alive in the process. Async-signal-safe: meant
  /// for a handler of SIGINT or SIGTERM that then ends the process.
  static void remove_pending() noexcept;

  /// remove_pending() in a process whose other threads go on writing until it ends: none of them
  /// creates a temporary file from here on (one that tries waits for the end).
  static void abandon_all() noexcept;

 private:
  struct Pending;
  static Pending* claim(const std::string& path);
  void discard() noexcept;
  void close_file(Durability durability);

  std::filesystem::path target_;
  std::string temporary_;
  Pending* pending_ = nullptr;
  int descriptor_ = -1;
  bool sealed_ = false;
};

/// One buffer, one file.
void write_file(const std::filesystem::path& target, std::span<const std::byte> bytes);
void write_file(const std::filesystem::path& target, std::string_view text);

}  // namespace vitsnna::engine
