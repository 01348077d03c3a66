// Temporary name, write, fsync, rename; and the list of temporaries that a signal handler unlinks.
#include "engine/io/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>
#include <ctime>
#include <memory>
#include <random>
#include <system_error>
#include <utility>

#include "engine/io/printable.h"
#include "kernels/error.h"

namespace vitsnna::engine {

// An entry is claimed, filled, published (live), and freed for the next file; it is never deleted,
// because a signal handler may be reading it. There are as many as files were ever open at once.
struct AtomicFile::Pending {
  enum State : int { vacant, claimed, live };
  std::atomic<int> state = claimed;
  Pending* next = nullptr;
  char path[PATH_MAX] = {};
};

namespace {

static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free &&
                  std::atomic<void*>::is_always_lock_free,
              "a signal handler reads these");

std::atomic<void*> pending_head = nullptr;

// How many threads are between listing a temporary file and having created it, and whether no
// further one may be created.
std::atomic<int> creating = 0;
std::atomic<bool> abandoned = false;

/// For the moment of creating a file: signals wait, so that their handler never finds its own
/// thread here, and after abandon_all() the thread waits for the process to end.
class Creating {
 public:
  Creating() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
    ++creating;
    if (!abandoned) return;
    --creating;
    while (true) ::pause();
  }
  ~Creating() {
    --creating;
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  Creating(const Creating&) = delete;
  Creating& operator=(const Creating&) = delete;

 private:
  sigset_t before_ = {};
};

[[noreturn]] void fail(const std::filesystem::path& target, const char* what, int error) {
  throw Error(fmt::format("{}: {}: {}", printable(target.string(), 1000), what,
                          std::generic_category().message(error)));
}

// A write beyond RLIMIT_FSIZE sends SIGXFSZ to the writing thread, whose default is to kill the
// process. It is blocked here for the time of one write and taken off the queue if it came.
class FileSizeSignalHeld {
 public:
  FileSizeSignalHeld() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGXFSZ);
    sigset_t before;
    sigpending(&before);
    was_pending_ = sigismember(&before, SIGXFSZ) == 1;
    pthread_sigmask(SIG_BLOCK, &set_, &old_mask_);
  }
  ~FileSizeSignalHeld() {
    if (!was_pending_) {
      const timespec now = {0, 0};
      while (sigtimedwait(&set_, nullptr, &now) < 0 && errno == EINTR) {
      }
    }
    pthread_sigmask(SIG_SETMASK, &old_mask_, nullptr);
  }
  FileSizeSignalHeld(const FileSizeSignalHeld&) = delete;
  FileSizeSignalHeld& operator=(const FileSizeSignalHeld&) = delete;

 private:
  sigset_t set_ = {};
  sigset_t old_mask_ = {};
  bool was_pending_ = false;
};

std::string temporary_name(const std::filesystem::path& target) {
  std::random_device device;
  const std::uint64_t random = (static_cast<std::uint64_t>(device()) << 32) | device();
  // A file name holds 255 bytes: the target's is cut, the random part makes it unique.
  const std::string stem = target.filename().string().substr(0, 200);
  return (target.parent_path() / fmt::format(".{}.{:016x}.tmp", stem, random)).string();
}

}  // namespace

AtomicFile::Pending* AtomicFile::claim(const std::string& path) {
  auto* entry = static_cast<Pending*>(pending_head.load(std::memory_order_acquire));
  for (; entry != nullptr; entry = entry->next) {
    int expected = Pending::vacant;
    if (entry->state.compare_exchange_strong(expected, Pending::claimed)) break;
  }
  if (entry == nullptr) {
    entry = new Pending;
    void* head = pending_head.load(std::memory_order_relaxed);
    do {
      entry->next = static_cast<Pending*>(head);
    } while (!pending_head.compare_exchange_weak(head, entry, std::memory_order_release,
                                                 std::memory_order_relaxed));
  }
  std::memcpy(entry->path, path.c_str(), path.size() + 1);
  entry->state.store(Pending::live, std::memory_order_release);
  return entry;
}

