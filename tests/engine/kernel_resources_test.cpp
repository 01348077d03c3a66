// The compiler's own report of every kernel: no spills and no stack, and the registers that
// docs/kernel_resources.tsv states, with the warps of an SM that they leave room for.
#include <cxxabi.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <regex>
#include <set>
#include <sstream>
#include <string>

namespace vitsnna {
namespace {

/// Warps of an SM that registers allow, on sm_80 and sm_90 alike: 64 K registers, given to a warp
/// in units of 256, and at most 64 warps, spread evenly over four schedulers.
int warps_by_registers(int registers) {
  const int of_a_warp = (registers * 32 + 255) / 256 * 256;
  return std::min(64, 65536 / of_a_warp / 4 * 4);
}

/// "gelu_kernel<float, float>" of a mangled kernel: without its arguments, and without namespaces,
/// whose names for unnamed ones change from build to build.
std::string kernel_name(const std::string& mangled) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(
      abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status), std::free);
  std::string name = status == 0 ? text.get() : mangled;
  name = std::regex_replace(name,
                            std::regex("\\(anonymous namespace\\)::|_GLOBAL__N__\\w+::|"
                                       "_INTERNAL_\\w+::|vitsnna::|kernels::|cuda::|^void "),
                            "");
  int depth = 0;
  for (std::size_t k = 0; k < name.size(); ++k) {
    depth += name[k] == '<' ? 1 : name[k] == '>' ? -1 : 0;
    if (name[k] == '(' && depth == 0) return name.substr(0, k);
  }
  return name;
}

struct Report {
  std::set<std::string> lines;   ///< of the table
  std::set<std::string> faults;  ///< kernels with a stack or spills
};

void read_report(const std::filesystem::path& path, Report& report) {
  std::ifstream file(path);
  const std::regex entry("Compiling entry function '(\\w+)' for '(\\w+)'");
  const std::regex stack("(\\d+) bytes stack frame, (\\d+) bytes spill stores, (\\d+) bytes spill");
  const std::regex used("Used (\\d+) registers");
  const std::regex shared("(\\d+) bytes smem");
  std::string kernel, architecture, line;
  std::smatch found;
  while (std::getline(file, line)) {
    if (std::regex_search(line, found, entry)) {
      kernel = kernel_name(found[1]);
      architecture = found[2];
    } else if (std::regex_search(line, found, stack)) {
      if (found[1] != "0" || found[2] != "0" || found[3] != "0") {
        report.faults.insert(kernel + " on " + architecture + ": " + found[0].str() + " loads");
      }
    } else if (!kernel.empty() && std::regex_search(line, found, used)) {
      const int registers = std::stoi(found[1]);
      const std::string bytes = std::regex_search(line, found, shared) ? found[1].str() : "0";
      report.lines.insert(kernel + "\t" + architecture + "\t" + std::to_string(registers) + "\t" +
                          bytes + "\t" + std::to_string(warps_by_registers(registers)));
      kernel.clear();
    }
  }
}

const Report& report() {
  static const Report all = [] {
    Report made;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(VITSNNA_RESOURCE_REPORTS)) {
      if (entry.path().extension() == ".resources") read_report(entry.path(), made);
    }
    return made;
  }();
  return all;
}

TEST(KernelResources, NoKernelSpillsOrNeedsAStack) {
  ASSERT_FALSE(report().lines.empty()) << "no report below " << VITSNNA_RESOURCE_REPORTS;
  for (const std::string& fault : report().faults) ADD_FAILURE() << fault;
}

TEST(KernelResources, AreThoseOfTheCommittedTable) {
  const std::string header = "kernel\tarchitecture\tregisters\tstatic shared bytes\twarps an SM";
  std::ofstream found(VITSNNA_FOUND_RESOURCES);
  found << header << "\n";
  for (const std::string& line : report().lines) found << line << "\n";
  found.close();
  std::ifstream file(VITSNNA_RESOURCE_TABLE);
  std::string line;
  ASSERT_TRUE(std::getline(file, line)) << VITSNNA_RESOURCE_TABLE << ": cannot be read";
  EXPECT_EQ(line, header);
  std::set<std::string> committed;
  while (std::getline(file, line)) committed.insert(line);
  std::ostringstream changes;
  for (const std::string& one : committed) {
    if (!report().lines.contains(one)) changes << "- " << one << "\n";
  }
  for (const std::string& one : report().lines) {
    if (!committed.contains(one)) changes << "+ " << one << "\n";
  }
  EXPECT_EQ(changes.str(), "") << "if that is meant: cp " << VITSNNA_FOUND_RESOURCES << " "
                               << VITSNNA_RESOURCE_TABLE;
}

TEST(KernelResources, WarpsFollowFromRegisters) {
  EXPECT_EQ(warps_by_registers(16), 64);
  EXPECT_EQ(warps_by_registers(32), 64);
  EXPECT_EQ(warps_by_registers(33), 48);
  EXPECT_EQ(warps_by_registers(128), 16);
  EXPECT_EQ(warps_by_registers(168), 12);
  EXPECT_EQ(warps_by_registers(255), 8);
}

}  // namespace
}  // namespace vitsnna
