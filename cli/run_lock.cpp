#include "cli/run_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "kernels/error.h"

namespace vitsnna::cli {

RunLock::~RunLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void RunLock::take(const std::filesystem::path& file) {
  descriptor_ = ::open(file.c_str(), O_RDWR | O_CLOEXEC);  // NFS locks what may be written alone
  if (descriptor_ >= 0 && ::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    throw Error(
        fmt::format("{}: another process is at work on this run", file.parent_path().string()));
  }
}

}  // namespace vitsnna::cli
