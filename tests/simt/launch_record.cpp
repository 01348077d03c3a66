// A set of launches, written when the program ends.
#include "tests/simt/launch_record.h"

#include <cstdlib>
#include <fstream>
#include <mutex>
#include <set>
#include <string>
#include <tuple>
#include <typeindex>

#include "tests/support/kernel_name.h"

namespace vitsnna::simt {
namespace {

/// The kernel's signature out of "std::integral_constant<void (*)(...), &(void kernel<..>(...))>",
/// or its name out of "std::integral_constant<void (*)(...), &kernel>".
std::string signature_of(const char* tag) {
  std::string text = test::demangled(tag);
  const std::size_t value = text.find(", &");
  if (value == std::string::npos) return text;
  text = text.substr(value + 3);
  if (text.front() == '(') return text.substr(1);
  if (text.back() == '>') text.pop_back();
  return text;
}

class Record {
 public:
  explicit Record(const char* path) : path_(path) {}
  Record(const Record&) = delete;
  Record& operator=(const Record&) = delete;
  ~Record() {
    std::set<std::string> lines;
    for (const auto& [kernel, threads, shared_bytes] : launches_) {
      lines.insert(test::kernel_name(signature_of(kernel.name())) + "\t" + std::to_string(threads) +
                   "\t" + std::to_string(shared_bytes));
    }
    std::ofstream file(path_);
    file << "kernel\tthreads\tdynamic shared bytes\n";
    for (const std::string& line : lines) file << line << "\n";
  }
  void add(const std::type_info& kernel, int threads, int shared_bytes) {
    const std::lock_guard lock(mutex_);
    launches_.emplace(kernel, threads, shared_bytes);
  }

 private:
  std::string path_;
  std::mutex mutex_;
  std::set<std::tuple<std::type_index, int, int>> launches_;
};

}  // namespace

bool notes_launches() {
  static const bool notes = std::getenv("VITSNNA_SIMT_LAUNCHES") != nullptr;
  return notes;
}

void record_launch(const std::type_info& kernel, int threads, int shared_bytes) {
  static Record record(std::getenv("VITSNNA_SIMT_LAUNCHES"));
  record.add(kernel, threads, shared_bytes);
}

}  // namespace vitsnna::simt