void AtomicFile::remove_pending() noexcept {
  const auto* entry = static_cast<const Pending*>(pending_head.load(std::memory_order_acquire));
  for (; entry != nullptr; entry = entry->next) {
    if (entry->state.load(std::memory_order_acquire) == Pending::live) ::unlink(entry->path);
  }
}

void AtomicFile::abandon_all() noexcept {
  abandoned = true;
  while (creating > 0) ::poll(nullptr, 0, 1);
  remove_pending();
}

AtomicFile::AtomicFile(std::filesystem::path target) : target_(std::move(target)) {
  if (!target_.has_filename()) fail(target_, "cannot be written", EISDIR);
  temporary_ = temporary_name(target_);
  if (temporary_.size() >= PATH_MAX) fail(target_, "cannot be written", ENAMETOOLONG);
  // rename() would say so too, but only after the work that the file is to hold has been done.
  struct stat status = {};
  if (::stat(target_.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) {
    fail(target_, "cannot be written", EISDIR);
  }
  int error = 0;
  {
    const Creating guard;
    // Listed before it exists: a death between the two finds nothing to unlink, never a stray file.
    pending_ = claim(temporary_);
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    error = errno;
  }
  if (descriptor_ < 0) {
    pending_->state.store(Pending::vacant, std::memory_order_release);
    pending_ = nullptr;
    fail(target_, "cannot be written", error);
  }
}

AtomicFile::~AtomicFile() { discard(); }

void AtomicFile::discard() noexcept {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
  if (pending_ != nullptr) {
    ::unlink(temporary_.c_str());
    pending_->state.store(Pending::vacant, std::memory_order_release);
    pending_ = nullptr;
  }
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  if (descriptor_ < 0) fail(target_, "cannot be written", EBADF);
  const FileSizeSignalHeld held;
  while (!bytes.empty()) {
    // Linux writes at most 0x7ffff000 bytes a call.
    const std::size_t chunk = std::min<std::size_t>(bytes.size(), std::size_t{1} << 30);
    const ssize_t written = ::write(descriptor_, bytes.data(), chunk);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const int error = written < 0 ? errno : ENOSPC;
      discard();
      fail(target_, "cannot be written in full", error);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void AtomicFile::write(std::string_view text) {
  write(std::as_bytes(std::span<const char>(text.data(), text.size())));
}

void AtomicFile::seal() { close_file(Durability::power); }

void AtomicFile::close_file(Durability durability) {
  if (sealed_) return;
  if (descriptor_ < 0) fail(target_, "cannot be written", EBADF);
  const int synced = durability == Durability::power ? ::fsync(descriptor_) : 0;
  const int sync_error = errno;
  const int closed = ::close(std::exchange(descriptor_, -1));
  if (synced != 0 || closed != 0) {
    const int error = synced != 0 ? sync_error : errno;
    discard();
    fail(target_, "cannot be written in full", error);
  }
  sealed_ = true;
}

void AtomicFile::commit(Durability durability) {
  close_file(durability);
  sealed_ = false;
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) {
    const int error = errno;
    discard();
    fail(target_, "cannot be written", error);
  }
  pending_->state.store(Pending::vacant, std::memory_order_release);
  pending_ = nullptr;
  if (durability == Durability::process) return;
  // The new name itself reaches the disk with its folder; a file system that cannot sync a folder
  // has lost nothing that could be reported usefully.
  const std::string folder = target_.has_parent_path() ? target_.parent_path().string() : ".";
  const int directory = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0) {
    ::fsync(directory);
    ::close(directory);
  }
}

void write_file(const std::filesystem::path& target, std::span<const std::byte> bytes) {
  AtomicFile file(target);
  file.write(bytes);
  file.commit();
}

void write_file(const std::filesystem::path& target, std::string_view text) {
  write_file(target, std::as_bytes(std::span<const char>(text.data(), text.size())));
}

}  // namespace vitsnna::engine
